"""What people see: colours and one live status line on terminals, plain lines everywhere else."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import time
from collections.abc import Mapping
from typing import Final, TextIO

STYLES: Final[Mapping[str, str]] = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}
REPLICA_STYLES: Final = ("cyan", "magenta", "yellow", "blue", "green")
STATE_STYLES: Final[Mapping[str, str]] = {
    "QUEUED": "yellow",
    "PENDING": "yellow",
    "RUNNING": "cyan",
    "SUCCEEDED": "green",
    "FAILED": "red",
    "CANCELLING": "yellow",
    "CANCELLED": "yellow",
}
_FRAMES: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_PLAIN_FRAMES: Final = "|/-\\"
_FRAME_SECONDS: Final = 0.1


def wants_colour(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Colours only on terminals; NO_COLOR (https://no-color.org) and TERM=dumb turn them off."""
    return is_live(stream, environment) and not environment.get("NO_COLOR")


def is_live(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether a line may be drawn over: a terminal that is not dumb."""
    return stream.isatty() and environment.get("TERM", "") not in ("", "dumb")


class Terminal:
    """Both output streams of the command, and the one line that is drawn over while something is awaited."""

    def __init__(
        self,
        out: TextIO | None = None,
        err: TextIO | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Take the process's own streams and environment unless told otherwise."""
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        environment = os.environ if environment is None else environment
        self.colour = wants_colour(self.out, environment)
        self.colour_err = wants_colour(self.err, environment)
        self.live = is_live(self.err, environment)
        encoding = (getattr(self.err, "encoding", None) or "ascii").lower()
        self.frames = itertools.cycle(_FRAMES if "utf" in encoding else _PLAIN_FRAMES)
        self.eager = True  # False: whoever prints many lines calls `flush` when there are none left
        self._status = ""
        self._drawn_at = 0.0

    def paint(self, text: str, *styles: str, err: bool = False) -> str:
        """The text in colour where the stream wants colour."""
        if not (self.colour_err if err else self.colour) or not styles or not text:
            return text
        return f"\x1b[{';'.join(STYLES[style] for style in styles)}m{text}\x1b[0m"

    def line(self, text: str = "", *styles: str, err: bool = False) -> None:
        """One line for good. The status line moves out of its way."""
        self._erase()
        if err:
            self.out.flush()  # both may lead to the same place, where the order counts
        stream = self.err if err else self.out
        stream.write(self.paint(text, *styles, err=err) + "\n")
        if err or self.eager:
            stream.flush()

    def flush(self) -> None:
        """Let everything printed so far be seen."""
        self.out.flush()

    def status(self, text: str) -> None:
        """Show what is awaited, with a sign of life; nothing at all where a line can't be drawn over."""
        if not self.live:
            return
        now = time.monotonic()
        if text == self._status and now - self._drawn_at < _FRAME_SECONDS:
            return
        self._status, self._drawn_at = text, now
        width = shutil.get_terminal_size().columns - 3
        shown = text if len(text) <= width else text[: max(0, width - 1)] + "…"
        self.err.write(f"\r\x1b[K{self.paint(next(self.frames), 'cyan', err=True)} {shown}")
        self.err.flush()

    def _erase(self) -> None:
        if self._status:
            self.err.write("\r\x1b[K")
            self.err.flush()
            self._status = ""

    def close(self) -> None:
        """Take the status line away, let everything be seen."""
        self._erase()
        self.flush()


def replica_style(task: str) -> str:
    """The colour of a replica, the same in every command: by pool and index, `service` dim."""
    if task == "service":
        return "dim"
    pool, _, index = task.removeprefix("workerpool").partition("-")
    if not (pool.isdecimal() and index.isdecimal()):
        return "dim"
    place = 0 if pool == "0" else int(pool) + int(index)
    return REPLICA_STYLES[place % len(REPLICA_STYLES)]
