"""While a job with a key runs: only its newest moment can be read at rest, and nothing of it is lost or late."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from edge_server import Api, Server, restarted, running, until
from nas_requests import made, nas, reporting

from trainyard.keyrings.holes import can_punch

KEY = "projects/p1/locations/us-central1/keyRings/team/cryptoKeys/training"
ENDLESS = "while [ ! -e $GO ]; do sleep 0.05; done"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Server, Api]]:
    """A server with the key, and its client."""
    with (tmp_path / "probe").open("wb") as file:
        if not can_punch(file.fileno()):
            pytest.skip("the file system of temporary files cannot punch holes")
    with Server(tmp_path / "data", "--replicas", "8") as server:
        api = Api(server.port)
        assert api.call("POST", f"/trainyard/v1/{KEY.rpartition('/')[0]}", {"cryptoKeyId": "training"}).status == 200
        yield server, api
        api.close()


def started(api: Api, script: str, **changes: Any) -> str:
    """A running job under the key; its resource name."""
    job = running("sh", "-c", script, encryptionSpec={"kmsKeyName": KEY}, **changes)
    name: str = api.made(job)["name"]
    api.wait(name, {"JOB_STATE_RUNNING"})
    return name


def holding(directory: Path, text: bytes) -> list[str]:
    """Files below the directory that hold the text."""
    files = (Path(folder, name) for folder, _, names in os.walk(directory) for name in names)
    return [str(path) for path in files if path.is_file() and text in path.read_bytes()]


def stream(server: Server, name: str, which: str = "stdout") -> Path:
    """The plain file of the job's one replica."""
    (path,) = (server.data_dir / "logs" / name.rpartition("/")[2]).glob(f"*/{which}")
    return path


def is_blank(path: Path) -> bool:
    """Whether something was written there, and none of it is left."""
    content = path.read_bytes()
    return bool(content) and not content.strip(b"\0")


def raw(api: Api, name: str) -> bytes:
    """All of stdout, as the service tells it."""
    return api.get(f"/trainyard/v1/{name}/logs/workerpool0-0/stdout").body


def test_what_a_running_job_has_printed_is_sealed(served: tuple[Server, Api], tmp_path: Path) -> None:
    """After a moment no file has it; every answer has it, before and after a kill, and once the job has ended."""
    server, api = served
    go = tmp_path / "go"
    said = [f"s3cr3t-line {number}" for number in range(300)]
    printing = 'n=0; while [ $n -lt 300 ]; do echo "$(printf s3cr3t)-line $n"; n=$((n+1)); done; '
    name = started(api, f"{printing} echo oops-s3cr3t-line >&2; GO={go}; {ENDLESS}; printf last")
    whole = "".join(f"{line}\n" for line in said).encode()
    for _ in range(2):
        until(lambda: len(raw(api, name)) == len(whole) and not holding(server.data_dir, b"s3cr3t-line"))
        assert raw(api, name) == whole
        assert stream(server, name).read_bytes() == bytes(len(whole))
        part = api.call("GET", f"/trainyard/v1/{name}/logs/workerpool0-0/stdout", headers={"Range": "bytes=14-27"})
        assert part.body == whole[14:28]
        entries = api.get(f"/trainyard/v1/{name}/logs?task=workerpool0-0").json["entries"]
        assert sorted(entry["text"] for entry in entries) == sorted([*said, "oops-s3cr3t-line"])
        restarted(server, api)
    go.touch()
    assert api.wait(name)["state"] == "JOB_STATE_SUCCEEDED"
    until(lambda: api.get(f"/trainyard/v1/{KEY}").json["openJobs"] == 0)
    assert raw(api, name) == whole + b"last"
    assert holding(server.data_dir, b"s3cr3t-line") == []
    left = {path.name for path in (server.data_dir / "logs" / name.rpartition("/")[2]).glob("*/*")}
    assert left == {"stdout.sealed", "stderr.sealed", "index", "closed"} | (left & {"usage"})


