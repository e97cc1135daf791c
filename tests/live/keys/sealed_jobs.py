"""Keys and the jobs that name them, as a client makes and reads them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from edge_server import Answer, Api, running

RING: Final = "projects/p1/locations/us-central1/keyRings/team"


def key_path(key: str, verb: str = "") -> str:
    """Where the service has a key of the ring `team`."""
    return f"/trainyard/v1/{RING}/cryptoKeys/{key}{verb}"


def make_key(api: Api, key: str) -> None:
    """A new one."""
    answer = api.call("POST", f"/trainyard/v1/{RING}/cryptoKeys", {"cryptoKeyId": key})
    assert answer.status == 200, answer.body


def key_of(api: Api, key: str) -> dict[str, Any]:
    """As the service shows it."""
    shown: dict[str, Any] = api.get(key_path(key)).json
    return shown


def destroy(api: Api, key: str) -> Answer:
    """For ever."""
    return api.call("POST", key_path(key, ":destroy"), {"confirm": f"{RING}/cryptoKeys/{key}"})


def sealed(command: str, key: str) -> dict[str, Any]:
    """A job that names a key and runs a line of shell."""
    return running("sh", "-c", command) | {"encryptionSpec": {"kmsKeyName": f"{RING}/cryptoKeys/{key}"}}


def done(api: Api, command: str, key: str) -> str:
    """The name of such a job that has ended and is sealed whole."""
    name: str = api.wait(api.made(sealed(command, key))["name"])["name"]
    until(lambda: key_of(api, key)["openJobs"] == 0)
    return name


def printed(api: Api, name: str) -> Answer:
    """What its replica wrote to stdout."""
    return api.get(f"/trainyard/v1/{name}/logs/workerpool0-0/stdout")


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Poll until it is so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)
