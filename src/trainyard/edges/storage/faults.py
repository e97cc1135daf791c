"""Errors as clients of Cloud Storage expect them, in one table: class to HTTP status and reason.

Shape: https://cloud.google.com/storage/docs/json_api/v1/status-codes. An edge translates an error and chooses none.
"""

from __future__ import annotations

import errno
from typing import Any, Final

from trainyard.core.errors import (
    AlreadyExists,
    ApiError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from trainyard.objects import ConditionNotMet, HashMismatch, NotModified, ObjectHeld, ObjectLocked

_TABLE: Final[tuple[tuple[type[ApiError], int, str], ...]] = (
    (NotModified, 304, "notModified"),
    (ConditionNotMet, 412, "conditionNotMet"),
    (ObjectHeld, 403, "objectUnderActiveHold"),
    (ObjectLocked, 400, "cloudKmsDisabledKey"),
    (HashMismatch, 400, "invalid"),
    (NotFound, 404, "notFound"),
    (AlreadyExists, 409, "conflict"),
    (InvalidArgument, 400, "invalid"),
    (FailedPrecondition, 409, "conflict"),
    (Unauthenticated, 401, "authError"),
    (PermissionDenied, 403, "forbidden"),
    (Unavailable, 503, "backendError"),
    (Unimplemented, 501, "notImplemented"),
)


class HttpFault(Exception):
    """A fault of the protocol itself, with the status and reason that the original gives."""

    def __init__(self, status: int, reason: str, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        """`headers` explain it, such as Content-Range."""
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.headers = headers


def fault_of(error: ApiError | HttpFault) -> HttpFault:
    """The fault that a client sees for an error."""
    if isinstance(error, HttpFault):
        return error
    for kind, status, reason in _TABLE:
        if isinstance(error, kind):
            extra = ((b"www-authenticate", b'Bearer realm="trainyard"'),) if status == 401 else ()
            return HttpFault(status, error.reason if kind is InvalidArgument and error.reason else reason,
                             error.message, extra)  # fmt: skip
    return HttpFault(500, "internalError", error.message)


def disk_fault(error: OSError) -> HttpFault | None:
    """The fault for a disk that takes no more, or not from us; None for what nobody foresaw."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return HttpFault(
            403,
            "forbidden",
            "The user that runs the service may not change or read that in the directory of the buckets: it belongs to "
            "another user of this machine, such as a container's own. Give it to the service (chown), then repeat.",
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return HttpFault(
            507,
            "insufficientStorage",
            "The disk that holds the buckets has no room for this object; nothing was stored. Make room, then repeat.",
        )
    return None


def error_body(fault: HttpFault) -> dict[str, Any]:
    """`{"error": {"code", "message", "errors": [{"message", "domain", "reason"}]}}`."""
    detail: dict[str, Any] = {"message": fault.message, "domain": "global", "reason": fault.reason}
    if fault.status in (401, 412):
        where = "Authorization" if fault.status == 401 else "If-Match"
        detail |= {"locationType": "header", "location": where}
    return {"error": {"code": fault.status, "message": fault.message, "errors": [detail]}}
