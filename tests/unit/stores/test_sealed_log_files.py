"""The log book over output that is sealed while it is written: the same lines and bytes as of any job, at any time."""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import suppress
from pathlib import Path

import pytest

from trainyard.core.errors import FailedPrecondition, Internal
from trainyard.core.log_files import CLOSED, INDEX, STREAMS, index_record, replica_directory
from trainyard.core.names import KeyName, Scope
from trainyard.keyrings import holes
from trainyard.keyrings.local.ring import open_ring
from trainyard.keyrings.vault import DataVault
from trainyard.stores.log_files.book import FileLogBook

JOB, PLAIN = 7, 8
SCOPE = Scope.of("demo", "us-central1")
KEY = KeyName(SCOPE, "ring", "key")
TASK = "workerpool0-0"


class Ground:
    """A job's directory with one incarnation in it, as its agent writes it, and the service's part beside."""

    def __init__(self, path: Path, job_id: int = JOB) -> None:
        self.path = path
        self.job_id = job_id
        self.directory = replica_directory(path / "logs", job_id, 1, TASK, 0)
        self.directory.mkdir(parents=True)
        self.written = [b"", b""]
        self.lines: list[tuple[str, str]] = []
        self.restart()

    def restart(self) -> None:
        """The service is another process now."""
        self.vault = DataVault(self.path, open_ring(self.path))
        self.book = FileLogBook(self.path / "logs", lambda *_: (), seals=self.vault)

    def write(self, lines: list[str], stream: int) -> None:
        """As an agent does: bytes, then their record."""
        content = "".join(f"{line}\n" for line in lines).encode()
        with (self.directory / STREAMS[stream]).open("ab") as file:
            file.write(content)
        self.written[stream] += content
        with (self.directory / INDEX).open("ab") as file:
            file.write(index_record(len(self.lines), stream, len(self.written[stream])))
        self.lines += [(STREAMS[stream], line) for line in lines]

    def close(self) -> None:
        """Nothing more comes."""
        (self.directory / CLOSED).touch()

    def look(self) -> None:
        """Seal what there is, the newest included."""
        for _ in range(3):
            self.book.seal_growth(self.job_id, self.job_id)

    def read(self, cursor: str, size: int) -> tuple[list[tuple[str, str]], str]:
        """Lines behind a cursor, and the next one."""
        batch = asyncio.run(self.book.read(self.job_id, cursor, size))
        return [(line.stream, line.text) for line in batch.lines], batch.cursor


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """With the data key of the job."""
    probe = tmp_path / "probe"
    with probe.open("wb") as file:
        if not holes.can_punch(file.fileno()):
            pytest.skip("the file system of temporary files cannot punch holes")
    made = Ground(tmp_path)
    made.vault.create(KEY, 1)
    made.vault.admit(JOB, SCOPE, str(KEY))
    return made


@pytest.mark.parametrize("seed", range(12))
def test_every_line_once_whatever_happens_meanwhile(ground: Ground, seed: int) -> None:
    """Writes, looks, restarts and reads in any order, and the sealing at the end: lines and bytes are exact."""
    chosen = random.Random(seed)
    seen: list[tuple[str, str]] = []
    cursor = ""
    for step in range(60):
        act = chosen.choice(["write", "write", "look", "read", "restart"])
        if act == "write":
            count = chosen.choice([1, 3, 300])
            ground.write([f"{step}.{number} {'x' * chosen.randrange(90)}" for number in range(count)], step % 2)
        elif act == "look":
            ground.book.seal_growth(JOB, JOB)
        elif act == "read":
            found, cursor = ground.read(cursor, chosen.choice([1, 50, 1000]))
            seen += found
        else:
            ground.restart()
    if chosen.random() < 0.5:
        ground.look()
    ground.close()
    ground.book.seal(JOB, JOB)
    ground.restart()
    while (found := ground.read(cursor, 500))[0]:
        seen += found[0]
        cursor = found[1]
    for stream, name in enumerate(STREAMS):
        assert [line for line in seen if line[0] == name] == [line for line in ground.lines if line[0] == name]
        path = str(ground.directory / name)
        assert ground.book.files.read(path, 0, 1 << 30) == ground.written[stream]
    assert {path.name for path in ground.directory.iterdir()} <= {"index", "closed", "stdout.sealed", "stderr.sealed"}


def test_a_file_that_is_sent_is_sent_whole(ground: Ground) -> None:
    """Opened before, and read while it is blanked and after it was replaced."""
    lines = [f"line {number} of a file that is sent while it is being sealed" for number in range(9000)]
    ground.write(lines, 0)
    path = str(ground.directory / "stdout")
    with ground.book.files.open(path) as file:
        assert file.size == len(ground.written[0])
        half = file.size // 2 + 3
        found = file.pread(half // 2, 0)
        ground.look()
        found += file.pread(half - len(found), len(found))
        ground.close()
        ground.book.seal(JOB, JOB)
        assert not Path(path).exists()
        found += file.pread(file.size, half)
    assert found == ground.written[0]


def test_the_end_of_what_was_printed(ground: Ground) -> None:
    """Five lines of stderr, else of stdout, from wherever they lie; nothing where the key is gone."""
    assert ground.book.last_lines(JOB, 1, TASK, 0) == ""
    ground.write([f"out {number}" for number in range(2000)], 0)
    ground.look()
    assert ground.book.last_lines(JOB, 1, TASK, 0) == "\n".join(f"out {number}" for number in range(1995, 2000))
    ground.write(["RuntimeError: so it ended"], 1)
    assert ground.book.last_lines(JOB, 1, TASK, 0) == "RuntimeError: so it ended"
    ground.look()
    assert ground.book.tail(str(ground.directory / "stderr"), 9) == b"it ended\n"
    assert ground.book.tail(str(ground.directory / "stdin"), 9) == b""
    ground.vault.destroy(KEY)
    assert ground.book.last_lines(JOB, 1, TASK, 0) == ""
    with pytest.raises(FailedPrecondition):
        ground.book.files.read(str(ground.directory / "stdout"), 0, 10)


def test_a_job_without_a_key_is_left_alone(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it is sealed or read elsewhere; and without any key in the service, nothing is even looked for."""
    other = Ground(ground.path, PLAIN)
    other.write(["plain"], 0)
    path = str(other.directory / "stdout")
    assert other.vault.in_use
    assert other.book.files.read(path, 0, 100) == b"plain\n"
    assert {each.name for each in other.directory.iterdir()} == {"stdout", "index"}
    other.vault.in_use = False
    monkeypatch.setattr(os.path, "exists", None)
    assert other.book.files.read(path, 0, 100) == b"plain\n"


def test_a_damaged_stream_leaves_no_other_in_the_clear(ground: Ground) -> None:
    """While the job runs and at its end all others are sealed, then it is told."""
    damaged, other = (ground.directory / name for name in STREAMS)
    for stream in range(2):
        ground.write(["s3cr3t-line"] * 20_000, stream)
    damaged.with_name(f"{damaged.name}.growing").write_bytes(b"this was changed at rest")
    for _ in range(3):
        with suppress(Internal):
            ground.book.seal_growth(JOB, JOB)
    assert b"s3cr3t" not in other.read_bytes()
    ground.close()
    with pytest.raises(Internal, match="is damaged"):
        ground.book.seal(JOB, JOB)
    assert not other.exists()
    assert damaged.exists()
