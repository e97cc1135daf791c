"""What is wrong with a JSON request: where, and in Google's own words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

Path = tuple[Any, Any] | None
"""Where a value stands: (path of what is around it, field name or list index); None is the root."""

_SHOWN_CHARACTERS = 100  # of a refused value, in the text about it


@dataclass(frozen=True, slots=True)
class JsonFault:
    """One thing wrong.

    `path` is where, in snake_case and below the root field: `job_spec.worker_pool_specs[0].replica_count`, empty for
    the root itself. For a name that does not exist it is the message without it, as Google reports it. `description`
    is a whole sentence. `field` is the path with the root field before it: `custom_job.job_spec.worker_pool_specs…`.
    """

    path: str
    description: str
    field: str = ""


class JsonFaults(ValueError):
    """A request or a part of it is not JSON of its message. `faults` is never empty; the text has one fault a line."""

    def __init__(self, *faults: JsonFault) -> None:
        super().__init__("\n".join(fault.description for fault in faults))
        self.faults = faults


class Findings(list[JsonFault]):
    """Collects the faults of one value."""

    def __init__(self, root_field: str = "") -> None:
        super().__init__()
        self.root_field = root_field

    def add(self, path: Path, problem: str) -> None:
        """Note a fault as `Invalid value at '<path>' <problem>`."""
        field = path_text(path)
        self._append(field, f"Invalid value{_at(field)} {problem}")

    def add_invalid(self, path: Path, type_text: str, value: object) -> None:
        """The value is not of the field's type."""
        if path is None:
            self._append("", 'Invalid JSON payload received. Unknown name "": Root element must be a message.')
        else:
            self.add(path, f"({type_text}), {shown(value)}")

    def add_unknown(self, path: Path, name: str, why: str = "Cannot find field.") -> None:
        """The message at `path` has no such field, or cannot take it here."""
        field = path_text(path)
        self._append(field, f"Invalid JSON payload received. Unknown name {shown(name)}{_at(field)}: {why}")

    def _append(self, field: str, description: str) -> None:
        below = f"{field}.".removeprefix(f"{self.root_field}.").removesuffix(".")
        self.append(JsonFault(below, description, field))


def _at(field: str) -> str:
    return f" at '{field}'" if field else ""


def path_text(path: Path) -> str:
    """Where, as `job_spec.args[0]`."""
    parts: list[str] = []
    while path is not None:
        path, part = path
        parts.append(f"[{part}]" if type(part) is int else f".{part}")
    return "".join(reversed(parts)).removeprefix(".")


def shown(value: object) -> str:
    """The value as JSON, cut where it is long."""
    try:
        text = orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # a lone surrogate, or nested too deep
        text = ascii(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
