"""Evidence that the kernel ended a program for its memory, counted before and after, and never guessed."""

from __future__ import annotations

import os
from typing import Final

OWN_GROUPS: Final = "/proc/self/cgroup"


class KillCounter:
    """The kernel's count of out-of-memory kills that a program started here would raise.

    The counter of our own control group where it has one (memory.events of cgroup v2, memory.oom_control of v1):
    the program is in the same group. Else the machine's (/proc/vmstat).
    """

    __slots__ = ("before", "path")

    def __init__(self, before: int | None = None, groups: str = OWN_GROUPS) -> None:
        """Read the count, before the program starts; `before` is what another agent read then.

        `groups` names the control groups of the program, in the form of /proc/PID/cgroup.
        """
        self.path, self.before = "", 0
        for path in (*_group_files(groups), "/proc/vmstat"):
            count = _oom_kills(path)
            if count is not None:
                self.path, self.before = path, count if before is None else before
                return

    @classmethod
    def of_new_groups(cls, groups: str) -> KillCounter:
        """Of groups that were made for the program, which may have been ended in them already."""
        counter = cls(None, groups)
        counter.before = 0 if counter.is_ours else counter.before
        return counter

    def risen(self) -> int:
        """How many processes the kernel has ended for memory since."""
        return (_oom_kills(self.path) or 0) - self.before if self.path else 0

    @property
    def is_ours(self) -> bool:
        """Whether the count is of our control group rather than of the whole machine."""
        return self.path != "/proc/vmstat"


def _group_files(groups: str) -> list[str]:
    files = []
    for line in _text(groups).splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:  # inside a container "/" is the container's own group
            files.append(f"/sys/fs/cgroup{path.rstrip('/')}/memory.events")
        elif "memory" in controllers.split(",") and path != "/":
            files.append(f"/sys/fs/cgroup/memory{path}/memory.oom_control")
    return files


def _oom_kills(path: str) -> int | None:
    for line in _text(path).splitlines():
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    return None


def _text(path: str) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        content = b""
        while chunk := os.read(descriptor, 65536):
            content += chunk
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    return content.decode(errors="replace")
