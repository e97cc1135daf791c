"""What the drivers share: standard library only, as each is run by the Python of its peer's own environment."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

Samples = dict[str, list[float]]
"""By the name of the variant; "" for the only one."""

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1


def timed(command: list[str]) -> float:
    """Seconds that a command takes."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def loopback_up() -> None:
    """`ip link set lo up`, without needing ip (netdevice(7)): in a network namespace of one's own it is down."""
    with socket.socket() as any_socket:
        asked = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def resident_mb(pids: Iterable[int]) -> float:
    """Resident memory of these processes together (proc(5))."""
    lines = (line for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def resident_mb_of_all() -> float:
    """Of everything in this process's own pid namespace but itself."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    return resident_mb(pid for pid in pids if pid != os.getpid())


def tell(*figures: Callable[[int], Samples]) -> None:
    """Print the samples of the figure that the command line names, as many as it says."""
    by_name = {figure.__name__: figure for figure in figures}
    print(json.dumps(by_name[sys.argv[1]](int(sys.argv[2]))))
