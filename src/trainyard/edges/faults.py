"""Errors as clients of Google's APIs expect them (https://google.aip.dev/193), in JSON and as google.rpc.Status.

An edge translates an error and never chooses one. What nobody foresaw becomes Internal, with an id that the log has.
"""

from __future__ import annotations

import logging
import secrets
from typing import Any, Final

import orjson

from trainyard.contract.pool import message_class
from trainyard.core.errors import HTTP_STATUS, ApiError, Code, Internal

DOMAIN: Final = "aiplatform.googleapis.com"
TYPE: Final = "type.googleapis.com/google.rpc."


def error_body(status: int, code: Code, message: str, details: list[dict[str, Any]] | None = None) -> bytes:
    """`{"error": {"code", "message", "status", "details"}}`; `status` is HTTP's number, `code` gives the name."""
    error: dict[str, Any] = {"code": status, "message": message, "status": code.name}
    if details:
        error["details"] = details
    return orjson.dumps({"error": error}, option=orjson.OPT_INDENT_2)


def http_answer(error: ApiError) -> tuple[int, bytes]:
    """HTTP status and JSON body."""
    details: list[dict[str, Any]] = []
    if error.violations:
        violations = [{"field": each.field, "description": each.description} for each in error.violations]
        details.append({"@type": f"{TYPE}BadRequest", "fieldViolations": violations})
    if error.reason:
        info = {"@type": f"{TYPE}ErrorInfo", "reason": error.reason, "domain": DOMAIN}
        details.append({**info, "metadata": error.metadata} if error.metadata else info)
    status = HTTP_STATUS[error.code]
    return status, error_body(status, error.code, error.message, details)


def status_bytes(error: ApiError) -> bytes:
    """google.rpc.Status on the wire: BadRequest where fields are at fault, ErrorInfo where there is a reason."""
    status: Any = message_class("google.rpc.Status")(code=int(error.code), message=error.message)
    if error.violations:
        bad: Any = message_class("google.rpc.BadRequest")()
        for each in error.violations:
            bad.field_violations.add(field=each.field, description=each.description)
        status.details.add().Pack(bad)
    if error.reason:
        info: Any = message_class("google.rpc.ErrorInfo")(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
        status.details.add().Pack(info)
    return bytes(status.SerializeToString())


def unforeseen(what: str, log: logging.Logger) -> Internal:
    """For the exception being handled: logged with its traceback, told to the caller by id only."""
    mark = secrets.token_hex(6)
    log.exception("%s failed; the caller was told error id %s", what, mark)
    return Internal(f"The service failed; its log has the reason under error id {mark}.")
