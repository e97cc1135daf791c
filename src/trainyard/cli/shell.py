"""`trainyard custom-jobs shell` and `nas-jobs shell`: sit at a shell in a replica as if its machine were this terminal.

Every key goes there, Ctrl-C too, and the window's size with each change; the command ends with the shell's exit code.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import ssl
import sys
import termios
import time
import tty
from argparse import Namespace
from collections.abc import Iterator
from typing import Any, Final

from trainyard.cli.problems import Problem
from trainyard.cli.service_api import OWN, ServiceApi, connect
from trainyard.cli.terminal import Terminal
from trainyard.core.frames import BadFrame, Frames, Opcode, frame
from trainyard.core.shells import DEFAULT_TERM
from trainyard.core.shells import Terminal as Window

PRIMARY: Final = "workerpool0-0"
END_OF_INPUT: Final = b"\x04"
_MOST_AT_ONCE: Final = 1 << 16
_MOST_UNSENT: Final = 1 << 18
_SAY_AGAIN_SECONDS: Final = 1.0
_NOT_NOW: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_LOST: Final = "the connection to the shell was lost, and the shell with it; the job goes on"


def custom_job(flags: Namespace) -> int:
    """A shell in a replica of a custom job."""
    api = connect(flags)
    name = api.name_of(flags.job)
    up = api.get(name).get("webAccessUris", {})
    replica = flags.replica or (PRIMARY if PRIMARY in up else next(iter(sorted(up)), PRIMARY))
    return _sit(api, name, replica)


def nas_trial(flags: Namespace) -> int:
    """A shell in a replica of the job that runs a trial."""
    api = connect(flags)
    name = f"{api.name_of(flags.job)}/nasTrialDetails/{flags.trial}"
    return _sit(api, name, flags.replica or PRIMARY, {"stage": flags.stage})


def _sit(api: ServiceApi, name: str, replica: str, more: dict[str, str] | None = None) -> int:
    window = _window()
    query = {"rows": str(window.rows), "columns": str(window.columns), "term": window.term, **(more or {})}
    connection, early = api.connection.websocket(f"{OWN}/{name}/shells/{replica}", query)
    is_terminal = os.isatty(sys.stdin.fileno())
    if is_terminal:
        Terminal().line(f"A shell in {replica}; the job goes on when you leave it.", "dim", err=True)
    with contextlib.closing(connection), _raw(sys.stdin.fileno()), _woken() as woken:
        return Sitting(connection, woken, is_terminal=is_terminal).run(early)


class Sitting:
    """One person at one shell, until either leaves."""

    def __init__(self, connection: socket.socket, woken: int, *, is_terminal: bool) -> None:
        """`woken` has a byte where the window may have another size. Input from elsewhere waits for the prompt."""
        connection.setblocking(False)
        self._connection = connection
        self._woken = woken
        self._is_terminal = is_terminal
        self._frames = Frames(masked=False)
        self._unsent = bytearray()
        self._reads_input = is_terminal
        self._said_end_at: float | None = None
        self._over = False
        self._code: int | None = None
        self._why = _LOST

    def run(self, early: bytes) -> int:
        """The shell's exit code; raises Problem where it is not known."""
        self._take(early)
        while not self._over:
            self._turn()
        if self._code is None:
            raise Problem(self._why)
        return self._code

    def _turn(self) -> None:
        wanted = [self._connection.fileno(), self._woken]
        if self._reads_input and len(self._unsent) < _MOST_UNSENT:
            wanted.append(sys.stdin.fileno())
        sending = [self._connection.fileno()] if self._unsent else []
        patience = None if self._said_end_at is None else _SAY_AGAIN_SECONDS
        readable, _, _ = select.select(wanted, sending, [], patience)
        if self._woken in readable:
            os.read(self._woken, 4096)
            window = _window()
            self._send(Opcode.TEXT, json.dumps({"rows": window.rows, "columns": window.columns}).encode())
        if sys.stdin.fileno() in readable:
            self._type()
        if self._said_end_at is not None and time.monotonic() - self._said_end_at >= _SAY_AGAIN_SECONDS:
            self._end_input()  # who reads the terminal in another mode just then has not seen it as an end
        if self._connection.fileno() in readable:
            self._hear()
        self._flush()

    def _type(self) -> None:
        typed = os.read(sys.stdin.fileno(), _MOST_AT_ONCE)
        if typed:
            self._send(Opcode.BINARY, typed)
            return
        self._reads_input = False
        self._end_input()

    def _end_input(self) -> None:
        self._send(Opcode.BINARY, END_OF_INPUT)
        self._said_end_at = time.monotonic()

    def _hear(self) -> None:
        """What has come, but no more than once round: however much is printed, keys are heard."""
        while not self._over:
            try:
                data = self._connection.recv(_MOST_AT_ONCE)
            except _NOT_NOW:
                return
            except OSError:
                data = b""
            self._over = not data
            self._take(data)
            if not isinstance(self._connection, ssl.SSLSocket) or not self._connection.pending():
                return

    def _take(self, data: bytes) -> None:
        try:
            for opcode, payload in self._frames.feed(data):
                self._obey(opcode, payload)
        except (BadFrame, ValueError) as fault:
            raise Problem(f"what answers is no shell of Trainyard: {fault}") from None

    def _obey(self, opcode: Opcode, payload: bytes) -> None:
        if opcode is Opcode.BINARY:
            _print(payload)
            self._reads_input = self._reads_input or self._said_end_at is None
        elif opcode is Opcode.TEXT:
            said: Any = json.loads(payload)
            self._code, self._why = said.get("exit"), "the shell has ended; with which code is not known"
        elif opcode is Opcode.PING:
            self._send(Opcode.PONG, payload)
        elif opcode is Opcode.CLOSE:
            self._over = True
            self._why = payload[2:].decode(errors="replace") or self._why

    def _send(self, opcode: Opcode, payload: bytes) -> None:
        self._unsent += frame(opcode, payload, os.urandom(4))
        self._flush()

    def _flush(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self._connection.send(self._unsent)]
        except _NOT_NOW:
            return
        except OSError:
            self._unsent.clear()  # what was said before the end can still be read


def _print(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(sys.stdout.fileno(), view) :]


def _window() -> Window:
    usual = Window()
    try:
        size = os.get_terminal_size(sys.stdin.fileno())
    except OSError:
        size = os.terminal_size((usual.columns, usual.rows))
    window = Window(size.lines or usual.rows, size.columns or usual.columns, os.environ.get("TERM", ""))
    return Window(window.rows, window.columns, DEFAULT_TERM) if window.faults() else window


@contextlib.contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    """Keys are passed on as they are pressed, those of before too; what the terminal was it is again at the end."""
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _woken() -> Iterator[int]:
    """A descriptor that is readable when the window has another size."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.signal(signal.SIGWINCH, lambda *_: None)
    waker = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(waker)
        signal.signal(signal.SIGWINCH, before)
        os.close(reading)
        os.close(writing)
