"""What a tree of processes uses, read from /proc, and from the control groups of a container where it has its own.

Of a process tree, memory is the sum of what is resident: a page that two processes share counts for both. Of control
groups it is what the kernel charges the container, without file cache that it would give up at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from trainyard.agent.memory import OWN_GROUPS

_TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_GROUPS = "/sys/fs/cgroup"


class Account:
    """One reading, as in core/usage_records.Sample."""

    __slots__ = ("cpu_us", "gpu_memory_bytes", "memory_bytes", "processes", "read_bytes", "written_bytes")

    def __init__(self) -> None:
        """Nothing is used."""
        self.cpu_us = self.memory_bytes = self.processes = self.gpu_memory_bytes = 0
        self.read_bytes = self.written_bytes = 0

    def add(self, other: Account) -> None:
        """Count what ended processes have used."""
        self.cpu_us += other.cpu_us
        self.read_bytes += other.read_bytes
        self.written_bytes += other.written_bytes


def of_tree(roots: Iterable[int]) -> Account:
    """The roots and all below them. A process has the counts of its children that it has waited for."""
    account, ahead, seen = Account(), list(roots), set[int]()
    while ahead:
        pid = ahead.pop()
        if pid in seen:
            continue
        seen.add(pid)
        stat = _read(f"/proc/{pid}/stat")
        if not stat:
            continue
        fields = stat[stat.rindex(b")") + 2 :].split()
        account.cpu_us += sum(map(int, fields[11:15])) * _TICK_US
        account.memory_bytes += int(fields[21]) * _PAGE_BYTES
        account.processes += 1
        for line in _read(f"/proc/{pid}/io").splitlines():
            name, _, value = line.partition(b": ")
            if name == b"read_bytes":
                account.read_bytes += int(value)
            elif name == b"write_bytes":
                account.written_bytes += int(value)
        ahead += _children(pid, int(fields[17]))
    return account


def _children(pid: int, threads: int) -> list[int]:
    """Of all threads: a child is its thread's."""
    tasks = [str(pid)]
    if threads > 1:
        try:
            tasks = os.listdir(f"/proc/{pid}/task")
        except OSError:
            return []
    return [int(child) for task in tasks for child in _read(f"/proc/{pid}/task/{task}/children").split()]


def of_groups(account: Account, path: str) -> None:
    """Put what the container's own control groups know better in its place; `path` is of the form /proc/PID/cgroup."""
    own = set(_read(OWN_GROUPS).splitlines())
    for line in _read(path).splitlines():
        _, controllers, group = line.decode(errors="replace").split(":", 2)
        if line in own or group == "/":  # the engine could not give it one
            continue
        if not controllers:
            _of_unified(account, f"{_GROUPS}{group}")
        for controller in controllers.split(","):
            _of_controller(account, controller, f"{_GROUPS}/{controllers}{group}")


def _of_unified(account: Account, directory: str) -> None:
    if (used := _named(f"{directory}/cpu.stat").get("usage_usec")) is not None:
        account.cpu_us = used
    if (used := _number(f"{directory}/memory.current")) is not None:
        account.memory_bytes = used - _named(f"{directory}/memory.stat").get("inactive_file", 0)
    devices = _read(f"{directory}/io.stat").split()
    if devices:
        counts = [item.partition(b"=") for item in devices]
        account.read_bytes = sum(int(value) for name, _, value in counts if name == b"rbytes")
        account.written_bytes = sum(int(value) for name, _, value in counts if name == b"wbytes")


def _of_controller(account: Account, controller: str, directory: str) -> None:
    if controller == "cpuacct" and (used := _number(f"{directory}/cpuacct.usage")) is not None:
        account.cpu_us = used // 1000
    if controller == "memory" and (used := _number(f"{directory}/memory.usage_in_bytes")) is not None:
        account.memory_bytes = used - _named(f"{directory}/memory.stat").get("total_inactive_file", 0)
    if controller == "blkio":
        lines = [line.split() for line in _read(f"{directory}/blkio.throttle.io_service_bytes").splitlines()]
        if lines:
            account.read_bytes = sum(int(words[2]) for words in lines if words[1:2] == [b"Read"])
            account.written_bytes = sum(int(words[2]) for words in lines if words[1:2] == [b"Write"])


def _named(path: str) -> dict[str, int]:
    """Lines of a name and a number."""
    pairs = (line.split() for line in _read(path).decode(errors="replace").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def _number(path: str) -> int | None:
    content = _read(path).strip()
    return int(content) if content.isdigit() else None


def _read(path: str) -> bytes:
    """The whole of a file that the kernel makes up; empty where it is gone or not for us."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        content = os.read(descriptor, 65536)
        while chunk := os.read(descriptor, 65536) if len(content) >= 4096 else b"":
            content += chunk
    except OSError:
        return b""
    finally:
        os.close(descriptor)
    return content
