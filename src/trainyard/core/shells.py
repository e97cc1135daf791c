"""What a person's shell in a replica is to everybody who passes it on: a terminal's bytes both ways, and an end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Protocol

DEFAULT_TERM: Final = "xterm-256color"
MOST_CELLS: Final = 0xFFFF  # of a side: struct winsize has 16 bits for it
_TERM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


@dataclass(frozen=True, slots=True)
class Terminal:
    """What the person sits at: its name in terminfo, and its size in cells."""

    rows: int = 24
    columns: int = 80
    term: str = DEFAULT_TERM

    def faults(self) -> dict[str, str]:
        """What is wrong with it: a sentence by field."""
        found = {
            side: f"{side} must be from 1 to {MOST_CELLS}, not {cells}."
            for side, cells in (("rows", self.rows), ("columns", self.columns))
            if not 0 < cells <= MOST_CELLS
        }
        if not _TERM.fullmatch(self.term):
            found["term"] = f"term must be the name of a terminal, such as {DEFAULT_TERM}, not {self.term!r}."
        return found


class Shell(Protocol):
    """One open shell. Closing it hangs up: the shell gets SIGHUP."""

    async def read(self) -> bytes:
        """What it printed next; empty once nothing more can come."""

    async def write(self, data: bytes) -> None:
        """Type this; waits while the shell's terminal takes no more."""

    def resize(self, rows: int, columns: int) -> None:
        """The person's terminal has another size now."""

    async def ended(self) -> int | None:
        """Wait for its end: the exit code as a shell gives it; None where who knew it is gone."""

    def close(self) -> None:
        """Hang up. May be repeated."""
