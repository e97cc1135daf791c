"""Promises that no single part keeps alone: loopback only, lists that inserts do not move, followers over a kill -9."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from edge_server import Api, Server, running
from test_follow import Event, Stream, lines

LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}  # 127.0.0.1, and gRPC's way of writing it in IPv6


def listening(pid: int) -> set[str]:
    """The local addresses (hexadecimal, as the kernel writes them) on which a process listens."""
    sockets = {path.readlink().name for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()}
    found = set()
    for table in ("tcp", "tcp6"):
        for row in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = row.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                found.add(fields[1].partition(":")[0])
    return found


def test_it_listens_on_loopback_only(tmp_path: Path) -> None:
    """Neither port, REST's nor gRPC's own, is bound to any address but 127.0.0.1."""
    with Server(tmp_path / "data", "--grpc-port", "0") as server:
        assert listening(server.process.pid) == LOOPBACK


def test_inserts_do_not_move_a_list(server: Server, api: Api) -> None:
    """While others create jobs, the pages of a list begun before hold what was there, each once, newest first."""
    before = [api.made(running("true"))["name"] for _ in range(30)][::-1]
    stop = threading.Event()

    def go_on_creating() -> None:
        other = Api(server.port, api.parent.split("/")[1])
        while not stop.is_set():
            other.made(running("true"))
        other.close()

    first = api.list("?pageSize=5").json
    got, token = [job["name"] for job in first["customJobs"]], first["nextPageToken"]
    thread = threading.Thread(target=go_on_creating)
    thread.start()
    try:
        while token:
            time.sleep(0.05)
            page = api.list(f"?pageSize=5&pageToken={quote(token)}").json
            got += [job["name"] for job in page["customJobs"]]
            token = page.get("nextPageToken", "")
    finally:
        stop.set()
        thread.join()
    assert got == before
    assert len(api.list("?pageSize=1000").json["customJobs"]) > 30


@pytest.mark.kill
def test_a_follower_resumes_over_kill_nine(tmp_path: Path) -> None:
    """kill -9 in the middle of a stream: with Last-Event-ID the next server goes on behind it, each line once."""
    gate = tmp_path / "gate"
    script = f"seq 1 500; while [ ! -e {gate} ]; do sleep 0.02; done; seq 501 1000"
    seen: list[Event] = []
    with Server(tmp_path / "data") as server:
        api = Api(server.port)
        name = api.made(running("sh", "-c", script))["name"]
        api.close()
        for event in Stream(server.port, name):
            seen.append(event)
            if "500" in lines(seen):
                break
        server.process.kill()
        server.process.wait()
    last = max(index for index, event in enumerate(seen) if event.id)
    kept = lines(seen[: last + 1])
    gate.touch()
    with Server(tmp_path / "data") as server:
        again = list(Stream(server.port, name, headers={"Last-Event-ID": seen[last].id}))
        assert again[-1].kind == "end"
        assert kept + lines(again) == [str(number) for number in range(1, 1001)]
