"""What counts as a difference in shape, what does not, and which exchanges are compared with each other."""

from __future__ import annotations

from typing import Any

import pytest

from trainyard.cli.differences import differences, form_of, sort_of
from trainyard.cli.exchanges import Exchange, Message


def said(body: Any = None, status: int = 200, path: str = "/v1/projects/p/locations/l/customJobs/1") -> Exchange:
    answer = Message({"content-type": "application/json; charset=UTF-8"}, "json", body)
    return Exchange("GET", path, [], Message({}), status, answer)


def told(left: Any, right: Any, *, values: bool = False) -> list[tuple[str, str, str]]:
    return [(each.where, each.left, each.right) for each in differences([said(left)], [said(right)], values)]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"a": "x", "t": "2026-11-21T10:00:00Z"}, {"a": "y", "t": "2027-01-01T00:00:00.123456Z"}),
        ({"n": "1"}, {"n": "7194241469736026112"}),
        ({"n": 1}, {"n": 2.5}),
        ({"d": "3.5s", "name": "projects/1/locations/l"}, {"d": "10s", "name": "projects/2/x"}),
        ({"l": [1, 2, 3]}, {"l": [4]}),
        ([], []),
    ],
)
def test_other_values_are_the_same_shape(left: Any, right: Any) -> None:
    """Texts, times, numbers, names and lengths of lists; all of them show when values are asked for."""
    assert told(left, right) == []
    assert bool(told(left, right, values=True)) is (left != right)


@pytest.mark.parametrize(
    ("left", "right", "found"),
    [
        ({"a": 1}, {}, ("a", "number", "missing")),
        ({}, {"a": {"b": None}}, ("a", "missing", "object")),
        ({"a": {"b": "1"}}, {"a": {"b": 1}}, ("a.b", "whole number as text", "number")),
        ({"s": "JOB_STATE_QUEUED"}, {"s": 1}, ("s", "JOB_STATE_QUEUED", "number")),
        ({"s": "JOB_STATE_QUEUED"}, {"s": "JOB_STATE_PENDING"}, ("s", "JOB_STATE_QUEUED", "JOB_STATE_PENDING")),
        ({"t": "2026-11-21T10:00:00Z"}, {"t": "yesterday"}, ("t", "time", "text")),
        ({"l": [{"a": True}]}, {"l": [{"a": None}]}, ("l[].a", "true or false", "null")),
        ({"l": [1]}, {"l": {}}, ("l", "list", "object")),
    ],
)
def test_what_is_another_shape(left: Any, right: Any, found: tuple[str, str, str]) -> None:
    """A field more or less, another type, an enum as a number, another enum name, another form of text."""
    assert told(left, right) == [found]


def test_status_media_type_and_form() -> None:
    """They are compared before the body is."""
    other = Exchange("GET", said().path, [], Message({}), 404, Message({"content-type": "text/html"}, "text", "<html>"))
    found = {each.where: (each.left, each.right) for each in differences([said({})], [other])}
    assert found == {
        "status": ("200", "404"),
        "content-type": ("application/json", "text/html"),
        "body": ("json", "text"),
    }


def test_exchanges_are_paired_by_kind_in_order() -> None:
    """Ids, projects and locations do not matter; what only one side has is told."""
    left = [said({"a": 1}), said({"a": 1}), said({}, path="/v1/projects/p/locations/l/customJobs")]
    right = [said({"a": 1}, path="/v1/projects/9/locations/x/customJobs/77"), said({}, path="/v2/x")]
    found = [(each.exchange, each.where, each.left) for each in differences(left, right)]
    assert found == [
        ("GET /v1/projects/*/locations/*/customJobs/*", "exchange", "there"),
        ("GET /v1/projects/*/locations/*/customJobs", "exchange", "there"),
        ("GET /v2/x", "exchange", "missing"),
    ]
    assert sort_of(said(path="/v1/projects/p/locations/l/customJobs/1:cancel")).endswith("/customJobs/*:cancel")


def test_forms() -> None:
    """REMOVED is a text like what stood there, and no enum name."""
    assert [form_of(each) for each in ("REMOVED", "A_B", "A", "", "-3", False, 1.0)] == [
        "text", "A_B", "text", "text", "whole number as text", "true or false", "number",
    ]  # fmt: skip
