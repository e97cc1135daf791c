"""Stories: what the controller does, step by step, as texts that are reviewed like code.

A line that starts with `> ` is a command, the indented lines under it are what happened. `pytest tests/stories
--accept` rewrites what happened; nothing else ever does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import pytest

from trainyard.control.acts import Acts
from trainyard.control.admission import Admission
from trainyard.control.pace import Pace
from trainyard.control.problems import Problems
from trainyard.control.reconcile import Reconciler
from trainyard.control.watcher import Watcher
from trainyard.core.errors import ApiError, Unavailable
from trainyard.core.names import OperationName
from trainyard.core.runs import Capacity, Cause, Exit, Phase, Reading, ReplicaReading
from trainyard.store import StoredOperation
from trainyard.stores.memory import MemoryStore
from trainyard.testing.builders import PlainKind, PlainSpec, plain_job
from trainyard.testing.virtual_time import EPOCH_US

STORIES = sorted(Path(__file__).parent.glob("*.txt"))


class Crash(Exception):
    """The server dies here."""


class Clock:
    """Moves only when the story says so."""

    def __init__(self) -> None:
        self.steady, self.calendar = 0, EPOCH_US

    def now_us(self) -> int:
        return self.calendar

    def steady_us(self) -> int:
        return self.steady


class ScriptedExecutor:
    """Shows what the story says, and tells what it is asked."""

    settle_seconds = 5.0

    def __init__(self, story: Story) -> None:
        self.story = story
        self.total = Capacity(replicas=4)
        self.shown: dict[str, dict[str, ReplicaReading]] = {}

    def capacity(self):
        return self.total

    async def launch(self, group):
        replicas = " ".join(f"{one.name}.{one.incarnation}" for one in group.replicas)
        self.story.asked("launch", f"launch {self.story.short(group.run_id)}: {replicas}")

    async def stop(self, run_id, grace_seconds):
        self.story.asked("stop", f"stop {self.story.short(run_id)} within {grace_seconds:g} s")

    async def release(self, run_id):
        self.story.asked("release", f"release {self.story.short(run_id)}")

    async def observe(self, run_ids):
        return {
            run_id: Reading(run_id, self.story.clock.now_us(), dict(self.shown.get(run_id, {}))) for run_id in run_ids
        }


class Unheard:
    """Nobody is woken: a story says who steps."""

    def now(self, job_id):
        pass

    def later(self, job_id, delay_seconds):
        pass


class StoryStore(MemoryStore):
    """Can crash at its commit."""

    story: Story

    async def commit(self, job, decision, along=()):
        self.story.maybe_crash("commit")
        written = await super().commit(job, decision, along)
        for change in decision.changes if written else ():
            self.story.say(f"{self.story.names[job.id]} {change.target.name}: {change.why}")
        if written and not decision.changes:
            self.story.say(f"{self.story.names[job.id]} noted")
        return written


class Story:
    """Runs the commands of one text, one loop for all of it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.said: list[str] = []
        self.names: dict[int, str] = {}
        self.crash_at = self.refused = ""
        self.executor = ScriptedExecutor(self)
        self.store = StoryStore()
        self.store.story = self
        self.boot()

    def boot(self) -> None:
        """A fresh server on what was durable."""
        pace, kinds = Pace(), {PlainKind.collection: PlainKind()}
        self.watcher = Watcher(self.executor, self.clock, pace, Problems(), lambda job_id: None)
        acts = Acts(self.executor, kinds, self.watcher, self.clock, pace)
        self.admission = Admission(self.executor.capacity, pace.backfill)
        self.reconciler = Reconciler(self.store, kinds, acts, self.admission, self.clock, Unheard())
        for job in self.store.live():
            self.reconciler.adopt(job)

    def say(self, text: str) -> None:
        self.said.append(text)

    def asked(self, verb: str, text: str) -> None:
        self.maybe_crash(verb)
        if self.refused == verb:
            self.refused = ""
            raise Unavailable(f"it does not take a {verb} just now")
        self.say(text)

    def maybe_crash(self, verb: str) -> None:
        if self.crash_at == verb:
            self.crash_at = ""
            raise Crash(verb)

    def short(self, run_id: str) -> str:
        job_id, _, attempt = run_id.partition("-")
        return f"{self.names[int(job_id)]}-{attempt}"

    def id_of(self, name: str) -> int:
        return next(job_id for job_id, known in self.names.items() if known == name)

    async def run(self, command: str) -> list[str]:
        """One command; what happened, one line each."""
        self.said = []
        verb, *words = command.split()
        try:
            await getattr(self, f"do_{verb}")(*words)
        except ApiError as error:
            self.say(f"{type(error).__name__}: {error.message}")
        return self.said or ["nothing"]

    async def do_room(self, *words: str) -> None:
        self.executor.total = Capacity(**{key: int(value) for key, value in _options(words).items()})
        self.say(f"{self.executor.total.replicas} replicas, {self.executor.total.gpus} GPUs")

    async def do_create(self, name: str, *words: str) -> None:
        options = _options(words)
        types = {one.name: one.type for one in fields(PlainSpec)}
        spec = PlainSpec(**{key: _value(types[key], text) for key, text in options.items() if key in types})
        job_id = len(self.names) + 1
        self.names[job_id] = name
        job = plain_job(
            job_id,
            spec,
            options.get("project", "p"),
            create_time_us=self.clock.now_us(),
            priority=int(options.get("priority", "0")),
        )
        await self.store.insert(job)
        self.say(f"{name} QUEUED")

    async def do_step(self, *names: str) -> None:
        """Look at everything that runs, then step these jobs (or all live ones) once."""
        await self.watcher.look(sorted(self.watcher.watched()))
        for job_id in [self.id_of(name) for name in names] or [job.id for job in self.store.live()]:
            try:
                await self.reconciler.step(job_id)
            except Crash as crash:
                self.say(f"crash before the {crash}; the server starts anew")
                self.boot()

    async def do_see(self, run: str, replica: str, phase: str, *words: str) -> None:
        """From now on this is what a look shows of the replica."""
        name, _, attempt = run.partition("-")
        options = _options(words)
        ended = None
        if phase == "ENDED":
            code = int(options["code"]) if "code" in options else None
            signal = int(options["signal"]) if "signal" in options else None
            ended = Exit(
                Cause[options.get("cause", "EXITED")],
                code,
                signal,
                ended_us=self.clock.now_us(),
                started_us=self.clock.now_us(),
                last_lines=options.get("says", "").replace("_", " "),
            )
        shown = self.executor.shown.setdefault(f"{self.id_of(name)}-{attempt}", {})
        shown[replica] = ReplicaReading(Phase[phase], int(options.get("incarnation", "0")), ended)
        self.say("seen from now on")

    async def do_wait(self, seconds: str) -> None:
        passed_us = round(float(seconds.removesuffix("s")) * 1e6)
        self.clock.steady += passed_us
        self.clock.calendar += passed_us
        self.say(f"it is {self.clock.steady / 1e6:g} s")

    async def do_calendar(self, seconds: str) -> None:
        self.clock.calendar += round(float(seconds.removesuffix("s")) * 1e6)
        self.say("the calendar was set")

    async def do_cancel(self, name: str, _by: str, who: str) -> None:
        job = await self.store.ask_cancel(self.store.find(self.id_of(name)).name, who, self.clock.now_us())
        self.say(f"{name} {job.status.state.name}, intent {job.intent.name}")

    async def do_delete(self, name: str) -> None:
        job = self.store.find(self.id_of(name))
        now_us = self.clock.now_us()
        operation = OperationName(job.name.scope, job.name, 1000 + job.id)
        await self.store.delete(job.name, StoredOperation(operation, "v1", "DeleteOperationMetadata", now_us, now_us))
        self.say(f"{name} is gone")

    async def do_crash(self, _before: str, verb: str) -> None:
        self.crash_at = verb
        self.say("armed")

    async def do_refuse(self, verb: str) -> None:
        self.refused = verb
        self.say("armed")

    async def do_restart(self) -> None:
        self.boot()
        self.say("the server starts anew")

    async def do_queue(self) -> None:
        for job_id, place in self.admission.places().items():
            self.say(f"{place.position} of {place.length}: {self.names[job_id]}. {place.why}")

    async def do_explain(self, name: str) -> None:
        status = self.store.find(self.id_of(name)).status
        stamps = f"started {status.start_time_us is not None}, ended {status.end_time_us is not None}"
        self.say(f"{status.state.name}, attempt {status.attempt}, {stamps}")
        if status.error:
            self.say(f"error {status.error.code}: {status.error.message}")
        if status.waits_for:
            self.say(f"waits: {status.waits_for}")

    async def do_log(self, name: str) -> None:
        for told in self.store.narration(self.store.find(self.id_of(name)).name):
            self.say(f"{told.note.severity}: {told.note.text}")

    async def do_records(self, name: str) -> None:
        for record in self.store.replica_records(self.store.find(self.id_of(name)).name):
            end = record.exit
            self.say(f"attempt {record.attempt} {record.replica}.{record.incarnation} {end.cause} {end.code}")


def _options(words: tuple[str, ...]) -> Mapping[str, str]:
    return dict(word.partition("=")[::2] for word in words)


def _value(kind: str, text: str) -> object:
    if kind == "bool":
        return text != "no"
    return int(text) if kind == "int" else float(text)


async def play(text: str) -> str:
    """The same text with what happens now."""
    story = Story()
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("> "):
            lines += [line, *(f"  {said}" for said in await story.run(line[2:]))]
        elif not line.startswith("  "):
            lines.append(line)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_the_story_goes_as_it_is_written(path: Path, accept: bool) -> None:
    """What the controller does in this situation is exactly what was reviewed."""
    written = path.read_text()
    now = asyncio.run(play(written))
    if accept:
        path.write_text(now)
    assert now == path.read_text()


def test_there_are_stories() -> None:
    """An empty folder must not look like a passing suite."""
    assert len(STORIES) >= 12