def test_heavy_output_is_followed_exactly(served: tuple[Server, Api]) -> None:
    """A follower sees each line once and in order, over the server's kill -9 and the job's end, while all is sealed."""
    server, api = served
    count = 60_000
    script = f"seq -f 'line %.0f of many that are long enough to fill blocks' {count // 2}; sleep 3; "
    script += f"seq -f 'line %.0f of many that are long enough to fill blocks' {count // 2 + 1} {count}"
    name = started(api, script)
    seen: list[str] = []
    cursor, complete, kills = "", False, 0
    while not complete:
        page = api.get(f"/trainyard/v1/{name}/logs?task=workerpool0-0&size=1500&cursor={cursor}").json
        seen += [entry["text"] for entry in page["entries"]]
        cursor, complete = page["cursor"], page["complete"] and not page["entries"]
        if len(seen) > (10_000, 40_000, count)[kills]:
            restarted(server, api)
            kills += 1
    expected = [f"line {number} of many that are long enough to fill blocks" for number in range(1, count + 1)]
    assert kills == 2
    assert seen == expected
    until(lambda: api.get(f"/trainyard/v1/{KEY}").json["openJobs"] == 0)
    assert raw(api, name) == "".join(f"{line}\n" for line in expected).encode()


def test_a_failed_job_says_its_last_words(served: tuple[Server, Api], tmp_path: Path) -> None:
    """As any job: the error quotes what it printed, though that was sealed long before and no agent wrote it down."""
    server, api = served
    go = tmp_path / "go"
    words = "RuntimeError: s3cr3t-shape; No space left on device"
    name = started(api, f"echo '{words}' | sed s/zz/z/ >&2; GO={go}; {ENDLESS}; exit 3")
    until(lambda: is_blank(stream(server, name, "stderr")))
    restarted(server, api)
    go.touch()
    job = api.wait(name)
    assert words in job["error"]["message"]
    assert "make room" in job["error"]["message"]  # the hint that goes with such words
    explained = api.get(f"/trainyard/v1/{name}:explain").json
    assert words in str(explained)


def test_no_record_of_an_agent_has_what_was_printed(served: tuple[Server, Api], tmp_path: Path) -> None:
    """An attempt that crashed while the job goes on has its last words in the answers, and nowhere in the clear."""
    server, api = served
    go, crashed = tmp_path / "go", tmp_path / "crashed"
    once = f"[ -e {crashed} ] || {{ touch {crashed}; printf s3cr3t- >&2; echo word >&2; exit 134; }}"
    name = started(api, f"{once}; GO={go}; {ENDLESS}")
    until(lambda: "s3cr3t-word" in str(api.get(f"/trainyard/v1/{name}:explain").json))
    until(lambda: not holding(server.data_dir, b"s3cr3t-word"))
    go.touch()
    assert api.wait(name)["state"] == "JOB_STATE_SUCCEEDED"


def test_progress_is_read_from_what_is_sealed(served: tuple[Server, Api], tmp_path: Path) -> None:
    """A bar that was printed a while ago still says how far the job is."""
    server, api = served
    go = tmp_path / "go"
    name = started(api, f"echo 'progress: 42%'; echo 'Epoch 21/50'; GO={go}; {ENDLESS}")
    until(lambda: is_blank(stream(server, name)))
    before = api.get(f"/trainyard/v1/{name}:explain").json
    assert "42" in str(before.get("progress")), before
    go.touch()
    api.wait(name)


def test_what_trials_print_is_sealed_while_they_run(served: tuple[Server, Api], tmp_path: Path) -> None:
    """Under their search's key, and read as part of the search."""
    server, api = served
    go = tmp_path / "go"
    script = f"printf s3cr3t-; echo word; GO={go}; {ENDLESS}; {reporting()}"
    name = made(api, nas(script, trials=3, encryptionSpec={"kmsKeyName": KEY}))["name"]

    def told() -> list[str]:
        return [entry["text"] for entry in api.get(f"/trainyard/v1/{name}/logs?task=search-1").json["entries"]]

    until(lambda: told() == ["s3cr3t-word"])
    until(lambda: not holding(server.data_dir, b"s3cr3t-word"))
    assert told() == ["s3cr3t-word"]
    go.touch()
    assert api.wait(name)["state"] == "JOB_STATE_SUCCEEDED"
    assert told() == ["s3cr3t-word"]
