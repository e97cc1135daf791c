"""dstack's server on a fresh home, in namespaces of its own, run by the Python of dstack's environment."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from samples import Samples, loopback_up, resident_mb, tell, timed

DSTACK = Path(sys.executable).parent / "dstack"
PORT = 3000


def cli_start(count: int) -> Samples:
    """Seconds of `dstack --version`."""
    return {"": [timed([str(DSTACK), "--version"]) for _ in range(count)]}


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


def server_ready(count: int) -> Samples:
    """Seconds from `dstack server` until it accepts connections."""
    return {"": [once()[0] for _ in range(count)]}


def server_memory(_: int) -> Samples:
    """Resident MB of the server, some seconds later."""
    return {"": [once(5.0)[1]]}


def once(rest: float = 0.0) -> tuple[float, float]:
    """Seconds until ready, and MB after a rest."""
    loopback_up()
    with tempfile.TemporaryDirectory() as home:
        ready, server = start(home)
        time.sleep(rest)
        memory = resident_mb([server.pid])
        server.kill()
        server.wait()
        return ready, memory


if __name__ == "__main__":
    tell(cli_start, server_ready, server_memory)
