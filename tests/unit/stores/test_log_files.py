"""Lines exactly once, over any sequence of cursors, from files that agents write meanwhile."""

from __future__ import annotations

import asyncio
import base64
import json
import time
import tracemalloc
import zlib
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainyard.core.errors import InvalidArgument
from trainyard.core.jobs import Note, Severity
from trainyard.core.log_files import CLOSED, INDEX, STREAMS, index_record, replica_directory
from trainyard.store import LogBatch, LogLine, Narrated
from trainyard.stores.log_files.book import FileLogBook
from trainyard.stores.log_files.output import LONGEST_LINE

JOB = 1790000000000000001


class Agent:
    """Writes one incarnation's output as agents do: bytes first, their record after, `closed` at the end."""

    def __init__(self, root: Path, attempt: int = 1, replica: str = "workerpool0-0", incarnation: int = 0) -> None:
        self.directory = replica_directory(root, JOB, attempt, replica, incarnation)
        self.directory.mkdir(parents=True)
        self.ends = [0, 0]

    def write(self, content: bytes, stream: int = 0, at: int = 1, record: bool = True) -> None:
        with (self.directory / STREAMS[stream]).open("ab") as file:
            file.write(content)
        self.ends[stream] += len(content)
        if record:
            with (self.directory / INDEX).open("ab") as file:
                file.write(index_record(at, stream, self.ends[stream]))

    def close(self) -> None:
        (self.directory / CLOSED).touch()


def book(root: Path, notes: tuple[Narrated, ...] = (), stderr: str = "ERROR") -> FileLogBook:
    return FileLogBook(root, lambda _, after: [n for n in notes if n.seq > after], stderr)


def read(of: FileLogBook, cursor: str = "", size: int = 1000, task: str = "") -> LogBatch:
    return asyncio.run(of.read(JOB, cursor, size, task))


def everything(of: FileLogBook, cursor: str = "", size: int = 1000, task: str = "") -> list[LogLine]:
    lines: list[LogLine] = []
    while True:
        batch = read(of, cursor, size, task)
        lines += batch.lines
        cursor = batch.cursor
        if not batch.more:
            return lines


def texts(lines: list[LogLine] | tuple[LogLine, ...]) -> list[str]:
    return [line.text for line in lines]


def narrated(seq: int, at: int, text: str) -> Narrated:
    return Narrated(seq, Note(at, Severity.NOTICE, text))


def test_streams_replicas_and_the_narration_are_merged_by_time(tmp_path: Path) -> None:
    """One story of everything; each line says whose it is."""
    one, two = Agent(tmp_path), Agent(tmp_path, replica="workerpool1-0")
    one.write(b"a\n", at=10)
    one.write(b"b\n", stream=1, at=20)
    two.write(b"c\n", at=15)
    one.write(b"d\n", at=30)
    lines = read(book(tmp_path, (narrated(1, 5, "starts"), narrated(2, 25, "runs")))).lines
    assert [(x.time_us, x.task, x.stream, x.severity, x.text, x.attempt) for x in lines] == [
        (5, "service", "service", Severity.NOTICE, "starts", 0),
        (10, "workerpool0-0", "stdout", Severity.INFO, "a", 1),
        (15, "workerpool1-0", "stdout", Severity.INFO, "c", 1),
        (20, "workerpool0-0", "stderr", Severity.ERROR, "b", 1),
        (25, "service", "service", Severity.NOTICE, "runs", 0),
        (30, "workerpool0-0", "stdout", Severity.INFO, "d", 1),
    ]


def test_a_line_has_the_time_of_the_record_that_covers_its_end(tmp_path: Path) -> None:
    """Half a line is held back; its time is when it was complete."""
    agent = Agent(tmp_path)
    agent.write(b"first\nsec", at=10)
    first = read(book(tmp_path))
    assert [(x.time_us, x.text) for x in first.lines] == [(10, "first")]
    assert read(book(tmp_path), first.cursor).lines == ()
    agent.write(b"ond\n", at=20)
    assert [(x.time_us, x.text) for x in read(book(tmp_path), first.cursor).lines] == [(20, "second")]


def test_a_last_line_without_its_end_comes_when_the_replica_has_ended(tmp_path: Path) -> None:
    """Held back while it may still grow, given once it cannot; then the cursor is at its end for good."""
    agent = Agent(tmp_path)
    agent.write(b"all\nbut", at=10)
    agent.write(b"err", stream=1, at=11)
    batch = read(book(tmp_path))
    assert texts(batch.lines) == ["all"]
    agent.close()
    last = read(book(tmp_path), batch.cursor)
    assert [(x.text, x.stream, x.time_us) for x in last.lines] == [("but", "stdout", 11), ("err", "stderr", 11)]
    assert read(book(tmp_path), last.cursor) == LogBatch((), last.cursor, more=False)


