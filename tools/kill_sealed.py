"""Jobs with a key: what they print and write is read to the byte at any time, and found nowhere once they have ended.

Their environment, every line that they print and every object that they write carry one secret, which is looked for.
"""

from __future__ import annotations

import os
import random
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from kill_service import Service, Unanswered

RING = "projects/storm/locations/us-central1/keyRings/storm/cryptoKeys"
KEY = f"/trainyard/v1/{RING}/storm"
BUCKET = "/storage/v1/b/storm"
BURSTS, BURST_LINES = 5, 300
LARGE_LINES, FRAME_BYTES = 1600, 65536
JOBS_IN_A_DIRECTORY = 3
MOST_SECONDS_TO_SEAL = 60.0
MOST_SECONDS_OF_WATCHING = 0.5
STAYS = ("generation", "metageneration", "size", "timeCreated", "updated", "metadata")
PROGRAM = (
    'at="$TRAINYARD_GCS_ROOT/${AIP_MODEL_DIR#gs://}$NUMBER"; mkdir -p "$at"; : > "$at/empty"; '
    f'printf %s "$SECRET" > "$at/small"; seq -f "%.0f $SECRET" {LARGE_LINES} > "$at/large"; '
    f'head -c {FRAME_BYTES} "$at/large" > "$at/frame"; i=0; while [ $i -lt {BURSTS * BURST_LINES} ]; do '
    f'seq -f "line %.0f $SECRET" $i $((i+{BURST_LINES - 1})); i=$((i+{BURST_LINES})); sleep 0.4; done; '
    'printf "late %s" "$SECRET" > "$at/late"; exit 0'
)


@dataclass
class Reader:
    """How far one job's lines were followed."""

    cursor: str = ""
    next_line: int = 0
    starts: int = 0
    complete: bool = False


