"""kill -9 of the service while keys are rotated and destroyed: each job can be read, or its key is destroyed."""

from __future__ import annotations

import http.client
import random
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from edge_server import Api, Server
from sealed_jobs import destroy, done, key_of, key_path, make_key, printed, sealed, until
from soft_token import SoftToken, soft_token

pytestmark = [pytest.mark.kill, pytest.mark.slow]
ROUNDS = 3
DOOMED = 8
LINE = b"s3cr3t-line\n"


@pytest.fixture(params=["local", "pkcs11"])
def token(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftToken | None:
    """One that holds the keys, or none: then they are in files."""
    return soft_token(tmp_path / "hsm", monkeypatch) if request.param == "pkcs11" else None


class Changes:
    """Rotates one key again and again and destroys others one after the other, until the service is gone."""

    def __init__(self, server: Server, keys: list[str], version: int) -> None:
        self.rotated, self.destroyed = version, list[str]()
        self._port, self._keys = server.port, keys
        self._threads = [threading.Thread(target=self._rotate), threading.Thread(target=self._destroy)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _rotate(self) -> None:
        api = Api(self._port)
        with suppress(OSError, http.client.HTTPException):
            while True:
                answer = api.call("POST", key_path("kept", ":rotate"), {})
                assert answer.status == 200, answer.body
                self.rotated = answer.json["primaryVersion"]

    def _destroy(self) -> None:
        api = Api(self._port)
        with suppress(OSError, http.client.HTTPException):
            for key in self._keys:
                answer = destroy(api, key)
                assert answer.status == 200, answer.body
                self.destroyed.append(key)


def made_and_done(api: Api, keys: list[str]) -> dict[str, str]:
    """Keys, each with the name of a job that is sealed whole."""
    jobs = {}
    for key in keys:
        make_key(api, key)
        jobs[key] = api.made(sealed("echo s3cr3t-line", key))["name"]
    for key, name in jobs.items():
        api.wait(name)
        until(lambda key=key: key_of(api, key)["openJobs"] == 0)
    return jobs


@pytest.mark.parametrize("seed", [1, 2])
def test_no_kill_leaves_a_key_between_two_states(tmp_path: Path, token: SoftToken | None, seed: int) -> None:
    """What was acknowledged holds; what was not is done or not done; and jobs and keys say the same of it."""
    chance = random.Random(seed)
    server = Server(tmp_path / "data", *(("--key-ring", token.uri) if token else ()))
    with server:
        api = Api(server.port)
        make_key(api, "kept")
        kept = [done(api, f"echo s3cr3t-line; true {number}", "kept") for number in range(3)]
        version = 1
        for number in range(ROUNDS):
            doomed = made_and_done(api, [f"doomed-{number}-{each}" for each in range(DOOMED)])
            changes = Changes(server, list(doomed), version)
            time.sleep(chance.uniform(0.005, 0.08))
            server.process.kill()
            server.process.wait()
            changes.join()
            server.__enter__()
            api = Api(server.port)
            version = key_of(api, "kept")["primaryVersion"]
            assert version in (changes.rotated, changes.rotated + 1)
            assert [printed(api, name).body for name in kept] == [LINE] * 3
            for key, name in doomed.items():
                _check(api, key, name, acknowledged=key in changes.destroyed)
            if token:
                # SoftHSM names a key after it has made it: killed in between, it keeps one without a name
                assert [label.partition("/")[2] for label in token.labels() if label] == [f"{version} team/kept"]
        assert "s3cr3t-line" in str(api.get(kept[0]).json)


def _check(api: Api, key: str, name: str, *, acknowledged: bool) -> None:
    state = key_of(api, key)["state"]
    if state == "ENABLED":
        assert not acknowledged
        assert printed(api, name).body == LINE
        assert destroy(api, key).status == 200
    assert key_of(api, key)["state"] == "DESTROYED"
    until(lambda: key_of(api, key)["openJobs"] == 0)
    answer = printed(api, name)
    assert (answer.status, answer.error["status"]) == (400, "FAILED_PRECONDITION")
    assert "is destroyed" in answer.error["message"]
