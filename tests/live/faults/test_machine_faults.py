"""What a machine does to a whole service: full and read-only disks, clocks that jump, a server that is held up."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from edge_server import BUSY_SECONDS, Api, Server, running

RUNNING = {"JOB_STATE_RUNNING"}
FAKE_CLOCK = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def mounted(folder: Path, size: str) -> None:
    """A file system of its own, or the test is skipped."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting needs root")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MB."""
    folder = tmp_path / "disk"
    mounted(folder, "16m")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(ballast: Path) -> None:
    """Take the last byte of a disk."""
    for size in (65536, 512, 1):
        with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
            while True:
                file.write(b"x" * size)


def health(api: Api) -> Any:
    return api.call("GET", "/trainyard/v1/health").json


def until(condition: Any, what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.mark.slow
def test_a_full_disk_is_told_and_recovered_from(disk: Path) -> None:
    """Creates are 503 and change nothing, reads go on, health says why; with room again all goes on, no byte lost."""
    with Server(disk / "data", "--grace", "1") as server:
        api = Api(server.port)
        lines = "i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); sleep 0.005; done"
        name = api.made(running("sh", "-c", lines))["name"]
        api.wait(name, RUNNING)
        fill(disk / "ballast")
        until(lambda: api.create(running("true")).status == 503, "creates go on on a full disk")
        listed = {job["name"] for job in api.list().json["customJobs"]}
        refused = api.create(running("true"))
        assert (refused.status, refused.error["status"]) == (503, "UNAVAILABLE")
        assert "is full" in refused.error["message"]
        assert {job["name"] for job in api.list().json["customJobs"]} == listed
        assert health(api)["status"] == "degraded"
        assert ["is full" in problem for problem in health(api)["problems"]] == [True]
        (disk / "ballast").unlink()
        until(lambda: health(api)["status"] == "ok", "it stays degraded, though nobody writes")
        assert api.wait(name)["state"] == "JOB_STATE_SUCCEEDED"
        wanted = "".join(f"line {number}\n" for number in range(400)).encode()
        assert api.call("GET", f"/trainyard/v1/{name}/logs/workerpool0-0/stdout").body == wanted
        for each in listed:
            assert api.wait(each)["state"] == "JOB_STATE_SUCCEEDED"
        assert api.wait(api.made(running("true"))["name"])["state"] == "JOB_STATE_SUCCEEDED"
        api.close()


@pytest.mark.slow
def test_jobs_are_cancelled_on_a_full_disk(disk: Path) -> None:
    """To the last byte full: nothing new is taken, but what runs is ended when it is asked for, and is said to be."""
    with Server(disk / "data", "--grace", "1") as server:
        api = Api(server.port)
        names = [api.made(running("sleep", "3600"))["name"] for _ in range(3)]
        for name in names:
            api.wait(name, RUNNING)
        fill(disk / "ballast")
        assert api.create(running("true")).status == 503
        for name in names:
            assert api.call("POST", f"/v1/{name}:cancel", {}).status == 200
        until(lambda: not sleeping(disk), "the programs of cancelled jobs go on")
        for name in names:
            assert api.wait(name)["state"] == "JOB_STATE_CANCELLED"
        assert health(api)["status"] == "degraded"
        assert api.create(running("true")).status == 503
        (disk / "ballast").unlink()
        until(lambda: health(api)["status"] == "ok", "it stays degraded")
        assert api.wait(api.made(running("true"))["name"])["state"] == "JOB_STATE_SUCCEEDED"
        api.close()


def sleeping(disk: Path) -> list[str]:
    """The programs that were started from that disk and still sleep."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "comm").read_text() == "sleep\n" and str(disk).encode() in (entry / "environ").read_bytes():
                found.append(entry.name)
    return found


def test_a_read_only_disk_is_said_at_the_start(disk: Path) -> None:
    """An old data directory and a new one: exit code 1 and one sentence each, from `serve` as from `doctor`."""
    with Server(disk / "data") as server:
        server.stop()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for data in (disk / "data", disk / "new"):
        command = [sys.executable, "-m", "trainyard", "serve", "--port", "0", "--data-dir", str(data)]
        refused = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert refused.returncode == 1
        assert "Read-only file system" in refused.stderr
        assert "--data-dir" in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1
    checked = [sys.executable, "-m", "trainyard", "doctor", "--data-dir", str(disk / "data")]
    told = subprocess.run(checked, capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == 1
    assert "is not writable" in told.stdout


@pytest.mark.slow
@pytest.mark.skipif(FAKE_CLOCK is None, reason="libfaketime (the faketime package) is not installed")
def test_a_clock_that_jumps_an_hour_changes_no_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set forward and back under a running server: no timeout early or late, retries go on, order stays."""
    now = tmp_path / "now"

    def jump(seconds: int) -> None:
        (tmp_path / "next").write_text(f"{seconds:+d}s")
        (tmp_path / "next").rename(now)

    jump(0)
    monkeypatch.setenv("LD_PRELOAD", str(FAKE_CLOCK))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(now))
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    with Server(tmp_path / "data", "--grace", "1") as server:
        monkeypatch.delenv("LD_PRELOAD")
        api, gate = Api(server.port), tmp_path / "gate"
        begun = time.monotonic()
        gated = api.made(running("sh", "-c", f"while [ ! -e {gate} ]; do sleep 0.05; done"))["name"]
        timed = api.made(running("sleep", "300", job_spec={"scheduling": {"timeout": "5s"}}))["name"]
        crashing = api.made(running("sh", "-c", "exit 139"))["name"]
        for name in (gated, timed):
            api.wait(name, RUNNING)
        ids = []
        for step in (3600, -3600, 0, -7200, 3600):
            jump(step)
            ids.append(int(api.made(running("true"))["name"].rpartition("/")[2]))
            time.sleep(0.3)
            assert api.get(gated).json["state"] == "JOB_STATE_RUNNING"
            assert api.get(timed).json["state"] == "JOB_STATE_RUNNING" or time.monotonic() - begun > 5
        jump(-3600)
        assert ids == sorted(ids)
        assert api.wait(timed)["state"] == "JOB_STATE_CANCELLED"
        assert 5 < time.monotonic() - begun < 60  # not an hour early, not an hour late
        gate.touch()
        assert api.wait(gated)["state"] == "JOB_STATE_SUCCEEDED"
        assert api.wait(crashing, seconds=60)["state"] == "JOB_STATE_FAILED"
        for job in api.list().json["customJobs"]:
            done = api.wait(job["name"])
            assert done["createTime"] <= done.get("startTime", done["createTime"]) <= done["endTime"]
        assert health(api)["status"] == "ok"
        api.close()


def test_a_server_that_was_held_up_catches_up(tmp_path: Path) -> None:
    """SIGSTOP while jobs end, SIGCONT: within two seconds every job is told as it ended."""
    with Server(tmp_path / "data", "--grace", "1") as server:
        api, gate = Api(server.port), tmp_path / "gate"
        wait = f"while [ ! -e {gate} ]; do sleep 0.02; done; exit"
        names = [api.made(running("sh", "-c", f"{wait} {code}"))["name"] for code in (0, 3, 0, 3)]
        for name in names:
            api.wait(name, RUNNING)
        server.process.send_signal(signal.SIGSTOP)
        gate.touch()
        time.sleep(1.5)
        server.process.send_signal(signal.SIGCONT)
        begun = time.monotonic()
        states = [api.wait(name)["state"] for name in names]
        assert time.monotonic() - begun < 2 + BUSY_SECONDS
        assert states == ["JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED"] * 2
        api.close()