class SealedJobs:
    """The key, and what is known of the jobs under it; by their names and by the number that each was given."""

    def __init__(self, service: Service, dice: random.Random) -> None:
        self.secret = f"s3cr3t-{dice.getrandbits(160):040x}"
        self.faults: list[str] = []
        self.rotations = 0
        self._service = service
        self._dice = dice
        self._readers: dict[str, Reader] = {}
        self._noted: dict[str, dict[str, Any]] = {}
        self._rotating: list[threading.Thread] = []
        service.post(f"/trainyard/v1/{RING}", {"cryptoKeyId": "storm"})
        service.post("/storage/v1/b?project=storm", {"name": "storm"})

    def dress(self, body: dict[str, Any], number: int) -> None:
        """Let a job name the key, know the secret, and share its output directory with the ones next to it."""
        body["encryptionSpec"] = {"kmsKeyName": f"{RING}/storm"}
        body["jobSpec"]["baseOutputDirectory"] = {"outputUriPrefix": f"gs://storm/{number // JOBS_IN_A_DIRECTORY}"}
        env = [{"name": "SECRET", "value": self.secret}, {"name": "NUMBER", "value": str(number)}]
        for pool in body["jobSpec"]["workerPoolSpecs"]:
            pool["containerSpec"]["env"] = env

    def follow(self, name: str) -> None:
        """Read the job's next lines: each comes once, in order, of one start of the program after another."""
        reader = self._readers.setdefault(name, Reader())
        asked = urlencode({"task": "workerpool0-0", "size": 1000, "cursor": reader.cursor})
        page = self._service.get(f"/trainyard/v1/{name}/logs?{asked}")
        for entry in page["entries"]:
            if entry["stream"] == "stdout":
                self._take(name, reader, entry["text"])
        reader.cursor, reader.complete = page["cursor"], page["complete"]

    def _take(self, name: str, reader: Reader, text: str) -> None:
        if text == f"line 0 {self.secret}":
            reader.next_line, reader.starts = 0, reader.starts + 1
        whole = f"line {reader.next_line} {self.secret}"
        if text == whole:
            reader.next_line += 1
        elif whole.startswith(text):
            reader.next_line = -1  # its start was lost with its agents here; only another one may follow
        else:
            self.faults.append(f"{name}: follower finds {text[:80]!r} where line {reader.next_line} was to come")

    def check_raw(self, name: str, expected: bytes) -> None:
        """What a running job has printed is the beginning of what it prints, for each start of its program."""
        first = expected.partition(b"\n")[0] + b"\n"
        head, *starts = self._service.raw(f"/trainyard/v1/{name}/logs/workerpool0-0/stdout").split(first)
        for content in [head, *(first + start for start in starts)]:
            if not expected.startswith(content):
                wrong = next(n for n, (a, b) in enumerate(zip(content, expected + b"\0", strict=False)) if a != b)
                self.faults.append(f"{name}: running, has {content[wrong : wrong + 30]!r} at {wrong} of its output")

    def note(self, number: int) -> None:
        """Remember the objects of a job that has just ended, before or while or after they are sealed."""
        at = f"{number // JOBS_IN_A_DIRECTORY}/model/{number}/"
        with suppress(Unanswered):
            listed = self._service.get(f"{BUCKET}/o?{urlencode({'prefix': at})}").get("items", [])
            self._noted.update({item["name"]: item for item in listed})
            if self._noted.pop(f"{at}small", None):  # unanswered, nobody knows how it is
                changed = self._service.patch(f"{BUCKET}/o/{quote(at, '')}small", {"metadata": {"noted": str(number)}})
                self._noted[f"{at}small"] = changed

    def rotate(self) -> None:
        """Rotate the key, again until it is answered; meanwhile the storm goes on."""

        def until_answered() -> None:
            while True:
                try:
                    self._service.post(f"{KEY}:rotate", {})
                except Unanswered:
                    time.sleep(0.05)
                else:
                    self.rotations += 1
                    return

        self._rotating.append(threading.Thread(target=until_answered, daemon=True))
        self._rotating[-1].start()

    def moment(self, job_ids: list[str]) -> bool:
        """Wait until something is just being sealed: as it grows, or as it ends. False where nothing is for a while."""
        endings = self._dice.choice(((".growing", "/stdout"), ("",)))
        data_dir = self._service.data_dir
        places = [data_dir / "objects" / "drafts", *(at for each in job_ids for at in data_dir.glob(f"logs/{each}/*"))]
        began, before = time.monotonic(), at_work(places, endings)
        while not is_news(now := at_work(places, endings), before):
            if time.monotonic() - began > MOST_SECONDS_OF_WATCHING:
                return False
            before = now
        if self._dice.random() < 0.5:
            time.sleep(self._dice.expovariate(1 / 0.001))
        return True

    # At the end

    def check(self, written: dict[str, int], printed: dict[str, int], starts: dict[str, int]) -> None:
        """Hold every promise; `written`: names and numbers of jobs that wrote objects, `printed`: names and lines.

        `starts`: how often the program of a job was started, by its name.
        """
        for thread in self._rotating:
            thread.join(MOST_SECONDS_TO_SEAL)
        self._wait()
        for name, lines in printed.items():
            self._read_to_end(name, lines, starts.get(name, 0))
        for name, number in written.items():
            self._check_objects(name, number)
        self._search()

    def _wait(self) -> None:
        deadline = time.monotonic() + MOST_SECONDS_TO_SEAL
        while True:
            key, health = self._service.get(KEY), self._service.get("/trainyard/v1/health")
            if not key["openJobs"] and not health["problems"]:
                return
            if time.monotonic() > deadline:
                self.faults.append(f"{key['openJobs']} jobs are not sealed after a minute: {health['problems']}")
                return
            time.sleep(0.05)

    def _read_to_end(self, name: str, lines: int, starts: int) -> None:
        reader = self._readers.setdefault(name, Reader())
        while not reader.complete:
            self.follow(name)
        if reader.next_line != lines or reader.starts > starts:
            self.faults.append(
                f"{name}: a follower saw {reader.starts} of {starts} starts, the last with {reader.next_line} of "
                f"{lines} lines"
            )

    def _check_objects(self, job: str, number: int) -> None:
        at = f"{number // JOBS_IN_A_DIRECTORY}/model/{number}/"
        large = b"".join(b"%d %s\n" % (n, self.secret.encode()) for n in range(1, LARGE_LINES + 1))
        small, late = self.secret.encode(), f"late {self.secret}".encode()
        expected = {"empty": b"", "small": small, "large": large, "frame": large[:FRAME_BYTES], "late": late}
        for name, content in expected.items():
            path = f"{BUCKET}/o/{quote(at + name, '')}"
            try:
                found, now = self._service.raw(f"{path}?alt=media"), self._service.get(path)
            except Unanswered as problem:
                self.faults.append(f"{job}: gs://storm/{at}{name} cannot be read: {problem}")
                continue
            if found != content:
                self.faults.append(f"{job}: gs://storm/{at}{name} has {len(found)} bytes, not its {len(content)}")
            before = self._noted.get(at + name, now)
            changed = [
                f"{each} {before.get(each)} to {now.get(each)}" for each in STAYS if before.get(each) != now.get(each)
            ]
            if changed:
                self.faults.append(f"{job}: gs://storm/{at}{name} is another object when sealed: {', '.join(changed)}")

    def _search(self) -> None:
        """No file of the service has the secret, and nothing half done is left."""
        for folder, _, names in os.walk(self._service.data_dir.parent):
            for path in (Path(folder, name) for name in names):
                if is_half_done(str(path)):
                    self.faults.append(f"left behind by sealing: {path}")
                with suppress(FileNotFoundError):
                    if path.is_file() and self.secret.encode() in path.read_bytes():
                        self.faults.append(f"in the clear at rest: {path}")


def is_half_done(path: str) -> bool:
    """Whether a file is one that sealing makes on its way."""
    return path.endswith((".growing", ".sealing")) or "/objects/drafts/" in path or "/.%%draft-" in path


def at_work(places: list[Path], endings: tuple[str, ...]) -> dict[str, int]:
    """Files that sealing writes, with their sizes; and those that it blanks, with what they take on the disk."""
    found = {}
    for entry in (entry for place in places for entry in os.scandir(place) if entry.path.endswith(endings)):
        with suppress(FileNotFoundError):
            if is_half_done(entry.path):
                found[entry.path] = entry.stat().st_size
            elif entry.name == "stdout":
                found[entry.path] = entry.stat().st_blocks
    return found


def is_news(now: dict[str, int], before: dict[str, int]) -> bool:
    """Whether a file on its way came or grew, or a stream became smaller on the disk."""
    return any(before.get(path, -1) < size for path, size in now.items() if is_half_done(path)) or any(
        before[path] > size for path, size in now.items() if path in before
    )
