"""`trainyard serve` comes up fast and small, goes down clean, and says in one sentence what is in its way."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from edge_server import BUSY_SECONDS, Api, Server, running

MIB = 1024 * 1024


def refused(command: list[str], code: int, *said: str, **environment: str) -> str:
    """Run a serve that must end by itself: exit code, and one sentence on stderr that says these words."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for words in said:
        assert words in done.stderr
    assert done.stdout == ""
    return done.stderr


def test_it_is_small_and_loads_nothing_before_it_is_needed(tmp_path: Path) -> None:
    """Idle memory is at most 80 MB, because what only some requests need is not there yet (speed: benchmarks/)."""
    with Server(tmp_path / "data") as server:
        assert server.memory_bytes() <= 80_000_000
        mapped = Path(f"/proc/{server.process.pid}/maps").read_text()
        assert "grpc/_cython" not in mapped
        assert "cryptography" not in mapped


def test_the_ready_line_says_where(tmp_path: Path) -> None:
    """One line on stdout: version, address, data directory; and it is true when it is said."""
    with Server(tmp_path / "data") as server:
        assert server.ready_line.startswith("trainyard 0.")
        where = rf"ready: http://127\.0\.0\.1:{server.port} \(REST and gRPC\), postgresql://127\.0\.0\.1:\d+ \(SQL\), "
        assert re.search(f"{where}data in {tmp_path / 'data'}", server.ready_line)
        api = Api(server.port)
        assert api.call("GET", "/trainyard/v1/health").json["status"] == "ok"
        api.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_clean(tmp_path: Path, number: int) -> None:
    """SIGTERM and SIGINT end it with 0 in well under a second when it is idle, HTTP and gRPC connections or not."""
    from grpc_calls import Grpc

    with Server(tmp_path / "data", "--drain", "60") as server, Grpc(server.port) as rpc:
        api = Api(server.port)
        assert api.list().status == 200
        request = rpc.message("ListCustomJobsRequest", parent="projects/p/locations/us-central1")
        rpc.call("JobService/ListCustomJobs", request, "ListCustomJobsResponse")
        begun = time.monotonic()
        assert server.stop(number) == 0
        assert time.monotonic() - begun < 3 + BUSY_SECONDS
        assert "Traceback" not in server.stderr()
        api.close()


def test_running_jobs_outlive_it(tmp_path: Path) -> None:
    """A job that runs goes on while the server is down, and ends as it would have."""
    gate = tmp_path / "gate"
    job = running("sh", "-c", f"echo before; while [ ! -e {gate} ]; do sleep 0.05; done; echo after")
    with Server(tmp_path / "data") as server:
        api = Api(server.port)
        name = api.made(job)["name"]
        api.wait(name, {"JOB_STATE_RUNNING"})
        api.close()
        assert server.stop() == 0
    gate.touch()
    with Server(tmp_path / "data") as server:
        api = Api(server.port)
        assert api.wait(name)["state"] == "JOB_STATE_SUCCEEDED"
        assert api.call("GET", f"/trainyard/v1/{name}/logs/workerpool0-0/stdout").body == b"before\nafter\n"
        api.close()


