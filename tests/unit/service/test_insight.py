"""Explaining and following a job, over the store in memory and lines in a list."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from trainyard.core.errors import InvalidArgument, NotFound, PermissionDenied
from trainyard.core.jobs import Decision, Event, Problem, QueuePlace, ReplicaRecord, Severity
from trainyard.core.runs import Cause, Exit
from trainyard.service.access import Caller, OpenAccess
from trainyard.service.following import LONGEST_PAUSE_SECONDS, SHORTEST_PAUSE_SECONDS, Followed, Follower
from trainyard.store import LogLine

from .desk import PARENT, POOL, T0, Bench

ANN = Caller("ann")


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def name(bench: Bench) -> str:
    return str(bench.create()["name"])


def line(text: str, task: str = "workerpool0-0", **fields: Any) -> LogLine:
    return LogLine(T0, task, 1, "stdout", Severity.INFO, text, **fields)


def explained(bench: Bench, name: str) -> dict[str, Any]:
    return bench.service.insight.explain(name, ANN)


def test_a_fresh_job_says_that_it_waits(bench: Bench, name: str) -> None:
    """Before the controller has looked, that is what it waits for; the creation is its history."""
    told = explained(bench, name)
    assert (told["name"], told["displayName"], told["state"]) == (name, "t", "JOB_STATE_QUEUED")
    assert "controller" in told["sentence"]
    assert (told["queue"], told["evidence"], told["replicas"]) == (None, [], [])
    assert [(line["from"], line["to"]) for line in told["history"]] == [(None, "JOB_STATE_QUEUED")]


def test_a_waiting_job_says_for_what_and_where(bench: Bench, name: str) -> None:
    """What it waits for comes from its status, its place from the queue."""
    job = bench.waits(name, "It asks for 3 replicas; there is room for 1 now.")
    assert explained(bench, name)["sentence"] == "It asks for 3 replicas; there is room for 1 now."
    bench.store.publish_queue({job.id: QueuePlace(2, 5, "It asks for 3 replicas; there is room for 2 now.")})
    told = explained(bench, name)
    assert told["sentence"] == "Position 2 of 5 in the queue. It asks for 3 replicas; there is room for 2 now."
    assert told["queue"] == {"position": 2, "length": 5, "why": "It asks for 3 replicas; there is room for 2 now."}


def test_a_queue_place_counts_only_while_it_waits(bench: Bench, name: str) -> None:
    """A place that was published before the job was admitted is not told any more."""
    bench.store.publish_queue({bench.job(name).id: QueuePlace(1, 1, "why")})
    bench.move(name, Event.ADMITTED, "There is room.")
    told = explained(bench, name)
    assert told["queue"] is None
    assert told["sentence"] == "There is room."


def test_a_job_that_comes_up_says_what_it_is_at(bench: Bench, name: str) -> None:
    """What its service log said last since there was room; once it runs, that is past."""
    bench.move(name, Event.ADMITTED, "There is room.")
    assert explained(bench, name)["evidence"] == []
    job, pulling = bench.job(name), "workerpool0-0: Pulling the image r.example/img:1."
    bench.commit(job, Decision(job.status).noted(pulling, bench.clock.now_us() + 1))
    assert explained(bench, name)["evidence"] == [pulling]
    bench.move(name, Event.STARTED, "Every replica is up.")
    assert explained(bench, name)["evidence"] == []


ENDS = [
    (Exit(Cause.EXITED, code=1), "workerpool0-0 exited with code 1."),
    (Exit(Cause.SIGNALED, code=139, signal=11), "workerpool0-0 was ended by signal 11."),
    (Exit(Cause.STOPPED), "workerpool0-0 was stopped by the service."),
    (Exit(Cause.OUT_OF_MEMORY, code=137, signal=9), "workerpool0-0 ran out of memory."),
    (Exit(Cause.START_FAILED, message="no such file."), "workerpool0-0 could not be started: no such file."),
    (Exit(Cause.LOST, message="its agent vanished"), "workerpool0-0 was lost: its agent vanished."),
]


@pytest.mark.parametrize(("end", "words"), ENDS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_failed_job_shows_what_its_error_rests_on(bench: Bench, name: str, end: Exit, words: str) -> None:
    """The last line of history is the sentence, in one line; how each replica ended is the evidence."""
    bench.move(name, Event.ADMITTED)
    job = bench.job(name)
    decision = Decision(job.status, records=(ReplicaRecord(1, "workerpool0-0", 0, end),))
    decision = decision.moved(Event.FAILED, bench.clock.now_us(), "The replica workerpool0-0 failed.")
    status = replace(decision.status, error=Problem(3, "The replica workerpool0-0 failed. Traceback\n on\n many lines"))
    bench.commit(job, replace(decision, status=status))
    told = explained(bench, name)
    assert told["sentence"] == "The replica workerpool0-0 failed."
    assert told["evidence"] == [words]


def test_a_replica_s_record_is_told_in_full(bench: Bench, name: str) -> None:
    """Times, memory, CPU time and last lines are there; what is not known is null; older attempts are kept apart."""
    job = bench.move(name, Event.ADMITTED)
    end = Exit(Cause.EXITED, code=2, last_lines="oh no", started_us=T0, peak_memory_bytes=5, cpu_seconds=0.5)
    job = bench.commit(job, Decision(job.status, records=(ReplicaRecord(1, "workerpool0-0", 0, end),)))
    job = bench.commit(job, Decision(job.status).moved(Event.RETRIED, bench.clock.now_us(), "again"))
    again = ReplicaRecord(2, "workerpool0-0", 1, Exit(Cause.EXITED, code=0))
    bench.commit(job, Decision(job.status, records=(again,)))
    told = explained(bench, name)
    assert told["replicas"][0] == {
        "name": "workerpool0-0",
        "attempt": 1,
        "incarnation": 0,
        "cause": "exited",
        "exitCode": 2,
        "signal": None,
        "message": "",
        "peakMemoryBytes": 5,
        "cpuSeconds": 0.5,
        "startTime": "2023-11-14T22:13:20Z",
        "endTime": None,
        "lastLines": "oh no",
    }
    assert told["evidence"] == [
        "2 attempts were made; this is about the newest.",
        "workerpool0-0 (restart 1) exited with code 0.",
    ]


@pytest.mark.parametrize(("caller", "who"), [(ANN, "by ann."), (Caller(), "by somebody who did not have to say")])
def test_who_cancelled_is_evidence(bench: Bench, name: str, caller: Caller, who: str) -> None:
    """A cancel is told with its time and, where it is known, its author."""
    bench.call("CancelCustomJob", {"name": name}, caller=caller)
    assert who in explained(bench, name)["evidence"][0]


class NobodyMay(OpenAccess):
    """Permits nothing."""

    def may(self, caller: Caller, permission: str, resource: str) -> bool:
        return False


def test_insight_asks_for_the_right_to_see_the_job(bench: Bench) -> None:
    """Explaining, reading and following need the permission to get the job; unknown jobs are not found."""
    hidden = Bench(NobodyMay()).service
    name = f"{PARENT}/customJobs/1"
    with pytest.raises(PermissionDenied, match=r"aiplatform\.customJobs\.get"):
        hidden.insight.explain(name, ANN)
    with pytest.raises(PermissionDenied):
        asyncio.run(hidden.insight.logs(name, ANN))
    with pytest.raises(PermissionDenied):
        hidden.insight.raw_files(name, ANN, "workerpool0-0", "stdout")
    with pytest.raises(NotFound):
        bench.service.insight.explain(name, ANN)


def test_output_is_read_in_pages(bench: Bench, name: str) -> None:
    """A page has entries, the cursor behind them, and whether there is more; JSON lines come as payload too."""
    bench.logbook.lines = [line("a"), line("b"), line('{"m": 1}', payload={"m": 1})]
    insight = bench.service.insight
    first = asyncio.run(insight.logs(name, ANN, size=2))
    assert [entry["text"] for entry in first["entries"]] == ["a", "b"]
    assert first["more"] is True
    rest = asyncio.run(insight.logs(name, ANN, cursor=first["cursor"]))
    assert rest["more"] is False
    assert rest["entries"] == [
        {
            "time": "2023-11-14T22:13:20Z",
            "task": "workerpool0-0",
            "attempt": 1,
            "stream": "stdout",
            "severity": "INFO",
            "text": '{"m": 1}',
            "payload": {"m": 1},
        }
    ]
    with pytest.raises(InvalidArgument):
        asyncio.run(insight.logs(name, ANN, size=-1))


def test_raw_files_are_of_a_stream(bench: Bench, name: str) -> None:
    """Paths come for stdout and stderr only."""
    insight = bench.service.insight
    assert insight.raw_files(name, ANN, "workerpool0-0", "stderr", 2)[0].endswith("/2/workerpool0-0/stderr")
    with pytest.raises(InvalidArgument, match="not a stream"):
        insight.raw_files(name, ANN, "workerpool0-0", "stdin")


class Script:
    """A follower whose pauses run the next step of a script instead of taking time."""

    def __init__(self, bench: Bench, *steps: Any) -> None:
        self.bench = bench
        self.steps = list(steps)
        self.pauses: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if self.steps:
            step = self.steps.pop(0)
            if step:
                await step()

    async def events(self, name: str, cursor: str = "") -> list[Followed]:
        service = self.bench.service
        follower = Follower(service.insight, self.bench.store, self.bench.logbook, self.sleep)
        return [event async for event in follower.follow(name, ANN, cursor)]

    def moves(self, name: str, event: Event) -> Any:
        async def step() -> None:
            job = self.bench.job(name)
            await self.bench.store.commit(job, Decision(job.status).moved(event, T0, "because"))

        return step

    def prints(self, *texts: str) -> Any:
        async def step() -> None:
            self.bench.logbook.lines += [line(text) for text in texts]

        return step


def told(events: list[Followed]) -> list[str]:
    return [event.data.get("text") or event.data["to"].removeprefix("JOB_STATE_") for event in events]


def test_a_job_is_followed_to_its_end(bench: Bench, name: str) -> None:
    """Lines and changes come as they happen; the final state comes last, after every line."""
    script = Script(bench)

    async def ending() -> None:
        await script.prints("c")()
        await script.moves(name, Event.SUCCEEDED)()

    script.steps = [script.moves(name, Event.ADMITTED), script.prints("a", "b"), None, ending]
    events = asyncio.run(script.events(name))
    assert told(events) == ["QUEUED", "PENDING", "a", "b", "c", "SUCCEEDED"]
    assert [event.kind for event in events] == ["state", "state", "entry", "entry", "entry", "state"]


def test_every_cursor_goes_on_behind_its_event(bench: Bench, name: str) -> None:
    """Broken off anywhere, the stream resumes without a gap and without a repetition."""
    bench.logbook.lines = [line("a"), line("b")]
    bench.end(name)
    events = asyncio.run(Script(bench).events(name))
    assert told(events) == ["QUEUED", "PENDING", "a", "b", "SUCCEEDED"]
    for index, event in enumerate(events):
        if event.cursor:
            assert asyncio.run(Script(bench).events(name, event.cursor)) == events[index + 1 :]
    assert events[-1].cursor
    assert events[-2].cursor


def test_a_quiet_job_is_looked_at_ever_more_rarely(bench: Bench, name: str) -> None:
    """Pauses double up to the longest and start anew when something happens."""
    script = Script(bench)
    script.steps = [None] * 6 + [
        script.prints("a"),
        script.moves(name, Event.ADMITTED),
        script.moves(name, Event.SUCCEEDED),
    ]
    asyncio.run(script.events(name))
    assert script.pauses[0] == SHORTEST_PAUSE_SECONDS
    assert script.pauses[5] == script.pauses[6] == LONGEST_PAUSE_SECONDS
    assert script.pauses[7] == SHORTEST_PAUSE_SECONDS


@pytest.mark.parametrize("cursor", ["x", "1", "x.1", "-1.0", "9999999999.0"])
def test_a_cursor_that_nobody_gave_is_refused(bench: Bench, name: str, cursor: str) -> None:
    """A foreign cursor is the caller's fault."""
    with pytest.raises(InvalidArgument, match="not a cursor"):
        asyncio.run(Script(bench).events(name, cursor))


