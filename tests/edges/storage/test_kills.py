"""kill -9 in the middle of uploads: what was acknowledged is whole and durable, what was not is whole or not there."""

from __future__ import annotations

import hashlib
import http.client
import os
import random
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from edge_server import Server
from storage_calls import Storage

pytestmark = [pytest.mark.kill, pytest.mark.slow]
KILLS = 6
WRITERS = 4
SIZES = (0, 1, 4096, 300_000, 3_000_000)


@dataclass
class Story:
    """What one writer's object may be: its last acknowledged bytes, or those on their way."""

    name: str
    acknowledged: str = ""
    allowed: set[str] = field(default_factory=set)
    generation: int = 0


def write(server: Server, story: Story, stop: threading.Event, seed: int) -> None:
    """Replace one object again and again until the service is gone."""
    chance, storage = random.Random(seed), Storage(server, "killed")
    while not stop.is_set():
        data = os.urandom(chance.choice(SIZES))
        digest = hashlib.sha256(data).hexdigest()
        story.allowed.add(digest)
        try:
            answer = storage.upload(story.name, data, headers={"Content-Type": f"a/{digest[:8]}"})
        except (OSError, http.client.HTTPException):
            return
        assert answer.status == 200, answer.body
        story.acknowledged, story.allowed = digest, {digest}
        story.generation = int(answer.json["generation"])


def check(server: Server, story: Story) -> None:
    """The object is one of those that it may be, as a whole, under its own type, and no older than was acknowledged."""
    storage = Storage(server, "killed")
    answer = storage.media(story.name)
    if answer.status == 404:
        assert not story.acknowledged
        return
    digest = hashlib.sha256(answer.body).hexdigest()
    assert digest in story.allowed
    told = storage.call("GET", storage.object(story.name)).json
    assert int(told["size"]) == len(answer.body)
    assert told["contentType"] == f"a/{digest[:8]}"
    assert int(told["generation"]) >= story.generation
    story.acknowledged, story.allowed = digest, {digest}


@pytest.mark.parametrize("seed", range(KILLS))
def test_no_kill_leaves_half_an_object(tmp_path: Path, seed: int) -> None:
    """Four writers, one SIGKILL at a random moment, then every object is looked at; drafts of the dead are gone."""
    stories = [Story(f"dir%2Fo{number}") for number in range(WRITERS)]
    with Server(tmp_path / "data") as first:
        stop = threading.Event()
        threads = [
            threading.Thread(target=write, args=(first, story, stop, seed * 10 + number))
            for number, story in enumerate(stories)
        ]
        for thread in threads:
            thread.start()
        threads[0].join(random.Random(seed).uniform(0.05, 1.0))
        first.process.kill()
        first.process.wait()
        stop.set()
        for thread in threads:
            thread.join()
    with Server(tmp_path / "data") as second:
        for story in stories:
            check(second, story)
        listed = Storage(second, "killed").call("GET", "/storage/v1/b/killed/o").json.get("items", [])
        assert {each["name"] for each in listed} <= {story.name.replace("%2F", "/") for story in stories}
        assert list((tmp_path / "data" / "objects" / "drafts").iterdir()) == []
        assert Storage(second, "killed").upload("after", b"x").status == 200
