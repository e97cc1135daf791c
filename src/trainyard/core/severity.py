"""What a line of output is worth: its severity, and the object that it holds when it is one line of JSON.

Rules of the original (training code requirements; structured logging of Cloud Logging): a line that is one JSON object
becomes a payload, its `severity` is lifted out; other text is INFO on stdout and ERROR on stderr. Many find the last
unkind, since progress bars and ordinary loggers write to stderr: AUTO looks at the text instead.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from enum import StrEnum

from trainyard.core.jobs import Severity


class StderrSeverity(StrEnum):
    """How text on stderr is judged: always ERROR, as the original does, or by what it looks like."""

    ERROR = "ERROR"
    AUTO = "auto"


_DEEPEST = 100  # levels of nesting in a payload; writers of JSON have limits of their own
_INT64 = 2**63
_ALIASES: Mapping[str, Severity] = {
    **{severity.value: severity for severity in Severity},
    "TRACE": Severity.DEBUG,
    "WARN": Severity.WARNING,
    "ERR": Severity.ERROR,
    "FATAL": Severity.CRITICAL,
    "CRIT": Severity.CRITICAL,
    "EMERG": Severity.EMERGENCY,
    "PANIC": Severity.EMERGENCY,
    "INFORMATION": Severity.INFO,
}
_BY_NUMBER = tuple(Severity)  # google.logging.type.LogSeverity counts 0, 100, 200 … 800 in this order
_GLOG = re.compile(r"([IWEF])\d{4} \d\d:\d\d:\d\d")
_GLOG_LETTERS = {"I": Severity.INFO, "W": Severity.WARNING, "E": Severity.ERROR, "F": Severity.CRITICAL}
_LEVEL_WORD = re.compile(r"(?<![\w.])(DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|CRITICAL|FATAL)(?!\w)")
_LEVEL_WORD_WITHIN = 120  # characters from the line's start in which a logger names its level
_EXCEPTION = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Exit)(?::|\Z)")
_WARNING = re.compile(r"\S+:\d+: (?:[A-Za-z_]\w*\.)*\w*Warning: ")
_TRACEBACK = ("Traceback (most recent call last)", '  File "', "Segmentation fault", "Aborted", "terminate called")


def severity_of_text(stream: str, text: str, stderr: StderrSeverity) -> Severity:
    """The severity of a line that is no JSON object. `stream` is stdout or stderr."""
    if stream != "stderr":
        return Severity.INFO
    return Severity.ERROR if stderr is StderrSeverity.ERROR else _by_looks(text)


def structured(text: str) -> tuple[dict[str, object], Severity | None] | None:
    """The object of a line that is one JSON object, less its `severity`, and that severity (None: none that is known).

    None for any other line. What could not be written as JSON again is no object either: NaN, infinities, lone
    surrogates, nesting over 100 levels; an integer beyond 64 bits becomes a float.
    """
    stripped = text.strip()
    if not (stripped.startswith("{") and stripped.endswith("}")):
        return None
    try:
        payload = json.loads(stripped, parse_int=_integer, parse_float=_number, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if not _writable(payload, stripped):
        return None
    severity = named_severity(payload.get("severity"))
    if severity is not None:
        del payload["severity"]
    return payload, severity


def named_severity(value: object) -> Severity | None:
    """A severity as programs name it: `WARNING`, `warn`, 400, "400"; None where it is nothing of the kind."""
    if isinstance(value, str):
        known = _ALIASES.get(value.strip().upper())
        if known is not None or not value.isascii() or not value.isdecimal():
            return known
        value = int(value[:4])
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 100 * len(_BY_NUMBER):
        return _BY_NUMBER[value // 100]
    return None


def _by_looks(text: str) -> Severity:
    """What a person would say who sees the line: loggers' own words first, then Python's, otherwise INFO."""
    if glog := _GLOG.match(text):
        return _GLOG_LETTERS[glog[1]]
    if _WARNING.match(text):
        return Severity.WARNING
    if text.startswith(_TRACEBACK) or _EXCEPTION.match(text):
        return Severity.ERROR
    if word := _LEVEL_WORD.search(text, 0, _LEVEL_WORD_WITHIN):
        return _ALIASES[word[1]]
    return Severity.INFO


def _integer(digits: str) -> int | float:
    value = int(digits)
    return value if -_INT64 <= value < 2 * _INT64 else _number(digits)


def _number(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits[:20]} is beyond a double")
    return value


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _writable(payload: object, text: str) -> bool:
    """Whether the object can be written as UTF-8 JSON; only texts that look dangerous pay for the test."""
    if text.count("{") + text.count("[") > _DEEPEST and _depth(payload) > _DEEPEST:
        return False
    if "\\u" not in text:
        return True
    try:
        json.dumps(payload, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _depth(payload: object) -> int:
    """Levels of nesting, counted without recursion."""
    level: list[object] = [payload]
    depth = 0
    while level:
        inner: list[object] = []
        for value in level:
            if isinstance(value, dict):
                inner += value.values()
            elif isinstance(value, list):
                inner += value
        level, depth = inner, depth + 1
    return depth