def test_a_job_that_is_deleted_meanwhile_ends_the_stream(bench: Bench, name: str) -> None:
    """Whoever follows a job that goes away hears that it is gone."""

    async def deletion() -> None:
        bench.store._files.clear()

    with pytest.raises(NotFound):
        asyncio.run(Script(bench, deletion).events(name))


class LaggingDesk:
    """Gives a job once as it was before; its history is already further: the controller committed in between."""

    def __init__(self, bench: Bench, before: Any) -> None:
        self.bench = bench
        self.old = [before]

    def get(self, name: Any) -> Any:
        return self.old.pop() if self.old else self.bench.store.get(name)

    def history(self, name: Any) -> Any:
        return self.bench.store.history(name)


def test_the_end_comes_last_even_if_it_is_seen_early(bench: Bench, name: str) -> None:
    """A final state that is in the history before the job is seen to be final still waits for the last line."""
    before = bench.move(name, Event.ADMITTED)
    bench.move(name, Event.SUCCEEDED)
    bench.logbook.lines = [line("a")]
    desk: Any = LaggingDesk(bench, before)

    async def events() -> list[Followed]:
        follower = Follower(bench.service.insight, desk, bench.logbook, Script(bench).sleep)
        return [event async for event in follower.follow(name, ANN)]

    assert told(asyncio.run(events())) == ["QUEUED", "PENDING", "a", "SUCCEEDED"]


def test_a_task_that_the_job_has_not_is_not_found(bench: Bench, name: str) -> None:
    """Whoever misspells it hears which there are, at the lines as at the files; the narration is always there."""
    insight = bench.service.insight
    with pytest.raises(NotFound, match=r"no task 'workerpool9-9'; it has service, workerpool0-0\."):
        asyncio.run(insight.logs(name, ANN, task="workerpool9-9"))
    with pytest.raises(NotFound, match="workerpool0-1"):
        insight.raw_files(name, ANN, "workerpool0-1", "stdout")
    assert asyncio.run(insight.logs(name, ANN, task="service"))["entries"] == []
    assert insight.raw_files(name, ANN, "workerpool0-0", "stdout") != ()


def test_of_very_many_tasks_some_are_named(bench: Bench) -> None:
    """And how many more there are."""
    pools = [POOL, {**POOL, "replicaCount": "30"}]
    name = bench.create(jobSpec={"workerPoolSpecs": pools})["name"]
    with pytest.raises(NotFound, match=r"workerpool1-18 and 11 more\."):
        bench.service.insight.raw_files(name, ANN, "workerpool2-0", "stderr")
