"""Ports and GPUs of this machine, each held by at most one run group at a time."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from trainyard.core.errors import Unavailable
from trainyard.core.runs import Capacity, Places, RunGroup
from trainyard.executors.local.plan import Allotment

Kept = Places
_DRIVER_DEVICES = Path("/proc/driver/nvidia/gpus")
_ASKING_THE_DRIVER_SECONDS = 10.0


class Room:
    """What is free. Purely a ledger: what is allotted is made durable by the caller."""

    def __init__(self, ports: range, gpus: Sequence[str]) -> None:
        """`ports` to hand out; `gpus` as CUDA_VISIBLE_DEVICES names them."""
        self._ports = ports
        self._next = os.getpid() * 16 % len(ports)  # servers side by side do not race for the same port
        self._gpus = tuple(gpus)
        self._port_holders: dict[int, str] = {}
        self._gpu_holders: dict[str, str] = {}

    def hold(self, run_id: str, allotment: Allotment) -> None:
        """Enter what a group held already before this server came up."""
        self._port_holders.update(dict.fromkeys(allotment.ports.values(), run_id))
        self._gpu_holders.update({gpu: run_id for gpus in allotment.gpus.values() for gpu in gpus})

    def allot(self, group: RunGroup) -> Allotment:
        """A port for every replica and the dashboard, and the GPUs asked for; none at all where the machine has no GPU.

        Raises Unavailable, with nothing held, when there are not enough.
        """
        wanted = sum(spec.resources.gpus for spec in group.replicas) if self._gpus else 0
        free = [gpu for gpu in self._gpus if gpu not in self._gpu_holders]
        if wanted > len(free):
            raise Unavailable(f"{group.run_id} asks for {wanted} GPUs; {len(free)} of {len(self._gpus)} are free.")
        gpus: dict[str, tuple[str, ...]] = {}
        for spec in group.replicas:
            if wanted and spec.resources.gpus:
                gpus[spec.name], free = tuple(free[: spec.resources.gpus]), free[spec.resources.gpus :]
        names = _listeners(group)
        allotment = Allotment(dict(zip(names, self._free_ports(len(names)), strict=True)), gpus)
        self.hold(group.run_id, allotment)
        return allotment

    @staticmethod
    def imagined(group: RunGroup) -> Allotment:
        """What a plan shows before there is room: port 0 everywhere, no device."""
        return Allotment(dict.fromkeys(_listeners(group), 0), {})

    def give_back(self, run_id: str) -> None:
        """Free what the group holds; it may hold nothing."""
        self._port_holders = {port: holder for port, holder in self._port_holders.items() if holder != run_id}
        self._gpu_holders = {gpu: holder for gpu, holder in self._gpu_holders.items() if holder != run_id}

    def _free_ports(self, count: int) -> list[int]:
        """Ports that nobody holds or listens on; one just given back comes last."""
        found: list[int] = []
        for step in range(len(self._ports)):
            if len(found) == count:
                break
            port = self._ports[(self._next + step) % len(self._ports)]
            if port not in self._port_holders and _is_free(port):
                found.append(port)
        else:
            if len(found) < count:
                raise Unavailable(f"No {count} ports between {self._ports[0]} and {self._ports[-1]} are free.")
        self._next = (found[-1] + 1 - self._ports[0]) % len(self._ports) if found else self._next
        return found


def _listeners(group: RunGroup) -> list[str]:
    """Who gets a port: the replicas, and the dashboard where there is one."""
    names = [spec.name for spec in group.replicas]
    return names if group.dashboard is None else [*names, group.dashboard.key]


def _is_free(port: int) -> bool:
    """Whether a program could listen there on all addresses; asked without SO_REUSEADDR, as the strictest would."""
    with contextlib.closing(socket.socket()) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def cpus_and_memory() -> tuple[float, int]:
    """How many CPUs this process may use, and how many bytes of memory the machine has."""
    return float(len(os.sched_getaffinity(0))), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_reservations(whole: Capacity) -> None:
    """Raises Unavailable where more is set aside than there is."""
    replicas = sum(count for _, count in whole.reserved)
    if replicas > whole.replicas:
        raise Unavailable(
            f"The setting reservations sets {replicas} replicas aside; {whole.replicas} run here (--replicas)."
        )
    gpus = sum(each.replicas * each.each.gpus for each in whole.kept)
    if gpus > (whole.gpus or 0):
        raise Unavailable(f"The setting reservations sets {gpus} GPUs aside; this machine has {whole.gpus or 0}.")


def gpus_of_this_machine(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The devices that programs may be given: the server's CUDA_VISIBLE_DEVICES, else all that the driver has."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",")]
        return tuple(name for name in names if name and name != "-1")
    with contextlib.suppress(OSError):
        if count := len(list(_DRIVER_DEVICES.iterdir())):
            return tuple(map(str, range(count)))
    return _as_the_tool_says()


def _as_the_tool_says() -> tuple[str, ...]:
    """What nvidia-smi lists: where the driver has no /proc entry, as under WSL."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    try:
        answer = subprocess.run(
            [tool, "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=_ASKING_THE_DRIVER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    lines = answer.stdout.split() if answer.returncode == 0 else []
    return tuple(line for line in lines if line.isdecimal())
