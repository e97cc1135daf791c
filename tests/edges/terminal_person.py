"""Our programs as a person has them: at a terminal, or run to their end by a script."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

BIN = Path(sys.executable).parent


def program(
    name: str, *arguments: str, environment: dict[str, str], stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run one of ours to its end, without a terminal."""
    return subprocess.run(
        [str(BIN / name), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )


class Person:
    """Types into a terminal of 33 lines and 99 columns and reads what stands there."""

    def __init__(self, *words: str, environment: dict[str, str]) -> None:
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # tests that run in the background ignore it
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", 33, 99, 0, 0))
            os.execve(str(BIN / "trainyard"), ["trainyard", *words], environment)
        self.seen = ""

    def reads(self, words: str) -> str:
        """Everything up to these words; fails where they do not come."""
        deadline = time.monotonic() + 60
        while words not in self.seen:
            readable, _, _ = select.select([self.terminal], [], [], max(0.0, deadline - time.monotonic()))
            assert readable, f"{words!r} did not come: {self.seen!r}"
            self.seen += os.read(self.terminal, 4096).decode(errors="replace")
        before, _, self.seen = self.seen.partition(words)
        return before

    def types(self, text: str) -> None:
        """Press these keys."""
        os.write(self.terminal, text.encode())

    def resizes(self, rows: int, columns: int) -> None:
        """Pull at the window's corner."""
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def ends(self) -> int:
        """The command's exit code; what it prints before is read away."""
        while True:
            try:
                chunk = os.read(self.terminal, 4096).decode(errors="replace")
            except OSError:  # nobody has the other end open any more
                chunk = ""
            self.seen += chunk
            if not chunk:
                return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
