"""What lines are worth, by the original's rules and by their looks."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.core.jobs import Severity
from trainyard.core.severity import StderrSeverity, named_severity, severity_of_text, structured


def test_text_is_info_on_stdout_and_error_on_stderr() -> None:
    """Case 77, as the original has it; stdout is never judged by its looks."""
    for text in ("hello", "ERROR: no", ""):
        assert severity_of_text("stdout", text, StderrSeverity.ERROR) is Severity.INFO
        assert severity_of_text("stdout", text, StderrSeverity.AUTO) is Severity.INFO
        assert severity_of_text("stderr", text, StderrSeverity.ERROR) is Severity.ERROR


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" 34%|███▍      | 34/100 [00:03<00:06, 9.9it/s]\r 35%|███▌", Severity.INFO),
        ("Epoch 1/3", Severity.INFO),
        ("", Severity.INFO),
        ("I1121 10:20:30.123456 1 file.cc:1] ok", Severity.INFO),
        ("W1121 10:20:30.123456 1 file.cc:1] hm", Severity.WARNING),
        ("E1121 10:20:30.123456 1 file.cc:1] no", Severity.ERROR),
        ("F1121 10:20:30.123456 1 file.cc:1] dead", Severity.CRITICAL),
        ("2026-11-21 10:20:30.5: W tensorflow/core.cc:1] x", Severity.INFO),
        ("WARNING:root:careful", Severity.WARNING),
        ("INFO:trainer:step 3", Severity.INFO),
        ("2026-11-21 10:20:30,123 - trainer - ERROR - it broke", Severity.ERROR),
        ("[rank0]: [2026-11-21 10:20:30] [DEBUG] x", Severity.DEBUG),
        ("CRITICAL:root:x", Severity.CRITICAL),
        ("FATAL: x", Severity.CRITICAL),
        ("WARN  x", Severity.WARNING),
        ("INFORMATION about things", Severity.INFO),
        ("Traceback (most recent call last):", Severity.ERROR),
        ('  File "/app/train.py", line 3, in <module>', Severity.ERROR),
        ("ValueError: bad", Severity.ERROR),
        ("torch.cuda.OutOfMemoryError: CUDA out of memory", Severity.ERROR),
        ("KeyboardInterrupt", Severity.ERROR),
        ("The Error is small", Severity.INFO),
        ("/lib/x.py:12: UserWarning: ERROR in name", Severity.WARNING),
        ("x.py:12: numpy.exceptions.VisibleDeprecationWarning: y", Severity.WARNING),
        ("Segmentation fault (core dumped)", Severity.ERROR),
    ],
)
def test_auto_judges_as_a_person_would(text: str, expected: Severity) -> None:
    """Loggers' own words, Python's warnings and tracebacks; progress bars are no errors."""
    assert severity_of_text("stderr", text, StderrSeverity.AUTO) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("WARNING", Severity.WARNING),
        ("warn", Severity.WARNING),
        (" Error ", Severity.ERROR),
        ("FATAL", Severity.CRITICAL),
        (0, Severity.DEFAULT),
        (100, Severity.DEBUG),
        (450, Severity.WARNING),
        (800, Severity.EMERGENCY),
        ("500", Severity.ERROR),
        (900, None),
        (-1, None),
        (True, None),
        (None, None),
        ("", None),
        ("loud", None),
        ("²", None),
        (1.5, None),
        ([], None),
        ("9" * 5000, None),
    ],
)
def test_severities_are_read_as_programs_name_them(value: object, expected: Severity | None) -> None:
    """Names in any case, usual aliases, the numbers of LogSeverity; anything else is none."""
    assert named_severity(value) is expected


def test_a_json_line_gives_its_object_and_lifts_the_severity() -> None:
    """Case 77: a payload with the rest of the fields, the severity beside it."""
    assert structured(' {"severity":"NOTICE","message":"m","x":[1,{"y":null}]} ') == (
        {"message": "m", "x": [1, {"y": None}]},
        Severity.NOTICE,
    )
    assert structured('{"severity":"loud","a":1}') == ({"severity": "loud", "a": 1}, None)
    assert structured("{}") == ({}, None)
    assert structured('{"a":"\\u00e4\\ud83d\\ude00"}') == ({"a": "ä😀"}, None)
    assert structured('{"n":18446744073709551615,"m":18446744073709551616}') == ({"n": 2**64 - 1, "m": 2.0**64}, None)


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "[1]",
        '"x"',
        '{"a":1',
        '{"a":1}{"b":2}',
        "{'a':1}",
        '{"a":NaN}',
        '{"a":1e999}',
        '{"a":"\\ud800"}',
        '{"a":' + "9" * 400 + "}",
        '{"a":' + "9" * 5000 + "}",
        '{"a":' * 101 + "1" + "}" * 101,
        '{"a":' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
)
def test_what_cannot_be_written_again_stays_text(text: str) -> None:
    """No payload that would break the one who passes it on."""
    assert structured(text) is None


def test_wide_objects_are_not_taken_for_deep_ones() -> None:
    """Only nesting counts."""
    text = json.dumps({"a": [{} for _ in range(500)]})
    assert structured(text) == ({"a": [{}] * 500}, None)


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.floats() | st.text()))
def test_whatever_is_accepted_can_be_written_again(value: dict[str, object]) -> None:
    """A payload survives a strict JSON writer in UTF-8."""
    found = structured(json.dumps(value))
    if found is not None:
        json.dumps(found[0], allow_nan=False, ensure_ascii=False).encode()
