"""The variables of a connection: what a client may set and ask, each with a true answer.

A variable that does something here is honoured; one that cannot be otherwise keeps its one value and refuses another;
one that would change no answer (times are text in UTC here, so TimeZone is one) is kept and shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from trainyard import __version__
from trainyard.edges.sql.errors import SqlError

UNKNOWN_VARIABLE: Final = "42704"
BAD_VALUE: Final = "22023"
FIXED: Final = "0A000"
REPORTED: Final = (
    "server_version", "server_encoding", "client_encoding", "application_name", "is_superuser", "session_authorization",
    "DateStyle", "IntervalStyle", "TimeZone", "integer_datetimes", "standard_conforming_strings",
    "default_transaction_read_only", "in_hot_standby",
)  # fmt: skip
_UNITS: Final[Mapping[str, float]] = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_TRUE: Final = frozenset({"on", "true", "yes", "1", "t", "y"})
_FALSE: Final = frozenset({"off", "false", "no", "0", "f", "n"})


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable. `rule`: `fixed`, `kept` (any text), `switch`, `time` (milliseconds, or with a unit)."""

    name: str
    default: str
    rule: str = "kept"


_KNOWN: Final = tuple(
    Variable(*each)
    for each in (
        ("application_name", ""),
        ("bytea_output", "hex", "fixed"),
        ("client_encoding", "UTF8", "fixed"),
        ("client_min_messages", "notice"),
        ("DateStyle", "ISO, MDY"),
        ("default_table_access_method", "heap", "fixed"),
        ("default_transaction_isolation", "read committed"),
        ("default_transaction_read_only", "off", "switch"),
        ("enable_seqscan", "on", "switch"),
        ("escape_string_warning", "off", "switch"),
        ("extra_float_digits", "1"),
        ("idle_in_transaction_session_timeout", "0", "time"),
        ("idle_session_timeout", "0", "time"),
        ("in_hot_standby", "off", "fixed"),
        ("integer_datetimes", "on", "fixed"),
        ("IntervalStyle", "postgres"),
        ("is_superuser", "off", "fixed"),
        ("jit", "off", "switch"),
        ("lc_collate", "C", "fixed"),
        ("lc_ctype", "C.UTF-8", "fixed"),
        ("location", ""),
        ("lock_timeout", "0", "time"),
        ("max_identifier_length", "63", "fixed"),
        ("project", ""),
        ("row_security", "on", "switch"),
        ("search_path", "aiplatform, trainyard, public", "fixed"),
        ("server_encoding", "UTF8", "fixed"),
        ("server_version", f"15.0 (Trainyard {__version__})", "fixed"),
        ("server_version_num", "150000", "fixed"),
        ("session_authorization", "", "fixed"),
        ("standard_conforming_strings", "off", "fixed"),
        ("statement_timeout", "0", "time"),
        ("TimeZone", "UTC"),
        ("trainyard.json", "off", "switch"),
        ("transaction_isolation", "read committed"),
        ("transaction_read_only", "off", "switch"),
    )
)
_SAME: Final[Mapping[str, frozenset[str]]] = {
    "client_encoding": frozenset({"utf8", "utf-8", "unicode", "sql_ascii", "auto"}),
}


class Variables:
    """The values of one connection, by name in any case."""

    def __init__(self, user: str) -> None:
        """Begin with the defaults."""
        self._known = {each.name.lower(): each for each in _KNOWN}
        self._values = {name: each.default for name, each in self._known.items()}
        self._values["session_authorization"] = user

    def __getitem__(self, name: str) -> str:
        """What a variable is; raises SqlError where there is none."""
        try:
            return self._values[name.lower()]
        except KeyError:
            raise _unknown(name) from None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Every name, as it is written, with its value."""
        for name in sorted(self._values):
            yield self._known[name].name if name in self._known else name, self._values[name]

    def __contains__(self, name: str) -> bool:
        """Whether there is such a variable."""
        return name.lower() in self._values

    def find(self, name: str) -> str | None:
        """What a variable is; None where there is none."""
        return self._values.get(name.lower())

    def on(self, name: str) -> bool:
        """Whether a switch is on."""
        return self[name] == "on"

    def seconds(self, name: str) -> float:
        """A span of time; 0 means without end."""
        return _seconds(self[name])

    def set(self, name: str, value: str) -> str | None:
        """Give a variable a value; the name to report it by, if clients want to hear of it. Raises SqlError."""
        low = name.lower()
        known = self._known.get(low)
        if known is None:
            if "." not in name:
                raise _unknown(name)
            self._values[low] = value  # a client's own, as PostgreSQL keeps it
            return None
        self._values[low] = _checked(known, value, self._values[low])
        return known.name if known.name in REPORTED else None

    def reset(self, name: str) -> str | None:
        """Back to the default; as `set`."""
        known = self._known.get(name.lower())
        if known is None:
            raise _unknown(name)
        if known.rule != "fixed":
            self._values[name.lower()] = known.default
        return known.name if known.name in REPORTED else None

    def reset_all(self) -> None:
        """All back to their defaults."""
        for low, known in self._known.items():
            if known.rule != "fixed":
                self._values[low] = known.default


def _checked(known: Variable, value: str, now: str) -> str:
    match known.rule:
        case "fixed":
            low = value.strip("'").lower()  # asyncpg quotes it
            if low == now.lower() or low in _SAME.get(known.name.lower(), ()) or low == "default":
                return now
            if known.name == "search_path":
                raise SqlError(FIXED, f"{known.name} is {now} here and cannot be changed", hint="Write whole names.")
            raise SqlError(FIXED, f"{known.name} is {now!r} here and cannot be {value!r}")
        case "switch":
            low = value.lower()
            if low not in _TRUE | _FALSE | {"default"}:
                raise SqlError(BAD_VALUE, f'parameter "{known.name}" requires a Boolean value, not {value!r}')
            return known.default if low == "default" else "on" if low in _TRUE else "off"
        case "time":
            if value.lower() == "default":
                return known.default
            if _seconds(value) < 0:
                raise SqlError(BAD_VALUE, f'invalid value for parameter "{known.name}": {value!r}')
    return value


def _seconds(value: str) -> float:
    """`30000`, `30s`, `5min` in seconds; -1 for what is no span of time."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d)?\s*", value)
    return float(match[1]) * _UNITS[match[2] or "ms"] if match else -1.0


def _unknown(name: str) -> SqlError:
    return SqlError(UNKNOWN_VARIABLE, f'unrecognized configuration parameter "{name}"', hint="SHOW ALL lists them.")