def test_bytes_that_no_record_covers_wait_for_the_end(tmp_path: Path) -> None:
    """An agent that was killed between bytes and record loses nothing; a torn record harms nothing."""
    agent = Agent(tmp_path)
    agent.write(b"a\n", at=10)
    agent.write(b"b\nc\nd", record=False)
    with (agent.directory / INDEX).open("ab") as index:
        index.write(b"\x01\x02\x03")
    batch = read(book(tmp_path))
    assert texts(batch.lines) == ["a"]
    agent.close()
    assert texts(everything(book(tmp_path), batch.cursor, size=1)) == ["b", "c", "d"]


def test_without_any_record_the_closing_gives_the_time(tmp_path: Path) -> None:
    """Output whose index was lost is still shown, once."""
    agent = Agent(tmp_path)
    agent.write(b"x\n", record=False)
    agent.close()
    (line,) = read(book(tmp_path)).lines
    assert line.text == "x"
    assert abs(line.time_us - time.time() * 1e6) < 60e6


def test_records_that_promise_too_much_harm_nothing(tmp_path: Path) -> None:
    """After a power cut the index may know of bytes that never reached the disk, or go backwards."""
    agent = Agent(tmp_path)
    agent.write(b"a\nb", at=1)
    with (agent.directory / INDEX).open("ab") as index:
        index.write(index_record(2, 0, 1 << 40) + index_record(3, 0, 1) + index_record(4, 1, 77))
    agent.close()
    assert texts(everything(book(tmp_path))) == ["a", "b"]


def test_a_torn_record_gives_no_impossible_time(tmp_path: Path) -> None:
    """Bytes that stand where a time should be are not taken for one; the lines are there all the same."""
    agent = Agent(tmp_path)
    agent.write(b"a\n", at=10)
    agent.write(b"b\n", at=1 << 63)
    first = read(book(tmp_path))
    agent.write(b"c\nd", at=1 << 63)
    agent.close()
    assert [(x.time_us, x.text) for x in first.lines] == [(10, "a"), (10, "b")]
    assert texts(everything(book(tmp_path), first.cursor)) == ["c", "d"]
    assert everything(book(tmp_path), first.cursor)[-1].time_us < 1 << 60


def test_overlong_lines_come_in_pieces_cut_between_characters(tmp_path: Path) -> None:
    """256 KiB at most, also while the line end is not there yet; a line of just that length stays whole."""
    agent = Agent(tmp_path)
    agent.write(("x" + "ä" * 200_000).encode(), at=1)
    first = read(book(tmp_path))
    assert [len(text.encode()) for text in texts(first.lines)] == [LONGEST_LINE - 1]
    agent.write(b"\nnext\n" + b"y" * LONGEST_LINE + b"\n\n", at=2)
    rest = read(book(tmp_path), first.cursor)
    assert "".join(texts(first.lines)) + rest.lines[0].text == "x" + "ä" * 200_000
    assert texts(rest.lines[1:]) == ["next", "y" * LONGEST_LINE, ""]


def test_a_flood_without_a_line_end_keeps_memory_flat(tmp_path: Path) -> None:
    """100 MB in one line, and a batch of a thousand huge lines, need no more than a few megabytes at a time."""
    agent = Agent(tmp_path)
    for _ in range(100):
        agent.write(b"z" * 1_000_000, at=1)
    agent.close()
    of, cursor, length, more = book(tmp_path), "", 0, True
    tracemalloc.start()
    while more:
        batch = read(of, cursor)
        cursor, more = batch.cursor, batch.more
        length += sum(len(line.text) for line in batch.lines)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert length == 100_000_000
    assert peak < 30_000_000


def test_carriage_returns_and_bad_utf8_stay_where_they_are(tmp_path: Path) -> None:
    """Lines end at \\n alone; bytes that are no UTF-8 are replaced in the text, and the file keeps them."""
    agent = Agent(tmp_path)
    agent.write(b"1%\r2%\r\n\xff\xfe\x0c\xc2\x85x\n")
    assert texts(read(book(tmp_path)).lines) == ["1%\r2%\r", "��\x0c\x85x"]
    (path,) = book(tmp_path).raw_files(JOB, "workerpool0-0", "stdout")
    assert Path(path).read_bytes() == b"1%\r2%\r\n\xff\xfe\x0c\xc2\x85x\n"


