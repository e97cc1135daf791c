"""An error looks the same in JSON and as google.rpc.Status, and says what programs need."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from trainyard.contract.pool import message_class
from trainyard.core.errors import ApiError, Code, FieldViolation, InvalidArgument, NotFound, PermissionDenied
from trainyard.edges.faults import http_answer, status_bytes, unforeseen

ALL = list(ApiError.__subclasses__())


@pytest.mark.parametrize("cls", ALL)
def test_every_error_has_both_forms(cls: type[ApiError]) -> None:
    """HTTP status and code name in JSON, the code's number on the wire."""
    status, body = http_answer(cls("why"))
    error = json.loads(body)["error"]
    assert error == {"code": status, "message": "why", "status": cls.code.name}
    wire: Any = message_class("google.rpc.Status").FromString(status_bytes(cls("why")))
    assert (wire.code, wire.message, len(wire.details)) == (int(cls.code), "why", 0)


def test_fields_become_a_bad_request() -> None:
    """Each violation is in google.rpc.BadRequest, in both forms."""
    error = InvalidArgument.found([FieldViolation("a.b", "is odd"), FieldViolation("c", "is even")])
    detail = json.loads(http_answer(error)[1])["error"]["details"][0]
    assert detail == {
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [{"field": "a.b", "description": "is odd"}, {"field": "c", "description": "is even"}],
    }
    wire: Any = message_class("google.rpc.Status").FromString(status_bytes(error))
    bad: Any = message_class("google.rpc.BadRequest").FromString(wire.details[0].value)
    assert [(each.field, each.description) for each in bad.field_violations] == [("a.b", "is odd"), ("c", "is even")]


def test_a_reason_becomes_error_info() -> None:
    """The reason for programs is in google.rpc.ErrorInfo, in both forms."""
    error = PermissionDenied("no", reason="IAM_PERMISSION_DENIED")
    detail = json.loads(http_answer(error)[1])["error"]["details"][0]
    assert (detail["reason"], detail["domain"]) == ("IAM_PERMISSION_DENIED", "aiplatform.googleapis.com")
    wire: Any = message_class("google.rpc.Status").FromString(status_bytes(error))
    info: Any = message_class("google.rpc.ErrorInfo").FromString(wire.details[0].value)
    assert wire.details[0].type_url == detail["@type"]
    assert info.reason == "IAM_PERMISSION_DENIED"


def test_what_nobody_foresaw_is_told_by_id_only(caplog: pytest.LogCaptureFixture) -> None:
    """The caller gets an id, the log the same id with the traceback; nothing of the reason leaks out."""
    try:
        raise RuntimeError("secret inside")
    except RuntimeError:
        error = unforeseen("GET /x", logging.getLogger("trainyard.test"))
    assert error.code is Code.INTERNAL
    assert "secret" not in error.message
    mark = error.message.split("error id ")[1].rstrip(".")
    assert mark in caplog.text
    assert "secret inside" in caplog.text


def test_not_found_is_404() -> None:
    """The status that clients map to NotFound."""
    assert http_answer(NotFound("gone"))[0] == 404
