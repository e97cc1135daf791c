"""The executor of the mind keeps the promise that it stands in for."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from trainyard.core.runs import Cause, Exit, Phase
from trainyard.testing.builders import PlainKind, PlainSpec, plain_job
from trainyard.testing.fake_executor import Behaviour, FakeExecutor
from trainyard.testing.virtual_time import VirtualClock, VirtualLoop, run_virtually


def group(incarnation: int = 0):
    job = plain_job(1, PlainSpec(workers=1))
    made = PlainKind().run_group(replace(job, status=replace(job.status, run_id="1-1")))
    first = replace(made.replicas[0], incarnation=incarnation)
    return replace(made, replicas=(first, *made.replicas[1:]))


def in_a_world(body, behave=lambda *_: Behaviour(run=5.0)) -> None:
    loop = VirtualLoop()
    run_virtually(body(FakeExecutor(VirtualClock(loop), behave=behave)), loop)


async def phase(world: FakeExecutor, replica: str = "workerpool0-0") -> Phase:
    return (await world.observe(["1-1"]))["1-1"].of(replica).phase


def test_each_incarnation_starts_at_most_once() -> None:
    """Launching again starts only what was never started."""

    async def body(world: FakeExecutor) -> None:
        for incarnation in (0, 0, 1, 1):
            await world.launch(group(incarnation))
        assert sorted(world.processes) == [
            ("1-1", "workerpool0-0", 0),
            ("1-1", "workerpool0-0", 1),
            ("1-1", "workerpool1-0", 0),
        ]

    in_a_world(body)


def test_a_replica_goes_through_its_phases() -> None:
    """Absent until it appears, then starting, running, ended with its evidence."""

    async def body(world: FakeExecutor) -> None:
        await world.launch(group())
        seen = [await phase(world)]
        for delay in (1.0, 1.0, 5.0):
            await asyncio.sleep(delay)
            seen.append(await phase(world))
        assert seen == [Phase.ABSENT, Phase.STARTING, Phase.RUNNING, Phase.ENDED]
        end = (await world.observe(["1-1"]))["1-1"].of("workerpool0-0").exit
        assert (end.cause, end.code) == (Cause.EXITED, 0)

    in_a_world(body, lambda *_: Behaviour(appear=1.0, start=2.0, run=5.0))


def test_what_was_stopped_is_not_started_afterwards() -> None:
    """Also not by a launch that comes late; the deaf are ended with the grace."""

    async def body(world: FakeExecutor) -> None:
        await world.launch(group())
        await asyncio.sleep(1)
        await world.stop("1-1", 2.0)
        await world.launch(group(1))
        assert len(world.processes) == 2
        assert await phase(world) is Phase.RUNNING
        await asyncio.sleep(2)
        end = (await world.observe(["1-1"]))["1-1"].of("workerpool0-0").exit
        assert (end.cause, end.signal) == (Cause.STOPPED, 9)

    in_a_world(body, lambda *_: Behaviour(run=None, deaf=60.0))


def test_it_tells_when_it_is_wronged() -> None:
    """A release while something runs is written down; a sweep releases what is not live."""

    async def body(world: FakeExecutor) -> None:
        await world.launch(group())
        await world.sweep(["1-1"])
        assert world.broken == []
        await world.sweep([])
        assert "was released while" in world.broken[0]
        assert world.unreleased() == set()

    in_a_world(body)


def test_ends_and_losses_can_be_made() -> None:
    """As something outside of the service would: with a record, or without a trace."""

    async def body(world: FakeExecutor) -> None:
        await world.launch(group())
        await asyncio.sleep(1)
        world.end("1-1", "workerpool0-0", Exit(Cause.SIGNALED, code=137, signal=9))
        world.vanish("1-1", "workerpool1-0")
        assert await phase(world) is Phase.ENDED
        assert await phase(world, "workerpool1-0") is Phase.ABSENT
        assert list(world.alive()) == []

    in_a_world(body)
