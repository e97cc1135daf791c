"""A program in a container: begun by its engine, then watched, ended and accounted for like any child of ours.

`podman run --detach` leaves conmon and the container's first process behind, and both become children of the agent
that asked for it, a subreaper. The runtime that we give podman (executors/local/podman_config.py) ends conmon before
the program's first instruction, so the agent is in its place: output comes through our own pipes and the exit status
from the kernel, whoever is killed. What the engine needs to be told stands in `<control>.engine/`:

    words           what podman said, of use where nothing was started
    runtime.log     what the OCI runtime said, one JSON object a line
    conmon, pid     process ids: of conmon, and of the container's first process
    started         there once the program was let loose: from then on it counts as started
    cgroup          /proc/PID/cgroup of that process, from before it ran

The directory goes when the container is removed; while it is there, there may be one.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from trainyard.agent import ending, processes, program

RESULT: Final = "result"
PID: Final = "pid"
_WORDS, _RUNTIME_LOG, _CONMON, _STARTED, _CGROUP = "words", "runtime.log", "conmon", "started", "cgroup"
_START_SECONDS: Final = 120.0
_REMOVE_SECONDS: Final = 30.0
_REST_SECONDS: Final = (0.1, 0.5)
_LOOK_AGAIN_SECONDS: Final = 0.05
_LOWEST_FREE_DESCRIPTOR: Final = 10
_MOST_WORDS: Final = 4096
_INIT_COMPLAINS: Final = ("ERROR (catatonit:", "[FATAL tini (")  # the inits that engines put before a program


class NotStarted(Exception):
    """The engine started nothing; its text is what engine and runtime said."""


class Engine:
    """One incarnation's container as its agent holds it."""

    __slots__ = ("_remove", "directory", "env", "has_init", "is_foreground", "shell", "tells")

    def __init__(self, control: str, request: Mapping[str, Any]) -> None:
        """Take what the executor says of it.

        In `request`: `remove`, the command that leaves nothing of the container, `shell`, the one that opens a shell
        in it on the terminal that it is started on, `env` for these commands, `init`, whether the container's first
        process is an init, and `tells`, what a sentence about it needs to name. With
        `foreground`, the command that starts the container stays, copies its output and ends with it: its end lies in
        `result` (executors/local/docker_program.py), and it takes nothing with it that `remove` would not.
        """
        self.directory = directory_of(control)
        self._remove: list[str] = request["remove"]
        self.env: Mapping[str, str] = request["env"]
        self.shell: list[str] = request.get("shell", [])  # none by who asked before there were any
        self.has_init: bool = request["init"]
        self.is_foreground: bool = request.get("foreground", False)
        self.tells: Mapping[str, str] = request["tells"]

    def start(self, argv: list[str], env: Mapping[str, str], stdout: int, stderr: int) -> int:
        """The pid of the container's first process, a child of ours. Raises NotStarted."""
        try:
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
            if self.is_foreground:
                return program.start(argv, env, self.directory, stdout, stderr)
            for rest in _REST_SECONDS:
                try:
                    return self._attempt(argv, env, stdout, stderr)
                except NotStarted as failure:
                    if not self._may_try_again(str(failure)):
                        raise
                time.sleep(rest)
            return self._attempt(argv, env, stdout, stderr)
        except OSError as error:
            raise NotStarted(f"{argv[0]}: {error.strerror}") from None
        except program.CannotStart as failure:
            raise NotStarted(str(failure)) from None

    def _attempt(self, argv: list[str], env: Mapping[str, str], stdout: int, stderr: int) -> int:
        starting = self._spawn(argv, env, (stdout, stderr), self.directory)
        return self._first_process(has_started=_wait(starting, _START_SECONDS) == 0)

    def _may_try_again(self, words: str) -> bool:
        """Networks that come up at the same time may stand in each other's way; the program was not let loose yet."""
        if "netavark" not in words or os.path.exists(f"{self.directory}/{_STARTED}"):
            return False
        if _wait(self._spawn(self._remove, self.env, (), "/"), _REMOVE_SECONDS) != 0:
            return False
        for name in (_WORDS, _RUNTIME_LOG, _CONMON, PID):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.directory}/{name}")
        return True

    def find(self) -> int:
        """As `start`, after its caller was killed in the middle of it. Raises NotStarted."""
        if self.is_foreground and (ours := processes.children()):
            return min(ours)
        deadline = time.monotonic() + _START_SECONDS
        while starting := [pid for pid in processes.children() if pid not in self._known()]:
            if time.monotonic() > deadline:
                os.kill(starting[0], signal.SIGKILL)
            _wait(starting[0], _LOOK_AGAIN_SECONDS, insist=False)
        return self._first_process(has_started=os.path.exists(f"{self.directory}/{_STARTED}"))

    def was_begun(self) -> bool:
        """Whether the engine was asked already: its command may be on its way without being a child of ours."""
        return os.path.exists(f"{self.directory}/{_WORDS}")

    def counters(self) -> str:
        """The file that names the container's control groups."""
        return f"{self.directory}/{_CGROUP}"

    def roots(self) -> list[int]:
        """The container's first process; as long as it is not known, our own children."""
        first = _number(f"{self.directory}/{PID}")
        return [first] if first > 0 else processes.children()

    def remove(self) -> None:
        """Leave nothing of the container, nor of the directory; what can't be removed now is left to the server."""
        if not os.path.exists(self.directory):
            return
        import shutil  # noqa: PLC0415 - it brings the compressors along, which no agent of a plain program needs

        groups = _groups(self.counters())
        try:
            if _wait(self._spawn(self._remove, self.env, (), "/"), _REMOVE_SECONDS) != 0:
                return
        except OSError:
            return
        for group in groups:  # runc leaves those of the unified hierarchy behind on machines that have both
            with contextlib.suppress(OSError):
                os.rmdir(group)
        shutil.rmtree(self.directory, ignore_errors=True)

    def result(self) -> dict[str, Any] | None:
        """What a command in the foreground says of its container; None where it was killed before it could."""
        with contextlib.suppress(ValueError):
            found: dict[str, Any] = json.loads(_read(f"{self.directory}/{RESULT}"))
            return found
        return None

    def words(self) -> str:
        """What the runtime said, which knows more, or else the engine."""
        return _read(f"{self.directory}/{_RUNTIME_LOG}").strip() or _read(f"{self.directory}/{_WORDS}").strip()

    def _first_process(self, *, has_started: bool) -> int:
        """After the engine's command has ended: what it left is ours to watch, or to end."""
        conmon, first = _number(f"{self.directory}/{_CONMON}"), _number(f"{self.directory}/{PID}")
        ours = processes.children()
        if conmon in ours:
            os.kill(conmon, signal.SIGKILL)
            os.waitpid(conmon, 0)
            ours = processes.children()
        if has_started and first in ours:
            return first
        for pid in ours:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        raise NotStarted(self.words() or "the engine started nothing and said nothing")

    def _known(self) -> tuple[int, int]:
        return _number(f"{self.directory}/{_CONMON}"), _number(f"{self.directory}/{PID}")

    def _spawn(self, argv: list[str], env: Mapping[str, str], streams: tuple[int, ...], where: str) -> int:
        """Start a command of the engine in directory `where`; `streams` become its descriptors from 3 on."""
        actions: list[Any] = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, f"{self.directory}/{_WORDS}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        copies = [_out_of_the_way(stream) for stream in streams]
        actions += [(os.POSIX_SPAWN_DUP2, copy, 3 + number) for number, copy in enumerate(copies)]
        os.chdir(where)
        try:
            return os.posix_spawn(
                argv[0], argv, env, file_actions=actions, setsid=True, setsigmask=[], setsigdef=[signal.SIGTERM]
            )
        finally:
            os.chdir("/")
            for copy in copies:
                os.close(copy)


