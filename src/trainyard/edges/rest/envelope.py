"""Errors as REST clients of Google's APIs expect them (https://google.aip.dev/193): one envelope, whatever went wrong."""

from __future__ import annotations

from typing import Any, Final

import orjson

from trainyard.core.errors import HTTP_STATUS, ApiError, Code

DOMAIN: Final = "aiplatform.googleapis.com"


def error_body(status: int, code: Code, message: str, details: list[dict[str, Any]] | None = None) -> bytes:
    """`{"error": {"code", "message", "status", "details"}}`; `status` is HTTP's number, `code` gives the name."""
    error: dict[str, Any] = {"code": status, "message": message, "status": code.name}
    if details:
        error["details"] = details
    return orjson.dumps({"error": error}, option=orjson.OPT_INDENT_2)


def of_error(error: ApiError) -> tuple[int, bytes]:
    """HTTP status and body of something that the caller can understand."""
    status = HTTP_STATUS[error.code]
    return status, error_body(status, error.code, error.message, error_details(error))


def error_details(error: ApiError) -> list[dict[str, Any]]:
    """google.rpc.BadRequest where fields are at fault, google.rpc.ErrorInfo where there is a reason for programs."""
    details: list[dict[str, Any]] = []
    if error.violations:
        violations = [{"field": each.field, "description": each.description} for each in error.violations]
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations})
    if error.reason:
        info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": error.reason, "domain": DOMAIN}
        details.append(info)
    return details