def test_json_lines_carry_payload_and_severity(tmp_path: Path) -> None:
    """Case 77 for all three kinds of line, and the kinder judgement where it is asked for."""
    agent = Agent(tmp_path)
    agent.write(b'{"severity":"WARNING","message":"m"}\n{"a":1}\n')
    agent.write(b'loading\n{"b":2}\n', stream=1)
    lines = read(book(tmp_path)).lines
    assert [(x.severity, x.payload) for x in lines] == [
        (Severity.WARNING, {"message": "m"}),
        (Severity.INFO, {"a": 1}),
        (Severity.ERROR, None),
        (Severity.ERROR, {"b": 2}),
    ]
    assert lines[0].text == '{"severity":"WARNING","message":"m"}'
    assert read(book(tmp_path, stderr="auto")).lines[2].severity is Severity.INFO


def test_one_task_can_be_read_alone(tmp_path: Path) -> None:
    """A replica, or the service; a task that is not there has no lines."""
    Agent(tmp_path).write(b"a\n")
    Agent(tmp_path, replica="workerpool1-0").write(b"b\n")
    of = book(tmp_path, (narrated(1, 5, "s"),))
    assert texts(everything(of, task="workerpool1-0")) == ["b"]
    assert texts(everything(of, task="service")) == ["s"]
    assert everything(of, task="../../etc") == []
    assert everything(FileLogBook(tmp_path / "none", lambda *_: ())) == []


def test_attempts_and_incarnations_come_in_order_and_raw_files_by_attempt(tmp_path: Path) -> None:
    """A restarted worker goes on in the same task; the newest attempt's files are given unless another is asked for."""
    for attempt, incarnation in ((1, 0), (1, 1), (2, 0), (2, 10), (2, 9)):
        agent = Agent(tmp_path, attempt, incarnation=incarnation)
        agent.write(f"{attempt}.{incarnation}\n".encode(), at=attempt * 100 + incarnation)
        agent.close()
    of = book(tmp_path)
    assert texts(everything(of, size=1)) == ["1.0", "1.1", "2.0", "2.9", "2.10"]

    def end(path: str) -> str:
        return path.split(str(JOB))[1]

    assert [*map(end, of.raw_files(JOB, "workerpool0-0", "stdout"))] == [
        "/2.workerpool0-0.0/stdout",
        "/2.workerpool0-0.9/stdout",
        "/2.workerpool0-0.10/stdout",
    ]
    assert [*map(end, of.raw_files(JOB, "workerpool0-0", "stdout", 1))] == [
        "/1.workerpool0-0.0/stdout",
        "/1.workerpool0-0.1/stdout",
    ]
    assert of.raw_files(JOB, "workerpool0-0", "stderr") == of.raw_files(JOB, "..", "stdout") == ()
    with pytest.raises(InvalidArgument):
        of.raw_files(JOB, "workerpool0-0", "index")


def forged(value: object) -> str:
    return base64.urlsafe_b64encode(zlib.compress(json.dumps(value).encode())).decode().rstrip("=")


GOOD = {"v": 1, "j": JOB, "n": 0, "p": {}}


def positioned(position: object) -> str:
    return forged({**GOOD, "p": {"1.workerpool0-0.0": position}})


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "AAAA",
        "ä",
        "a b",
        "=",
        forged([]),
        forged({"v": 1}),
        forged({**GOOD, "v": 2}),
        forged({**GOOD, "j": 1}),
        forged({**GOOD, "n": -1}),
        forged({**GOOD, "n": True}),
        forged({**GOOD, "p": []}),
        positioned([1, 2]),
        positioned([16, 2, 1.5]),
        positioned([16, 2, 1 << 70]),
        positioned(False),
        forged(GOOD)[:-4],
        "A" * 2_000_000,
        base64.urlsafe_b64encode(zlib.compress(b"0" * 50_000_000)).decode(),
        base64.urlsafe_b64encode(zlib.compress(b"[" * 100_000)).decode(),
    ],
)
def test_a_bad_cursor_is_refused(tmp_path: Path, cursor: str) -> None:
    """Garbage, another job's cursor, other versions, bombs: InvalidArgument, never a crash."""
    with pytest.raises(InvalidArgument, match="cursor"):
        read(book(tmp_path), cursor)