def directory_of(control: str) -> str:
    """Where the engine's files of one incarnation lie."""
    return f"{control}.engine"


def judged(record: dict[str, Any], engine: Engine, error_tail: Callable[[], str]) -> dict[str, Any]:
    """The exit record of a contained program; one that its init could not execute was never started."""
    if engine.is_foreground:
        record = _as_told(record, engine)
    if record.get("code") in (1, 126, 127) and (engine.has_init or engine.is_foreground):
        said = error_tail()
        if " exec " in said and said.startswith(_INIT_COMPLAINS):
            return not_started(said, engine)
    return record


def _as_told(record: dict[str, Any], engine: Engine) -> dict[str, Any]:
    result = engine.result()
    if result is None or record["cause"] == ending.STOPPED:
        return record
    if "words" in result:
        record = not_started(result["words"], engine)
        return {**record, "cause": ending.LOST} if "lost" in result else record
    if result["oom"]:
        return {**record, "cause": ending.OUT_OF_MEMORY, "message": "Its engine says that its memory limit ended it."}
    return record


def not_started(words: str, engine: Engine) -> dict[str, Any]:
    """The record of a container that did not come up; the server finds the sentence for the engine's words."""
    record = ending.unstarted(ending.START_FAILED, "")
    return {**record, "engine_words": words[-_MOST_WORDS:], "tells": dict(engine.tells)}


def _wait(pid: int, seconds: float, *, insist: bool = True) -> int | None:
    """The child's status, reaped; killed after `seconds` where we `insist`, else None while it runs."""
    with contextlib.suppress(OSError):
        ended = os.pidfd_open(pid)
        poller = select.poll()
        poller.register(ended, select.POLLIN)
        seen = poller.poll(seconds * 1000)
        os.close(ended)
        if not seen and not insist:
            return None
        if not seen:
            os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return None


def _out_of_the_way(descriptor: int) -> int:
    import fcntl  # noqa: PLC0415 - only containers need it here

    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _LOWEST_FREE_DESCRIPTOR)


def _groups(path: str) -> list[str]:
    """Directories of the control groups that a file in the form of /proc/PID/cgroup names, except the root ones."""
    found = []
    for line in _read(path).splitlines():
        _, controllers, group = line.split(":", 2)
        if group.strip("/"):
            found.append(f"/sys/fs/cgroup/{controllers.removeprefix('name=') or 'unified'}{group}")
            found.append(f"/sys/fs/cgroup{group}")
    return found


def _number(path: str) -> int:
    text = _read(path).strip()
    return int(text) if text.isdecimal() else -1


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="replace")
    except OSError:
        return ""
