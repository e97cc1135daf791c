"""The language of queries over log entries: what is read, what is refused where, and what a tree means."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.core.errors import InvalidArgument
from trainyard.core.log_query import LONGEST_QUERY, parse_log_query
from trainyard.core.log_query_tree import Ground, ground, matches

SECOND_NS = 1_000_000_000
NOON_NS = 1_795_262_400 * SECOND_NS  # 2026-11-21T12:00:00Z
ENTRY: dict[str, Any] = {
    "logName": "projects/p/logs/workerpool0-0",
    "resource": {"type": "ml_job", "labels": {"project_id": "p", "job_id": "17", "task_name": "workerpool0-0"}},
    "timestamp": NOON_NS,
    "receiveTimestamp": NOON_NS,
    "severity": "WARNING",
    "insertId": "17-0001",
    "labels": {"ml.googleapis.com/job_state": "RUNNING", "team": "Vision"},
    "jsonPayload": {
        "message": "Loss is High", "loss": 0.25, "ok": True, "none": None, "steps": [1, 5], "deep": {"er": "x"},
    },
}  # fmt: skip


@pytest.mark.parametrize(
    "query",
    [
        "",
        "   -- nothing but a comment",
        'resource.type="ml_job" AND resource.labels.job_id="17"',
        'resource.type = ml_job resource.labels.job_id = ("3" OR "17")',
        "severity>=WARNING severity<error -severity=INFO severity=400 severity:warning",
        'timestamp>="2026-11-21T11:59:59.999999999Z" AND timestamp<="2026-11-21T13:00:00+01:00"',
        'timestamp>="2026-11-21" timestamp<"2026-11-22" timestamp="2026-11-21T12:00:00.000+0000"',
        "jsonPayload.message:high",
        'json_payload.message="loss is high" insert_id>"17-0000"',
        "jsonPayload.loss<0.5 jsonPayload.loss>=2.5e-1 jsonPayload.loss!=1 jsonPayload.loss:0.25",
        "jsonPayload.ok=true jsonPayload.ok!=FALSE jsonPayload.ok:true",
        "jsonPayload.steps=5",
        "jsonPayload:er jsonPayload.deep:X labels:team labels.team:*",
        'labels."ml.googleapis.com/job_state"="running"',
        'log_id("workerpool0-0") OR nothing',
        '"loss is"',
        "high NOT low",
        'logName=("a" OR NOT "b")',
        "jsonPayload.message=(NOT low)",
        "severity=INFO OR severity=WARNING AND jsonPayload.loss<1",  # OR binds tighter
        '((timestamp="2026-11-21T12:00:00Z" AND insertId>"17-0000") OR timestamp>"2026-11-21T12:00:00Z")',
        'jsonPayload.message="Loss \\is High"',
        "jsonPayload.none:*",
    ],
)
def test_what_matches(query: str) -> None:
    """Each of these asks for the entry."""
    assert matches(parse_log_query(query), ENTRY)


@pytest.mark.parametrize(
    "query",
    [
        'resource.labels.job_id="1"',
        "severity>WARNING",
        'timestamp<"2026-11-21T12:00:00Z"',
        "textPayload:high",
        "textPayload!=high",  # a comparison with what is missing fails
        "jsonPayload.missing!=1",
        "jsonPayload.loss=abc",
        "jsonPayload.loss=nan",
        "jsonPayload.ok=1",
        "jsonPayload.none=null",
        "jsonPayload.deep=x",
        "jsonPayload.message.more:*",
        "absent",
        "-high",
        'log_id("workerpool0")',
        "severity=INFO OR severity=WARNING AND jsonPayload.loss>1",
        "NOT (high OR low)",
    ],
)
def test_what_does_not_match(query: str) -> None:
    """None of these asks for it."""
    assert not matches(parse_log_query(query), ENTRY)


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("foo=1", "at position 1, 'foo' is not a field"),
        ("(severity=INFO", "at position 1, this parenthesis is never closed"),
        ("severity=INFO)", "at position 14, this closing parenthesis was never opened"),
        ("severity>much", "'much' is not a severity"),
        ('jsonPayload.a=~"x"', "regular expressions are not served"),
        ('textPayload="x', "this quote is never closed"),
        ("timestamp:1", "timestamp can be compared with"),
        ("timestamp>yesterday", "timestamp needs a time"),
        ('timestamp>"2026-13-41"', "timestamp needs a time"),
        ("severity=", "a value is expected here"),
        ("severity=INFO AND", "a field or a text is expected here"),
        ("sample(insertId, 0.5)", "sample() is not served here"),
        ('log_id("a" "b")', "log_id() takes one name"),
        ("jsonPayload.a<b", "a number is expected here"),
        ("(" * 40, "nested deeper than"),
        ("a " * 300, "more than 200 comparisons"),
        ("a" * (LONGEST_QUERY + 1), "at most"),
        ("severity=NOT NOT INFO", "'NOT' is not a severity"),
    ],
)
def test_what_is_refused(query: str, what: str) -> None:
    """With the place, and what would do instead."""
    with pytest.raises(InvalidArgument) as refused:
        parse_log_query(query)
    assert what in refused.value.message
    assert refused.value.violations[0].field == "filter"


def test_what_a_query_rules_out() -> None:
    """Jobs, tasks and times that can match at all: narrowed by AND, widened by OR, untouched by NOT."""

    def of(query: str) -> Ground:
        return ground(parse_log_query(query))

    assert of('resource.labels.job_id="1" severity=INFO') == Ground(frozenset({"1"}))
    assert of('resource.labels.job_id=("1" OR "2") AND resource.labels.job_id="2"') == Ground(frozenset({"2"}))
    assert of('resource.labels.job_id="1" OR severity=INFO') == Ground()
    assert of('NOT resource.labels.job_id="1"') == Ground()
    assert of('resource.labels.task_name="Service" log_id("x")') == Ground(tasks=frozenset({"service"}))
    start, end = NOON_NS, NOON_NS + SECOND_NS
    window = 'timestamp>="2026-11-21T12:00:00Z" timestamp<"2026-11-21T12:00:01Z"'
    assert of(window) == Ground(start_ns=start, end_ns=end)
    assert of('timestamp="2026-11-21T12:00:00Z" OR timestamp="2026-11-21T12:00:01Z"') == Ground(None, None, start, end)
    assert of(f'{window} timestamp>"2026-11-21" timestamp<="2027-01-01"') == Ground(start_ns=start, end_ns=end)
    assert of('timestamp!="2026-11-21"') == Ground()


@given(st.text(st.sampled_from('abANDORNT()"\\-.:=<>!~ *1,logName severity timestamp jsonPayload'), max_size=80))
def test_every_text_is_read_or_refused(text: str) -> None:
    """Nothing else is raised; what is read can be asked of an entry, and rules out nothing that matches."""
    try:
        query = parse_log_query(text)
    except InvalidArgument:
        return
    if matches(query, ENTRY):
        found = ground(query)
        assert found.job_ids is None or "17" in found.job_ids
        assert found.tasks is None or "workerpool0-0" in found.tasks
        assert found.start_ns is None or found.start_ns <= NOON_NS
        assert found.end_ns is None or found.end_ns >= NOON_NS
