"""Every fault of a request is collected under its path and reported at once, never one at a time."""

from __future__ import annotations

import re
from collections.abc import Sized

from trainyard.core.errors import FieldViolation, InvalidArgument

REQUIRED = "Required field is not set."


class Faults:
    """The faults found so far, seen from one place in the message; `under` looks from further down."""

    def __init__(self, path: str = "", found: list[FieldViolation] | None = None) -> None:
        """Start at the top of the message, or share the list of a place further up."""
        self._path = path
        self._found: list[FieldViolation] = [] if found is None else found

    def under(self, part: str) -> Faults:
        """The same list, seen from `part` (`job_spec`, `worker_pool_specs[0]`) of this place."""
        return Faults(self.at(part), self._found)

    def at(self, part: str) -> str:
        """The full path of a field of this place."""
        return f"{self._path}.{part}" if self._path and part else self._path or part

    def add(self, part: str, description: str) -> None:
        """One more fault; an empty `part` means this place itself."""
        self._found.append(FieldViolation(self.at(part), description))

    def required(self, part: str, value: object) -> bool:
        """Whether the value is there; a fault where it is not."""
        if not value:
            self.add(part, REQUIRED)
        return bool(value)

    def matches(self, part: str, value: str, pattern: re.Pattern[str], form: str) -> bool:
        """Whether a value that was given has the right form; a fault naming the form where it has not."""
        if value and not pattern.fullmatch(value):
            self.add(part, f"{shortened(value)!r} is not of the form {form}.")
            return False
        return bool(value)

    def at_most(self, part: str, values: Sized, most: int) -> None:
        """A fault where there are more than `most` values."""
        if len(values) > most:
            self.add(part, f"There can be no more than {most} entries; found {len(values)}.")

    def raise_if_any(self) -> None:
        """Raises InvalidArgument with every fault found so far."""
        if self._found:
            raise InvalidArgument.found(self._found)


def shortened(value: str, most: int = 80) -> str:
    """A value as an error may quote it: whoever sends a megabyte does not get it back."""
    return value if len(value) <= most else value[: most - 1] + "…"
