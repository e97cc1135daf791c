"""A whole service whose keys are in a PKCS#11 token (SoftHSM's): what its users see, and what its operator is told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from edge_server import Api, Server, running
from sealed_jobs import destroy, done, key_of, key_path, make_key, printed, sealed, until
from soft_token import LIBRARY, PIN, SoftToken, soft_token


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftToken:
    """A fresh one."""
    return soft_token(tmp_path / "hsm", monkeypatch)


@pytest.fixture
def server(tmp_path: Path, token: SoftToken) -> Iterator[Server]:
    """With its keys in the token."""
    with Server(tmp_path / "data", "--key-ring", token.uri) as server:
        yield server


def again(server: Server) -> Api:
    """Stopped and started."""
    server.stop()
    server.__enter__()
    return Api(server.port)


def refused(server: Server) -> str:
    """What a start says that fails."""
    answer = subprocess.run(server.command, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 1
    return answer.stderr


def test_a_key_in_a_token_lives_as_any_other(server: Server, token: SoftToken) -> None:
    """Made by the command line, used by a job, kept over restarts, rotated, destroyed: then nothing can be read."""
    where = ("--endpoint", f"http://127.0.0.1:{server.port}", "--project", "p1", "--region", "us-central1")
    command = [sys.executable, "-m", "trainyard", "keys", "create", "team/training", *where]
    made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert made.returncode == 0, made.stderr
    api = Api(server.port)
    name = done(api, "echo s3cr3t-line", "training")
    assert printed(api, name).body == b"s3cr3t-line\n"
    api = again(server)
    assert printed(api, name).body == b"s3cr3t-line\n"
    assert api.call("POST", key_path("training", ":rotate"), {}).json["primaryVersion"] == 2
    assert len(token.labels()) == 1
    api = again(server)
    assert printed(api, name).body == b"s3cr3t-line\n"
    assert "s3cr3t-line" in str(api.get(name).json)
    assert destroy(api, "training").status == 200
    assert token.labels() == []
    for _ in range(2):
        assert "is destroyed" in printed(api, name).error["message"]
        assert "s3cr3t-line" not in str(api.get(name).json)
        api = again(server)


def test_no_process_of_a_job_has_the_token(server: Server) -> None:
    """Libraries of tokens do not bear a fork: only the server itself has it loaded."""
    api = Api(server.port)
    make_key(api, "training")
    name = api.made(sealed("exec sleep 300", "training"))["name"]
    api.wait(name, {"JOB_STATE_RUNNING"})

    def having(processes: list[Path]) -> list[int]:
        return [int(each.name) for each in processes if LIBRARY.name in told(each / "maps")]

    own = Path(f"/proc/{server.process.pid}")
    others = [Path("/proc", pid) for pid in descendants(server.process.pid)]
    assert having([own]) == [server.process.pid]
    assert len(others) >= 2  # the spawner, and what it forked
    assert having(others) == []
    api.call("POST", f"{name}:cancel", {})


def told(path: Path) -> str:
    """What the kernel says of a process; nothing of one that is gone."""
    try:
        return path.read_text()
    except OSError:
        return ""


def descendants(pid: int) -> list[str]:
    """The processes that this one started, and they."""
    children = [child for task in Path(f"/proc/{pid}/task").glob("*/children") for child in told(task).split()]
    return [*children, *(each for child in children for each in descendants(int(child)))]


def test_a_service_outlives_its_token(server: Server, token: SoftToken) -> None:
    """Pulled out while it runs: what needs it is UNAVAILABLE and says why, the rest goes on; back in, all is well."""
    api = Api(server.port)
    make_key(api, "training")
    name = done(api, "echo s3cr3t-line", "training")
    make_key(api, "doomed")
    doomed = done(api, "echo s3cr3t-line", "doomed")
    pocket = token.directory / "pocket"
    token.tokens.rename(pocket)
    api.call("POST", key_path("training", ":disable"), {})  # so that its data keys are forgotten
    api.call("POST", key_path("training", ":enable"), {})
    for answer in (
        printed(api, name),
        api.get(name),
        api.create(sealed("true", "training")),
        api.call("POST", key_path("training", ":rotate"), {}),
    ):
        assert (answer.status, answer.error["status"]) == (503, "UNAVAILABLE")
        assert "key_ring: " in answer.error["message"]
    assert key_of(api, "training")["state"] == "ENABLED"
    assert destroy(api, "doomed").status == 503
    assert "is destroyed" in printed(api, doomed).error["message"]  # although the token still has it
    assert api.wait(api.made(running("true"))["name"])["state"] == "JOB_STATE_SUCCEEDED"
    pocket.rename(token.tokens)
    until(lambda: printed(api, name).status == 200)
    assert printed(api, name).body == b"s3cr3t-line\n"
    assert api.call("POST", key_path("training", ":rotate"), {}).status == 200
    assert done(api, "true", "training") != name
    assert destroy(api, "doomed").status == 200
    assert [label.partition("/")[2] for label in token.labels()] == ["2 team/training"]


def test_a_service_with_a_wrong_pin_does_not_start(server: Server, token: SoftToken) -> None:
    """It says so, and tries it once however often it is started, so that nothing locks the token."""
    api = Api(server.port)
    make_key(api, "training")
    name = done(api, "echo s3cr3t-line", "training")
    server.stop()
    token.write_pin("000000")
    assert f"key_ring: the PIN in {token.pin_file} is not the token's" in refused(server)
    assert "USER_PIN_COUNT_LOW" in token.flags()
    token.log_in()
    for _ in range(2):
        assert "was refused by the token before, and is not tried again" in refused(server)
    assert "USER_PIN_COUNT_LOW" not in token.flags()
    token.write_pin(PIN)
    server.__enter__()
    assert printed(Api(server.port), name).body == b"s3cr3t-line\n"


def test_a_service_does_not_lose_the_keys_of_another_ring(server: Server, tmp_path: Path) -> None:
    """Started with the ring that it did not have before, it says which one has its keys, and does not start."""
    make_key(Api(server.port), "training")
    server.stop()
    told = refused(Server(tmp_path / "data", "--port", "0"))
    assert "key_ring is local, but this data directory has its keys in the ring pkcs11" in told
    server.__enter__()
    assert key_of(Api(server.port), "training")["state"] == "ENABLED"
