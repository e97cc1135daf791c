"""A shell in a container of Docker's API, on the terminal that this program is started on: `docker_shell NAME`.

It ends with the shell's exit code. The engine leaves a shell alone whose client is gone, so that a hang-up here is
told to it by one more command in the container, which finds it by the mark in its environment.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import ssl
import struct
import sys
import termios
import time
import tty
from typing import Any, Final

import docker

from trainyard.agent.shells import SHELL, SHELL_VARIABLE

HUNG_UP: Final = 128 + signal.SIGHUP
_GONE: Final = 128 + signal.SIGKILL
_NOT_FOUND: Final = 127
_MOST_AT_ONCE: Final = 1 << 16
_LOOKS_AT_THE_START: Final = 400
_LOOKS_AT_THE_END: Final = 100
_NOT_UP: Final = (404, 409)  # no container of that name, or none that runs
_AS_PODMAN_SAYS: Final = "container state improper"
_LOOK_AGAIN_SECONDS: Final = 0.05
_NOT_NOW: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_NO_KEYS: Final = "ctrl-@,ctrl-@,ctrl-@,ctrl-^,ctrl-_"  # that leave it: there are some always, and nobody types these
_TELL: Final = """
for entry in /proc/[0-9]*/environ; do
  while IFS= read -r -d '' variable; do
    if [ "$variable" = "$0" ]; then pid=${entry#/proc/}; kill -HUP "${pid%/environ}"; fi
  done <"$entry"
done 2>/dev/null
"""


class DockerShell:
    """One person's shell in one container, until either ends."""

    def __init__(self, container: str) -> None:
        """Raises DockerException, OSError."""
        self._api = docker.from_env().api
        self._container = container
        self._mark = f"{SHELL_VARIABLE}={os.environ.get(SHELL_VARIABLE, '')}"
        self._id = self._made()

    def _made(self) -> str:
        """The program that an agent watches is up before its container is."""
        variables = [f"TERM={os.environ.get('TERM', '')}", self._mark]
        how = {"stdin": True, "tty": True, "environment": variables, "detach_keys": _NO_KEYS}
        for looks_left in range(_LOOKS_AT_THE_START, 0, -1):
            try:
                made = self._api.exec_create(self._container, [SHELL], **how)
                return str(made["Id"])
            except docker.errors.APIError as error:
                if looks_left == 1 or (error.status_code not in _NOT_UP and _AS_PODMAN_SAYS not in str(error)):
                    raise
            time.sleep(_LOOK_AGAIN_SECONDS)
        raise AssertionError("the last look raises")

    def run(self) -> int:
        """The shell's exit code. Raises DockerException, OSError."""
        reading, writing = os.pipe()
        for descriptor in (reading, writing):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        hung_up = False

        def hang_up(*_: object) -> None:
            nonlocal hung_up
            hung_up = True

        signal.signal(signal.SIGHUP, hang_up)
        signal.signal(signal.SIGWINCH, lambda *_: None)
        raw = self._api.exec_start(self._id, tty=True, socket=True)
        connection = getattr(raw, "_sock", raw)
        connection.setblocking(False)
        os.write(1, _early(raw))
        self._resize()
        typed = b""
        while not hung_up:
            wanted = [connection, reading] if typed else [connection, reading, 0]
            readable, _, _ = select.select(wanted, [connection] if typed else [], [])
            if reading in readable:
                os.read(reading, _MOST_AT_ONCE)
                self._resize()
            if 0 in readable and not (typed := _typed()):
                break
            typed = _sent(connection, typed)
            if connection in readable and not _printed(connection):
                return self._end()
        self._tell()
        return HUNG_UP

    def _resize(self) -> None:
        rows, columns, _, _ = struct.unpack("4H", fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))
        for _ in range(_LOOKS_AT_THE_END):  # it takes a moment to come up
            with contextlib.suppress(docker.errors.APIError):
                self._api.exec_resize(self._id, height=rows, width=columns)
                return
            time.sleep(_LOOK_AGAIN_SECONDS)

    def _end(self) -> int:
        """Where the container went with it, the engine knows no more of either."""
        for _ in range(_LOOKS_AT_THE_END):
            try:
                seen = self._api.exec_inspect(self._id)
            except docker.errors.NotFound:
                return _GONE
            if not seen["Running"]:
                return int(seen["ExitCode"])
            time.sleep(_LOOK_AGAIN_SECONDS)
        return _GONE

    def _tell(self) -> None:
        """The shell, and what it runs, are to hear that their person is gone."""
        command = self._api.exec_create(self._container, [SHELL, "-c", _TELL, self._mark], environment=[])
        self._api.exec_start(command["Id"])


def _early(raw: Any) -> bytes:
    """What was read together with the head of the engine's answer."""
    response = getattr(raw, "_response", None)
    reader = response.raw._fp.fp if response is not None else None
    return bytes(reader.peek()) if reader is not None and hasattr(reader, "peek") else b""


def _typed() -> bytes:
    """The next keys; empty once nobody can press any more."""
    try:
        return os.read(0, _MOST_AT_ONCE)
    except OSError:
        return b""


def _sent(connection: Any, typed: bytes) -> bytes:
    """What it did not take yet."""
    with contextlib.suppress(*_NOT_NOW):
        while typed:
            typed = typed[connection.send(typed) :]
    return typed


def _printed(connection: Any) -> bool:
    """Whether more may come."""
    try:
        data = connection.recv(_MOST_AT_ONCE)
    except _NOT_NOW:
        return True
    except OSError:
        return False
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]
    return bool(data)


def main() -> int:
    """What went wrong is said on the terminal, as by a shell that could not start."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as a shell does; it ends with its container
    tty.setraw(0, termios.TCSADRAIN)  # what was typed before counts
    try:
        return DockerShell(sys.argv[1]).run()
    except (docker.errors.DockerException, OSError) as error:
        said = str(getattr(error, "explanation", None) or error)
        with contextlib.suppress(OSError):
            os.write(1, f"No shell can be opened: {said}\r\n".encode())
        return _NOT_FOUND


if __name__ == "__main__":
    sys.exit(main())
