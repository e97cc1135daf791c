"""Errors as gRPC clients of Google's APIs expect them: google.rpc.Status in the trailers, details as typed messages."""

from __future__ import annotations

from typing import Any, Final

from trainyard.contract.pool import message_class
from trainyard.core.errors import ApiError

DOMAIN: Final = "aiplatform.googleapis.com"


def status_bytes(error: ApiError) -> bytes:
    """google.rpc.Status on the wire: BadRequest where fields are at fault, ErrorInfo where there is a reason."""
    status: Any = message_class("google.rpc.Status")(code=int(error.code), message=error.message)
    if error.violations:
        bad: Any = message_class("google.rpc.BadRequest")()
        for each in error.violations:
            bad.field_violations.add(field=each.field, description=each.description)
        status.details.add().Pack(bad)
    if error.reason:
        status.details.add().Pack(message_class("google.rpc.ErrorInfo")(reason=error.reason, domain=DOMAIN))
    return bytes(status.SerializeToString())
