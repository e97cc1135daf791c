"""Programs that will not end are ended; everything of ours killed at once leaves nothing behind and nothing twice."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest
from edge_server import BUSY_SECONDS, Api, Server, running

RUNNING = {"JOB_STATE_RUNNING"}
IGNORE = """
import os, signal, time
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
"""
DEAF = IGNORE + "while True: time.sleep(100)\n"
RUNS_AWAY = (
    IGNORE
    + """
if os.fork():
    while True: time.sleep(100)
while True:
    if os.fork():
        os._exit(0)
    os.setsid()
    time.sleep(0.0005)
"""
)
SPREADS = """
import os, time
for _ in range(200):
    if not os.fork():
        if os.fork():
            os._exit(0)
        os.setsid()
        while True: time.sleep(100)
while True: time.sleep(100)
"""
FIRST_THREAD_ENDS = """
import ctypes, os, threading, time
if os.fork():
    while True: time.sleep(100)
os.setsid()
threading.Thread(target=lambda: time.sleep(300)).start()
ctypes.CDLL(None).syscall({"x86_64": 60}.get(os.uname().machine, 93), 0)
"""


def with_in_its_environment(text: str) -> list[int]:
    """Processes that were started with this text in their environment; asked by thread, since the first may be gone."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has gone meanwhile
            for thread in (process / "task").iterdir():
                with contextlib.suppress(OSError):
                    if text.encode() in (thread / "environ").read_bytes():
                        found.add(int(process.name))
    return sorted(found - {os.getpid()})


def family(pid: int) -> list[int]:
    """A process and all below it."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(path.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


@pytest.mark.parametrize(
    "command",
    [
        ["python3", "-c", DEAF],
        ["python3", "-c", RUNS_AWAY],
        ["python3", "-c", SPREADS],
        ["python3", "-c", FIRST_THREAD_ENDS],
        ["yes"],
    ],
    ids=["ignores every signal", "forks for ever", "spreads", "its first thread ends", "floods its output"],
)
def test_a_cancel_ends_any_program(tmp_path: Path, command: list[str]) -> None:
    """CANCELLED within the grace and two seconds, no process left, the server as small as before."""
    mark = f"acceptance-{tmp_path.name}"
    with Server(tmp_path / "data", "--grace", "1") as server:
        api = Api(server.port)
        body = running(*command)
        body["jobSpec"]["workerPoolSpecs"][0]["containerSpec"]["env"] = [{"name": "MARK", "value": mark}]
        name = api.made(body)["name"]
        api.wait(name, RUNNING)
        time.sleep(0.7)
        begun = time.monotonic()
        assert api.call("POST", f"{name}:cancel", {}).status == 200
        assert api.wait(name)["state"] == "JOB_STATE_CANCELLED"
        assert time.monotonic() - begun < 1 + 2 + BUSY_SECONDS
        assert with_in_its_environment(mark) == []
        assert server.memory_bytes() < 100e6
        api.close()


@pytest.mark.kill
@pytest.mark.slow
@pytest.mark.parametrize("who", ["server", "everything"])
def test_fifty_replicas_and_kill_nine(tmp_path: Path, who: str) -> None:
    """The server alone: each program starts once and ends well. All of ours: started again, none beside another."""
    starts, gate = tmp_path / "starts", tmp_path / "gate"
    script = f"echo $RANK-$CLOUD_ML_JOB_ID >> {starts}; while [ ! -e {gate} ]; do sleep 0.1; done; echo done"
    body = running("sh", "-c", script)
    body["jobSpec"]["workerPoolSpecs"].append({**body["jobSpec"]["workerPoolSpecs"][0], "replicaCount": 9})
    flags = ("--replicas", "64", "--grace", "1")
    with Server(tmp_path / "data", *flags) as server:
        api = Api(server.port)
        names = [api.made(body)["name"] for _ in range(5)]
        for name in names:
            api.wait(name, RUNNING)
        api.close()
        for pid in family(server.process.pid) if who == "everything" else [server.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        server.process.wait()
    with Server(tmp_path / "data", *flags) as server:
        api = Api(server.port)
        deadline = time.monotonic() + 90
        wanted = 50 if who == "server" else 100
        while len(starts.read_text().split()) < wanted:
            assert time.monotonic() < deadline, len(starts.read_text().split())
            time.sleep(0.05)
        assert [api.wait(name, RUNNING)["state"] for name in names] == ["JOB_STATE_RUNNING"] * 5
        gate.touch()
        assert [api.wait(name, seconds=60)["state"] for name in names] == ["JOB_STATE_SUCCEEDED"] * 5
        assert len(starts.read_text().split()) == wanted
        assert len(set(starts.read_text().split())) == 50
        for name in names:
            assert api.call("GET", f"/trainyard/v1/{name}/logs/workerpool0-0/stdout").body.endswith(b"done\n")
        api.close()
    assert with_in_its_environment(str(tmp_path / "data")) == []
