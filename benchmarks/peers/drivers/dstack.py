"""dstack's server on a fresh home, in namespaces of its own, run by the Python of dstack's environment."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DSTACK = Path(sys.executable).parent / "dstack"
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
PORT = 3000


def loopback_up() -> None:
    """`ip link set lo up`, without needing ip (netdevice(7))."""
    with socket.socket() as any_socket:
        asked = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def cli_start(count: int) -> dict[str, list[float]]:
    """Seconds of `dstack --version`."""
    found = []
    for _ in range(count):
        began = time.perf_counter()
        subprocess.run([DSTACK, "--version"], check=True, capture_output=True)
        found.append(time.perf_counter() - began)
    return {"": found}


def start(home: str) -> tuple[float, subprocess.Popen[bytes]]:
    """Start a server; seconds until it accepts connections."""
    quiet = {**os.environ, "HOME": home, "DSTACK_SERVER_DIR": home, "DSTACK_SERVER_DISABLE_TELEMETRY": "1"}
    began = time.perf_counter()
    server = subprocess.Popen(
        [DSTACK, "server", "--port", str(PORT), "--yes"],
        env=quiet,
        cwd=home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", PORT), 1).close()
            return time.perf_counter() - began, server
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f"dstack server ended with {server.returncode}")


def server_ready(count: int) -> dict[str, list[float]]:
    """Seconds from `dstack server` until it accepts connections."""
    return {"": [once()[0] for _ in range(count)]}


def server_memory(_: int) -> dict[str, list[float]]:
    """Resident MB of the server, some seconds later."""
    return {"": [once(5.0)[1]]}


def once(rest: float = 0.0) -> tuple[float, float]:
    """Seconds until ready, and MB after a rest."""
    loopback_up()
    with tempfile.TemporaryDirectory() as home:
        ready, server = start(home)
        time.sleep(rest)
        lines = Path(f"/proc/{server.pid}/status").read_text().splitlines()
        memory = sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024
        server.kill()
        server.wait()
        return ready, memory


FIGURES = {each.__name__: each for each in (cli_start, server_ready, server_memory)}

if __name__ == "__main__":
    print(json.dumps(FIGURES[sys.argv[1]](int(sys.argv[2]))))
