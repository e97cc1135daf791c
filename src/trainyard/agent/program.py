"""Starts a user's program in a session of its own, or says in one sentence why it can't be started."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Mapping
from typing import Any

_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
# What we, Python, a shell or nohup may have set to be ignored: the only disposition that an exec keeps.
_FRESH_SIGNALS = [
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGPIPE,
    signal.SIGTERM,
    signal.SIGCHLD,
    signal.SIGXFSZ,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
]


class CannotStart(Exception):
    """The program can't be started; its text is a sentence for the job's owner."""


def start(argv: list[str], env: Mapping[str, str], directory: str, stdout: int, stderr: int) -> int:
    """The pid of the started program; when this returns, its exec has succeeded. Raises CannotStart.

    posix_spawn reports a failed exec to the caller, and shares our memory until then instead of copying it.
    """
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, stdout, 1),
        (os.POSIX_SPAWN_DUP2, stderr, 2),
    ]
    return _spawn(argv, env, directory, actions)


def start_on(argv: list[str], env: Mapping[str, str], directory: str, terminal: int) -> int:
    """As `start`, on a terminal, which becomes the one that controls the new session."""
    # Opened anew: the first terminal that the leader of a session opens is that which controls it (tty(4)).
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, f"/proc/self/fd/{terminal}", os.O_RDWR, 0),
        (os.POSIX_SPAWN_DUP2, 0, 1),
        (os.POSIX_SPAWN_DUP2, 0, 2),
    ]
    return _spawn(argv, env, directory, actions)


def _spawn(argv: list[str], env: Mapping[str, str], directory: str, actions: list[Any]) -> int:
    path = find(argv[0], env, directory)
    try:
        os.chdir(directory)
    except OSError as error:
        raise CannotStart(f"Its working directory {directory} can't be entered: {error.strerror}.") from None
    try:
        return os.posix_spawn(
            path, argv, env, file_actions=actions, setsid=True, setsigmask=[], setsigdef=_FRESH_SIGNALS
        )
    except OSError as error:
        raise CannotStart(_sentence(error, path)) from None
    except ValueError as error:
        raise CannotStart(f"The command can't be executed: {error}.") from None
    finally:
        os.chdir("/")


def find(program: str, env: Mapping[str, str], directory: str) -> str:
    """The file that a shell would execute for `program`; raises CannotStart where there is none."""
    if not program:
        raise CannotStart("The command is empty: the first entry of containerSpec.command names no program.")
    if "/" in program:
        return program
    path = env.get("PATH") or _DEFAULT_PATH
    for folder in path.split(":"):
        candidate = os.path.join(directory, folder, program)  # an empty entry means the working directory
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    raise CannotStart(f"The program {program!r} was not found; the replica's PATH is {path}.")


def _sentence(error: OSError, path: str) -> str:
    if error.errno == errno.ENOENT:
        if os.path.exists(path):
            return f"{path} can't be executed: the interpreter named in its first line does not exist."
        return f"The program {path} does not exist on this machine."
    if error.errno == errno.EACCES:
        reason = "it is a directory" if os.path.isdir(path) else "it is not executable (permission denied)"
        return f"{path} can't be executed: {reason}."
    if error.errno == errno.ENOEXEC:
        return f"{path} can't be executed: it is neither a program for this machine nor a script with a #! line."
    if error.errno == errno.E2BIG:
        return f"{path} can't be executed: its arguments and environment are larger than the system allows."
    return f"{path} can't be executed: {error.strerror}."
