"""gcp-storage-emulator, which keeps objects on disk, behind the client that measures us too; prints samples as JSON."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.pop(0)  # this directory: its files are named for the libraries that they drive

CLIENT = Path(__file__).parents[2] / "storage_client.py"
START_SECONDS = 30.0


def objects(count: int) -> dict[str, list[float]]:
    """All figures of the client; `count` megabytes in one object, and ten times as many small objects."""
    with tempfile.TemporaryDirectory(prefix="trainyard-bench-") as scratch:
        home, work = Path(scratch, "kept"), Path(scratch, "work")
        home.mkdir()
        work.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [Path(sys.executable).parent / "gcp-storage-emulator", f"--data-dir={home}", "start", "--quiet"]
        emulator = subprocess.Popen(
            [*command, "--host=127.0.0.1", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _wait(port)
            endpoint, sizes = f"http://127.0.0.1:{port}", (str(count), str(count * 10))
            asked = [sys.executable, str(CLIENT), endpoint, str(work), *sizes]
            said = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
        finally:
            emulator.kill()
            emulator.wait()
    return {name: [value] for name, value in json.loads(said).items()}


def _wait(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


FIGURES = {each.__name__: each for each in (objects,)}

if __name__ == "__main__":
    print(json.dumps(FIGURES[sys.argv[1]](int(sys.argv[2]))))
