"""The run groups that this machine holds: what each was allotted is on disk before anything of it starts."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainyard.agent import ending, records
from trainyard.core.errors import Unavailable
from trainyard.core.log_files import read_directory_name, replica_directory
from trainyard.core.runs import Phase
from trainyard.executors.local.holdings import Holdings
from trainyard.executors.local.plan import Allotment, Places, attempt_of
from trainyard.executors.local.readings import Incarnation

_HOLDINGS, _OF_OLDER_BUILDS = "holdings", "held"
_GAP_OF_ATTEMPTS = 8


@dataclass(slots=True)
class Group:
    """One run group. `allotment` None: it was released, or this machine never held it."""

    run_id: str
    allotment: Allotment | None = None
    notes: dict[str, None] = field(default_factory=dict)  # in order, each once
    is_kept: bool = False  # what is above is on disk
    newest: dict[str, Incarnation] = field(default_factory=dict)  # by replica


class Groups:
    """The directories under `runs`, read lazily: a run group that nobody asks for costs nothing."""

    def __init__(self, places: Places) -> None:
        """Nothing is read before `load`."""
        self.places = places
        self._holdings = Holdings(places.runs / _HOLDINGS)
        self._runs = str(places.runs)  # paths that every job needs are put together as text: it is several times faster
        self._known: dict[str, Group] = {}

    def load(self) -> dict[str, Allotment]:
        """Make the directories and read what groups hold since an earlier server. Raises OSError, Unavailable."""
        for directory in (self.places.runs, self.places.logs):
            directory.mkdir(0o700, parents=True, exist_ok=True)  # users' output and files: their owner's alone
        if any((self.places.runs / _OF_OLDER_BUILDS).glob("*.json")):
            raise Unavailable(
                f"{self.places.runs / _OF_OLDER_BUILDS} was written by an older build, whose jobs may still run. "
                "Start that build and let them end, or end their processes and remove that directory."
            )
        for record in self._holdings.load():
            gpus = {name: tuple(devices) for name, devices in record["gpus"].items()}
            group = self.of(record["run"])
            group.allotment = Allotment(record["ports"], gpus)
            group.notes.update(dict.fromkeys(record["notes"]))
            group.is_kept = True
        return {run_id: group.allotment for run_id, group in self._known.items() if group.allotment}

    def close(self) -> None:
        """Let go of what `load` has opened."""
        self._holdings.close()

    def of(self, run_id: str) -> Group:
        """The group, with what its directory says of it."""
        if run_id not in self._known:
            self._known[run_id] = group = Group(run_id)
            with contextlib.suppress(FileNotFoundError):
                states = (name for name in os.listdir(f"{self._runs}/{run_id}") if name.endswith(".state"))  # noqa: PTH208 - see _runs
                for name in states:
                    replica, _, number = name.removesuffix(".state").rpartition(".")
                    known = group.newest.get(replica)
                    if known is None or known.number < int(number):
                        group.newest[replica] = self.incarnation(run_id, replica, int(number))
        return self._known[run_id]

    def known(self) -> list[Group]:
        """Those that this server has to do with."""
        return list(self._known.values())

    def incarnation(self, run_id: str, replica: str, number: int) -> Incarnation:
        """Where one start of one replica lies."""
        name = records.marker(run_id, replica, number)
        logs = replica_directory(self.places.logs, *attempt_of(run_id), replica, number)
        return Incarnation(name, number, records.control_path(self._runs, run_id, replica, number), logs)

    @staticmethod
    def note(group: Group, notes: Iterable[str]) -> None:
        """Add what people should know; `keep` writes it down."""
        for note in notes:
            if note not in group.notes:
                group.notes[note] = None
                group.is_kept = False

    def keep(self, group: Group) -> None:
        """Write down what the group holds, before anything of it starts. Raises OSError."""
        if group.is_kept or group.allotment is None:
            return
        with contextlib.suppress(FileExistsError):
            os.mkdir(f"{self._runs}/{group.run_id}")  # noqa: PTH102 - see _runs
        content = {"ports": group.allotment.ports, "gpus": group.allotment.gpus, "notes": list(group.notes)}
        self._holdings.hold(group.run_id, content)
        group.is_kept = True

    def stop(self, run_id: str, grace_seconds: float) -> None:
        """Place the stop marker, or bring its deadline nearer, and wake the agents. Raises OSError."""
        run_directory = self.places.runs / run_id
        run_directory.mkdir(parents=True, exist_ok=True)
        asked = time.monotonic()  # the agents' clock: it counts the grace, and no calendar change can move it
        placed = records.read_stop(str(run_directory))
        if placed is None or placed > asked + grace_seconds:
            records.write_stop(str(run_directory), grace_seconds, asked)
        records.wake(str(run_directory))

    def is_stopped(self, run_id: str) -> bool:
        """Whether nothing of the group may start any more."""
        return os.path.lexists(f"{self._runs}/{run_id}/{records.STOP}")

    def release(self, run_id: str) -> None:
        """Forget what the group holds. What has ended or was stopped does not start again."""
        if any(each.reading.phase is not Phase.ENDED for each in self.of(run_id).newest.values()):
            self.stop(run_id, 0.0)
        self._holdings.release(run_id)
        self._known.pop(run_id, None)

    def runs_of(self, job_id: int) -> list[str]:
        """The run ids of a job that have left anything here."""
        written = (read_directory_name(path.name) for path in _entries(self.places.logs / str(job_id)))
        found = {f"{job_id}-{source[0]}" for source in written if source}
        attempt = missing = 0
        while missing < _GAP_OF_ATTEMPTS:
            present = (self.places.runs / f"{job_id}-{attempt}").exists()
            found.update({f"{job_id}-{attempt}"} if present else ())
            attempt, missing = attempt + 1, 0 if present else missing + 1
        return sorted(found)

    def remove(self, job_id: int, *, output: bool) -> None:
        """Remove control and scratch files of a job, and its log files with `output`. Blocks; missing ones are fine."""
        for run_id in self.runs_of(job_id):
            shutil.rmtree(self.places.runs / run_id, ignore_errors=True)
        if output:
            shutil.rmtree(self.places.logs / str(job_id), ignore_errors=True)


def write_unstarted(incarnation: Incarnation, cause: str, message: str, *, internal: bool = False) -> bool:
    """Record that an incarnation was never executed; False if it was, or if an agent has it and will tell."""
    lock = records.take_lock(incarnation.control)
    if lock is None:
        return False
    try:
        if incarnation.was_started() or records.read_exit(incarnation.control) is not None:
            return False
        record: dict[str, Any] = ending.unstarted(cause, message, internal=internal)
        records.write_exit(incarnation.control, record)
        return True
    finally:
        os.close(lock)


def _entries(directory: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return list(directory.iterdir())
    return []