def test_requests_under_way_are_finished(tmp_path: Path) -> None:
    """Creates that are being answered when SIGTERM comes are answered, and every answered one is there afterwards."""
    made: list[str] = []

    def create(port: int) -> None:
        api = Api(port, "p-stop")
        with contextlib.suppress(OSError, http.client.HTTPException):  # it has gone, as it was told
            while True:
                answer = api.create(running("true"))
                if answer.status == 200:
                    made.append(answer.json["name"])

    with Server(tmp_path / "data") as server:
        threads = [threading.Thread(target=create, args=(server.port,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        while len(made) < 30:
            time.sleep(0.01)
        assert server.stop() == 0
        for thread in threads:
            thread.join()
    with Server(tmp_path / "data") as server:
        api = Api(server.port, "p-stop")
        for name in made:
            assert api.get(name).status == 200
        api.close()


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    """Exit code 1 and a sentence that names the port and the way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused(Server(tmp_path / "data", port=port).command, 1, f"port {port}", "--port")
    assert not (tmp_path / "data").exists()


def test_a_second_server_is_turned_away(tmp_path: Path) -> None:
    """Two servers never share a data directory; the second says which process has it."""
    with Server(tmp_path / "data") as first:
        refused(first.command, 1, f"process {first.process.pid}", "--data-dir")
        api = Api(first.port)
        assert api.list().status == 200
        api.close()


def test_a_directory_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    """A file in its place, or a read-only parent, is one sentence."""
    (tmp_path / "file").write_text("")
    refused(Server(tmp_path / "file").command, 1, "data directory")
    refused(Server(Path("/proc/trainyard")).command, 1, "/proc")


def test_a_broken_store_is_said(tmp_path: Path) -> None:
    """Noise in the place of the store file is one sentence, and the file is left as it is."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "trainyard.db").write_bytes(b"noise" * 1000)
    refused(Server(data).command, 1, "damaged")
    assert (data / "trainyard.db").read_bytes() == b"noise" * 1000


def test_a_newer_store_is_said(tmp_path: Path) -> None:
    """A data directory of a later release is refused, not touched."""
    import sqlite3

    with Server(tmp_path / "data"):
        pass
    connection = sqlite3.connect(tmp_path / "data" / "trainyard.db")
    connection.execute("PRAGMA user_version = 9999")
    connection.close()
    refused(Server(tmp_path / "data").command, 1, "newer")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--host", "0.0.0.0"], "others can reach"),
        (["--port", "70000"], "65535"),
        (["--log-level", "loud"], "debug, info"),
        (["--replica-ports", "5-1"], "range of ports"),
    ],
)
def test_what_cannot_be_meant_is_said(tmp_path: Path, flags: list[str], said: str) -> None:
    """Exit code 2 and a sentence that names the flag."""
    refused(Server(tmp_path / "data", *flags).command, 2, flags[0], said)
    assert not (tmp_path / "data").exists()


def test_a_bad_settings_file_is_said(tmp_path: Path) -> None:
    """The file and the line are named."""
    (tmp_path / "settings.toml").write_text("drain = 1\nprot = 2\n")
    refused(Server(tmp_path).command, 2, "settings.toml, line 2", "did you mean port?")


def test_a_bad_variable_is_said(tmp_path: Path) -> None:
    """The variable is named."""
    refused(Server(tmp_path / "data").command, 2, "TRAINYARD_DRAIN", TRAINYARD_DRAIN="soon")


def test_an_open_token_file_is_said(tmp_path: Path) -> None:
    """A token file that others can read keeps the server down."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "tokens").write_text("me " + "0" * 64 + "\n")
    (data / "tokens").chmod(0o644)
    refused(Server(data, "--auth").command, 1, "chmod 600")


def test_stdout_may_be_closed(tmp_path: Path) -> None:
    """A parent that does not read the ready line does not keep the service from working."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.Popen(
        Server(tmp_path / "data", port=port).command, stdout=writer, stderr=subprocess.PIPE, cwd="/", text=True
    )
    os.close(writer)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                api = Api(port)
                assert api.call("GET", "/trainyard/v1/health").status == 200
                api.close()
                break
            except OSError:
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.02)
    finally:
        process.terminate()
        errors = process.communicate(timeout=60)[1]
    assert process.returncode == 0
    assert "Traceback" not in errors


def test_the_module_is_the_program() -> None:
    """`python -m trainyard serve --help` names every setting."""
    from dataclasses import fields

    from trainyard.settings import Settings

    shown = subprocess.run(
        [sys.executable, "-m", "trainyard", "serve", "--help"], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    for each in fields(Settings):
        assert f"--{each.name.replace('_', '-')}" in shown