def test_a_made_up_cursor_reads_nothing_that_is_not_the_jobs(tmp_path: Path) -> None:
    """Sources are looked up, never opened by name; offsets beyond the end give nothing."""
    Agent(tmp_path).write(b"a\n")
    cursor = forged({**GOOD, "p": {"../../../etc/passwd": [0, 0, 0], "1.workerpool0-0.0": [1 << 40, 1 << 41, 0]}})
    assert read(book(tmp_path), cursor).lines == ()


def test_a_poll_without_news_costs_microseconds(tmp_path: Path) -> None:
    """A hundred live replicas with nothing new are asked in a few milliseconds, and the cursor stays as it is."""
    for index in range(100):
        Agent(tmp_path, replica=f"workerpool1-{index}").write(b"a\n")
    of = book(tmp_path)
    cursor = read(of).cursor

    async def best() -> float:
        took = []
        for _ in range(20):
            began = time.perf_counter()
            batch = await of.read(JOB, cursor)
            took.append(time.perf_counter() - began)
            assert batch == LogBatch((), cursor, more=False)
        return min(took)

    assert asyncio.run(best()) < 0.02


WORDS = (b"\n", b"a", b"bc\n", "ä".encode(), b"\r", b"\xff", b"long" * 40, b"\n\n")
CONTENT = st.lists(st.sampled_from(WORDS), max_size=4).map(b"".join)
BIT = st.integers(0, 1)
# Attempt, replica, incarnation, stream, what, how much later, how many lines the reader then asks for (0: none).
ACT = st.tuples(st.integers(1, 2), BIT, BIT, BIT, CONTENT, st.integers(1, 9), st.integers(0, 4))
Act = tuple[int, int, int, int, bytes, int, int]


class World:
    """Agents that write, and one reader that follows them from cursor to cursor."""

    def __init__(self, root: Path, runner: asyncio.Runner) -> None:
        self.root, self.runner, self.now, self.cursor = root, runner, 0, ""
        self.notes: list[Narrated] = []
        self.agents: dict[tuple[int, str, int], Agent] = {}
        self.got: list[LogLine] = []

    def write(self, key: tuple[int, str, int], stream: int, content: bytes, later: int) -> None:
        self.now += later
        if key not in self.agents:
            self.agents[key] = Agent(self.root, *key)
        self.agents[key].write(content, stream, self.now)
        self.notes.append(narrated(len(self.notes) + 1, self.now, f"note {self.now}"))

    def look(self, size: int) -> bool:
        restarted = FileLogBook(self.root, lambda _, after: self.notes[after:])
        batch = self.runner.run(restarted.read(JOB, self.cursor, size))
        assert len(batch.lines) <= size
        assert list(batch.lines) == sorted(batch.lines, key=lambda line: line.time_us)
        self.got += batch.lines
        self.cursor = batch.cursor
        return batch.more

    def written(self, key: tuple[int, str, int], stream: int, *, closed: bool) -> list[str]:
        path = self.agents[key].directory / STREAMS[stream]
        *whole, last = (path.read_bytes() if path.exists() else b"").split(b"\n")
        return [line.decode("utf-8", "replace") for line in (*whole, *([last] if closed and last else []))]


@settings(max_examples=100, deadline=None)
@given(st.lists(ACT, max_size=30), st.integers(1, 7), st.booleans())
def test_every_byte_is_read_once_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory,
    acts: list[Act],
    size: int,
    closed: bool,
) -> None:
    """Agents write, restart and end at random while a reader reads in batches of any size: the union is exact."""
    with asyncio.Runner() as runner:
        world = World(tmp_path_factory.mktemp("logs"), runner)
        for attempt, replica, incarnation, stream, content, later, looks in sorted(acts, key=lambda act: act[0]):
            world.write((attempt, f"workerpool{replica}-0", incarnation), stream, content, later)
            if looks:
                world.look(looks)
        for agent in world.agents.values() if closed else ():
            agent.close()
        while world.look(size):
            pass
    assert [x.text for x in world.got if x.task == "service"] == [n.note.text for n in world.notes]
    told = {(x.attempt, x.task, x.stream): [] for x in world.got if x.task != "service"}
    for line in world.got:
        if line.task != "service":
            told[line.attempt, line.task, line.stream].append(line.text)
    for attempt, task in {key[:2] for key in world.agents}:
        for number, stream in enumerate(STREAMS):
            both = [world.written(key, number, closed=closed) for key in world.agents if key[:2] == (attempt, task)]
            seen = told.get((attempt, task, stream), [])
            assert sorted(seen) == sorted(chain.from_iterable(both))
            assert len(both) > 1 or seen == both[0]
