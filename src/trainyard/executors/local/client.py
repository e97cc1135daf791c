"""The executor of this machine: run groups as supervised process trees that need no server to go on or to end well.

All truth is in the files that the agents write (agent/records.py). The server may be killed at any point: the next one
reads the same files, and what it repeats has no second effect.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from trainyard.agent import ending, records
from trainyard.core.clock import MICROSECONDS, Clock
from trainyard.core.errors import Unavailable
from trainyard.core.runs import Capacity, Phase, Reading, ReplicaSpec, RunGroup
from trainyard.executors.local import environments
from trainyard.executors.local.allotment import Kept, Room, check_reservations, cpus_and_memory, gpus_of_this_machine
from trainyard.executors.local.announcements import Announcements
from trainyard.executors.local.container_packages import Find
from trainyard.executors.local.containers import ContainerOptions, Containers
from trainyard.executors.local.dashboards import Dashboards
from trainyard.executors.local.groups import Group, Groups, write_unstarted
from trainyard.executors.local.launcher import Launchers, request_of, this_python
from trainyard.executors.local.own_environment import calls_pip, own_environment
from trainyard.executors.local.packages import PreparationFailed
from trainyard.executors.local.plan import Places, ReplicaPlan, handed_on, notes_on, notes_on_buckets, plan
from trainyard.executors.local.readings import Incarnation
from trainyard.executors.local.remote_packages import finder
from trainyard.executors.local.shares import refuse_shares
from trainyard.executors.local.shells import Shells
from trainyard.executors.local.sweep import bury
from trainyard.executors.local.warmth import warm
from trainyard.objects import ObjectStore

_HOUSEKEEPING_SECONDS = 0.5
_UNDERTAKERS = 2
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """How much of this machine is used.

    `replicas`: how many run at once; 0 means four per core, at least eight. `gpus`: device names, None to ask the
    driver. `ports`: from which every replica gets its own. `accelerators`: "optional" runs a job that asks for GPUs
    without them where the machine has none, "required" fails it. `python`: for the agents. `environment`: what the
    server was started with, of which programs get an allowlisted part. `gcs_mount`: whether programs see the
    buckets at /gcs too, in a mount namespace of theirs. `objects`: where gs:// is, if that is no directory of this
    machine. `opens`: what opens packages that are sealed. `containers`: how images are run; None: never. `enforced`:
    whether CPUs and memory are handed out, too. `usage_interval`: seconds between two samples of usage; 0: none.
    """

    replicas: int = 0
    gpus: tuple[str, ...] | None = None
    ports: range = range(20000, 30000)
    accelerators: str = "optional"
    python: str = field(default_factory=this_python)
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    prepared: environments.Options | None = None
    gcs_mount: bool = True
    objects: ObjectStore | None = None
    opens: ObjectStore | None = None
    containers: ContainerOptions | None = None
    enforced: bool = False
    reserved: tuple[Kept, ...] = ()
    usage_interval: float = 10.0


class LocalExecutor:
    """Keeps every promise and talent of executor.py. Built by `open_executor`, used in one event loop."""

    settle_seconds = 2.0  # a killed server's spawner may still be at its last requests

    def __init__(self, data_dir: Path, clock: Clock, options: LocalOptions) -> None:
        """Nothing is touched before `start`. State lies in `runs`, `logs`, `buckets`, `environments` of `data_dir`."""
        self._places = Places(data_dir / "runs", data_dir / "logs", data_dir / "buckets", options.objects is not None)
        self._clock = clock
        self._options = options
        self._base = handed_on(options.environment)
        self._groups = Groups(self._places)
        self.open_shell = Shells(self._groups).open
        view = (self._places.buckets, data_dir / "view") if options.gcs_mount and options.objects is None else ()
        self._find: Find = finder(data_dir, options.objects, options.opens)
        within = options.containers
        self._containers = (
            Containers(within, data_dir, self._places, options.environment, self._find) if within else None
        )
        self.dashboard_ports = Dashboards(self._groups, self._containers).ports
        self._launcher = Launchers(options.python, data_dir / "agent.log", self._complain, view)
        self._preparing: dict[str, asyncio.Task[None]] = {}
        self._chores: set[asyncio.Task[object]] = set()
        # Threads of their own: a process that the kernel can't end yet must not hold up what else goes to threads.
        self._undertakers = ThreadPoolExecutor(_UNDERTAKERS, "undertaker")
        self._announcements = Announcements(self._places.runs / records.HINTS)
        self._replicas = options.replicas or max(8, 4 * (os.cpu_count() or 1))
        self._gpus: tuple[str, ...] = ()
        self._room = Room(options.ports, ())
        self._environments = environments.EnvironmentCache(data_dir / "environments", self._places.buckets)

    async def start(self) -> None:
        """Come up and adopt what runs. Raises Unavailable with a sentence."""
        if sys.platform != "linux":
            raise Unavailable("The local executor needs Linux: only there can it keep hold of every process of a job.")
        options = self._options
        given, environment = options.gpus, options.environment
        self._gpus = await asyncio.to_thread(gpus_of_this_machine, environment) if given is None else given
        check_reservations(self.capacity())
        self._room = Room(options.ports, self._gpus)
        prepared = replace(options.prepared or environments.Options(), gpus=bool(self._gpus))
        root, buckets = self._places.runs.parent / "environments", self._places.buckets
        self._environments = environments.EnvironmentCache(root, buckets, prepared, self._find)
        try:
            for run_id, allotment in self._groups.load().items():
                self._room.hold(run_id, allotment)
            self._announcements.open()
            self._launcher.start()
        except OSError as error:
            raise Unavailable(
                f"The local executor can't use {error.filename or self._places.runs}: {error.strerror}."
            ) from None
        if self._containers is not None:
            self._chore(self._containers.come_up([group.run_id for group in self._groups.known()]))
        self._chore(self._keep_house())

    async def close(self) -> None:
        """Let go; what runs goes on running, and an installation on its way is given up."""
        tasks = [*self._preparing.values(), *self._chores]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._undertakers.shutdown(wait=False)
        self._launcher.close()
        self._groups.close()
        self._announcements.close()
        if self._containers is not None:
            self._containers.close()

    def capacity(self) -> Capacity:
        """Slots for replicas, and GPUs. With none of these and accelerators optional, GPUs do not limit anything."""
        unlimited = not self._gpus and self._options.accelerators == "optional"
        cpus, memory_bytes = cpus_and_memory() if self._options.enforced else (None, None)
        gpus = None if unlimited else len(self._gpus)
        return Capacity(self._replicas, gpus, cpus, memory_bytes).keeping(self._options.reserved)

    @property
    def spawner_pid(self) -> int | None:
        """The process that forks the agents, for those who want to see it killed."""
        return self._launcher.pid

    async def warm(self, image_uri: str, package_uris: Sequence[str]) -> str:
        """See the promise Warms."""
        return await warm(image_uri, package_uris, self._environments, self._containers)

    async def launch(self, group: RunGroup) -> None:
        """Start what was never started; see the promise. Raises Unavailable when there is no room or no disk."""
        try:
            held = self._groups.of(group.run_id)
            if held.allotment is None:
                held.allotment = self._room.allot(group)
            begun = [(spec, work) for spec in group.replicas if (work := self._begin(held, group, spec))]
            self._groups.keep(held)
            for spec, work in begun:
                held.newest[spec.name].asked = True
                work()
        except OSError as error:
            raise Unavailable(f"Nothing can be started now: {error.strerror}: {error.filename}.") from None

    async def observe(self, run_ids: Collection[str]) -> Mapping[str, Reading]:
        """Look at the files of these groups, now."""
        return {run_id: self._read(run_id) for run_id in run_ids}

    async def stop(self, run_id: str, grace_seconds: float) -> None:
        """Place the stop marker and wake the agents. Raises Unavailable when the marker can't be written."""
        try:
            self._groups.stop(run_id, grace_seconds)
        except OSError as error:
            raise Unavailable(f"{run_id} can't be stopped now: {error.strerror}: {error.filename}.") from None
        for name, task in list(self._preparing.items()):
            if name.startswith(f"{run_id}/"):
                task.cancel()

    async def release(self, run_id: str) -> None:
        """Give back ports and GPUs. The working directories stay until the job is forgotten: people look into them."""
        self._room.give_back(run_id)
        self._groups.release(run_id)
        if self._containers is not None and self._containers.is_over(run_id):
            self._chore(self._containers.release(run_id))
        for name in self._launcher.unsettled():
            if name.startswith(f"{run_id}/"):
                self._launcher.settled(name)

    async def forget(self, job_id: int, *, output: bool = True) -> None:
        """Remove runs of a job, and its logs if `output` is to go, too."""
        for run_id in self._groups.runs_of(job_id):
            await self.release(run_id)
            if self._containers is not None:
                await self._containers.release(run_id)  # while there is still written what it is
        await asyncio.to_thread(self._groups.remove, job_id, output=output)

    async def sweep(self, live: Collection[str]) -> None:
        """End and release the groups that hold something of this machine and are not in `live`."""
        for group in self._groups.known():
            if group.allotment is not None and group.run_id not in live:
                await self.stop(group.run_id, 0.0)
                self._chore(self._release_when_over(group.run_id))

    async def _release_when_over(self, run_id: str) -> None:
        """Give nothing back that a living process may still use."""
        with self._announcements.listening() as queue:
            while any(seen.phase in (Phase.STARTING, Phase.RUNNING) for seen in self._read(run_id).replicas.values()):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(queue.get(), _HOUSEKEEPING_SECONDS)
        await self.release(run_id)

    async def changes(self) -> AsyncIterator[str]:
        """Run ids as the agents hint at them."""
        with self._announcements.listening() as queue:
            while True:
                yield await queue.get()

    def plan(self, group: RunGroup) -> list[ReplicaPlan]:
        """What launching the group would start; for a group without room, with port 0 everywhere. No I/O."""
        allotment = self._groups.of(group.run_id).allotment or Room(range(1), ()).imagined(group)
        return [plan(group, spec, allotment, self._base, self._places) for spec in group.replicas]

    def _begin(self, held: Group, group: RunGroup, spec: ReplicaSpec) -> Callable[[], object] | None:
        """What sets one incarnation going; None if it was ever started or somebody is at it."""
        assert held.allotment is not None
        incarnation = held.newest.get(spec.name)
        if incarnation is None or incarnation.number < spec.incarnation:
            incarnation = self._groups.incarnation(group.run_id, spec.name, spec.incarnation)
            held.newest[spec.name] = incarnation
        if incarnation.number > spec.incarnation or incarnation.asked or incarnation.was_started():
            return None
        lacks_gpus = spec.resources.gpus > len(held.allotment.gpus.get(spec.name, ()))
        if self._groups.is_stopped(group.run_id):
            return partial(self._refuse, incarnation, ending.STOPPED, ending.STOPPED_BEFORE_START)
        if lacks_gpus and self._options.accelerators == "required":
            why = f"It asks for {spec.resources.gpus} GPU(s); this machine has {len(self._gpus)}."
            return partial(self._refuse, incarnation, ending.START_FAILED, why)
        contained = self._containers is not None and self._containers.possible(held, group, spec)
        if contained or spec.shares or self._environments.needs(spec) or calls_pip(spec):
            return partial(self._begin_preparing, held, group, spec, incarnation)
        self._groups.note(held, notes_on(spec, held.allotment, prepared=False))
        planned = plan(group, spec, held.allotment, self._base, self._places)
        self._groups.note(held, (*planned.notes, *self._notes_on_view(group, spec)))
        return partial(self._start, incarnation, planned)

    def _notes_on_view(self, group: RunGroup, spec: ReplicaSpec) -> tuple[str, ...]:
        why = "it is switched off" if not self._options.gcs_mount else self._launcher.why_no_view
        return notes_on_buckets(group, spec, self._places, why)

    def _begin_preparing(self, held: Group, group: RunGroup, spec: ReplicaSpec, incarnation: Incarnation) -> None:
        task = asyncio.get_running_loop().create_task(self._prepare(held, group, spec, incarnation))
        self._preparing[incarnation.name] = task

    async def _prepare(self, held: Group, group: RunGroup, spec: ReplicaSpec, incarnation: Incarnation) -> None:
        """Make the environment of one replica, then start it there."""

        def say(note: str) -> None:
            incarnation.note = note
            self._announcements.announce(held.run_id)

        try:
            planned = await self._placed(held, group, spec, incarnation, say)
            self._groups.keep(held)
            self._start(incarnation, planned)
        except PreparationFailed as failure:
            self._refuse(incarnation, ending.START_FAILED, str(failure), internal=failure.internal)
        except asyncio.CancelledError:
            if self._groups.is_stopped(held.run_id):
                self._refuse(incarnation, ending.STOPPED, ending.STOPPED_BEFORE_START)
            raise
        except OSError as error:
            self._refuse(incarnation, ending.START_FAILED, f"Its place could not be made: {error}.", internal=True)
        finally:
            self._preparing.pop(incarnation.name, None)

    async def _placed(
        self, held: Group, group: RunGroup, spec: ReplicaSpec, incarnation: Incarnation, say: Callable[[str], None]
    ) -> ReplicaPlan:
        """The start of a replica in a container, in an environment made for it, or with this machine's programs."""
        if self._containers is not None and self._containers.possible(held, group, spec):
            planned, notes = await self._containers.place(held, group, spec, say)
            self._groups.note(held, notes)
            if planned is not None:
                return planned
        refuse_shares(spec)
        assert held.allotment is not None
        base, needed = self._base, self._environments.needs(spec)
        self._groups.note(held, notes_on(spec, held.allotment, prepared=needed))
        if needed or calls_pip(spec):
            own = Path(f"{incarnation.control}.environment")
            prepared = await (self._environments.prepare(spec, say) if needed else own_environment(spec, own, base))
            base = prepared.over(base)
            self._groups.note(held, prepared.notes)
        planned = plan(group, spec, held.allotment, base, self._places)
        self._groups.note(held, (*planned.notes, *self._notes_on_view(group, spec)))
        return planned

    def _start(self, incarnation: Incarnation, planned: ReplicaPlan) -> None:
        if planned.refused:
            self._refuse(incarnation, ending.START_FAILED, planned.refused)
            return
        self._launcher.launch(
            incarnation.name,
            request_of(planned, self._places, self._usage_of(planned)),
            self._places.runs / planned.run_id / f"{planned.replica}.{planned.incarnation}.request",
        )

    def _usage_of(self, planned: ReplicaPlan) -> dict[str, object]:
        """What agent/usage.py reads."""
        held = self._groups.of(planned.run_id).allotment
        return {"every": self._options.usage_interval, "gpus": held.gpus.get(planned.replica, ()) if held else ()}

    def _refuse(self, incarnation: Incarnation, cause: str, message: str, *, internal: bool = False) -> None:
        """Record an end without a start; where the record can't be written, the controller will ask again."""
        try:
            write_unstarted(incarnation, cause, message, internal=internal)
        except OSError as error:
            incarnation.asked, incarnation.note = False, f"Its end can't be recorded: {error.strerror}."
        self._announcements.announce(incarnation.name.split("/", 1)[0])

    def _read(self, run_id: str) -> Reading:
        as_of = self._clock.now_us()
        now = self._clock.steady_us() / MICROSECONDS
        group = self._groups.of(run_id)
        replicas = {}
        for replica, incarnation in group.newest.items():
            replicas[replica] = incarnation.look()
            if incarnation.needs_proof_of_life(now):
                self._check_life(run_id, incarnation)
        return Reading(run_id, as_of, replicas, tuple(group.notes))

    def _check_life(self, run_id: str, incarnation: Incarnation) -> None:
        """Where both agents are dead, have the rest ended and the loss recorded; the next readings will tell."""
        try:
            lock = incarnation.lock_of_the_dead()
        except OSError:
            return
        if lock is not None:
            incarnation.burying = True
            self._chore(self._bury(run_id, incarnation, lock))

    async def _bury(self, run_id: str, incarnation: Incarnation, lock: int) -> None:
        try:
            loop, what = asyncio.get_running_loop(), (incarnation.control, incarnation.logs, incarnation.name, lock)
            await loop.run_in_executor(self._undertakers, bury, *what)
            if self._containers is not None:
                await self._containers.discard(incarnation)
        finally:
            incarnation.burying = False
            self._announcements.announce(run_id)

    async def _keep_house(self) -> None:
        """What hints may have missed: launches unanswered, agents gone."""
        while True:
            await asyncio.sleep(_HOUSEKEEPING_SECONDS)
            for name in self._launcher.unsettled():
                self._settle(name)
            self._launcher.ask_again()

    def _settle(self, name: str) -> None:
        run_id, replica, number = name.split("/")
        incarnation = self._groups.incarnation(run_id, replica, int(number))
        if incarnation.look().phase is Phase.ENDED or incarnation.was_started():
            self._launcher.settled(name)

    def _complain(self, control: str, why: str) -> None:
        """An agent could start nothing: it says why, and another one is asked again."""
        run_id = Path(control).parent.name
        incarnation = self._groups.of(run_id).newest.get(Path(control).name.rpartition(".")[0])
        if incarnation is not None:
            incarnation.note = f"It can't be started now ({why}); trying again."
        self._announcements.announce(run_id)

    def _chore(self, work: Coroutine[object, object, object]) -> None:
        task: asyncio.Task[object] = asyncio.get_running_loop().create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._chore_done)

    def _chore_done(self, task: asyncio.Task[object]) -> None:
        self._chores.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("A chore of the local executor failed: %s", error, exc_info=error)


async def open_executor(data_dir: Path, clock: Clock, options: LocalOptions) -> LocalExecutor:
    """A started executor over `data_dir`; raises Unavailable with a sentence where it can't come up."""
    executor = LocalExecutor(await asyncio.to_thread(data_dir.resolve), clock, options)
    await executor.start()
    return executor
