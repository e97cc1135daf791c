"""Following a job: its output and its changes of state as they come, until it has ended and all of it has been told.

The cursor of every event goes on exactly behind it, in another connection, after a restart of the server as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainyard.core.errors import FieldViolation, InvalidArgument
from trainyard.core.states import FINAL
from trainyard.service.access import Caller
from trainyard.service.call import unlocked
from trainyard.service.insight import Insight, change_json, entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainyard.core.jobs import Change, Job
    from trainyard.store import Desk, LogBook

SHORTEST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.2
LINES_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Followed:
    """One event: `kind` is `entry` or `state`, `data` its JSON values, `cursor` where to go on behind it.

    Lines read in one go share a cursor: only the last of them carries it, the others have an empty one.
    """

    kind: str
    data: dict[str, Any]
    cursor: str


@dataclass(frozen=True, slots=True)
class _Place:
    """How many changes have been told, and the log book's cursor."""

    changes: int
    log: str

    def __str__(self) -> str:
        return f"{self.changes}.{self.log}"

    @classmethod
    def read(cls, cursor: str) -> _Place:
        if not cursor:
            return cls(0, "")
        changes, dot, log = cursor.partition(".")
        if not dot or not changes.isascii() or not changes.isdecimal() or len(changes) > 9:
            message = f"{cursor!r} is not a cursor that this service gave."
            raise InvalidArgument(message, [FieldViolation("cursor", message)])
        return cls(int(changes), log)


class Follower:
    """Makes the event stream of a job from store and log book; when nothing happens it costs one look per pause."""

    def __init__(
        self, insight: Insight, desk: Desk, logbook: LogBook, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Read from these; `sleep` waits (a test hands in its own)."""
        self._insight = insight
        self._desk = desk
        self._logbook = logbook
        self._sleep = sleep

    async def follow(self, name: str, caller: Caller, cursor: str = "") -> AsyncIterator[Followed]:
        """Every event behind the cursor, oldest first; ends when the job is final and everything has been told.

        Raises NotFound (also when the job is deleted meanwhile), PermissionDenied, InvalidArgument on a bad cursor,
        Unauthenticated once the caller's credential is revoked, FailedPrecondition once the job's key is gone.
        """
        place, pause = _Place.read(cursor), SHORTEST_PAUSE_SECONDS
        job_name = self._insight.job(name, caller).name
        revision: int | None = None
        changes: Sequence[Change] = ()
        while True:
            self._insight.recheck(caller)
            # Looked at before the lines are read: what was final before has written its last line before, too.
            job = unlocked(self._desk.get(job_name))
            if job.revision != revision:
                revision, changes = job.revision, self._desk.history(job_name)
            events, place = await self._news(job, place, changes)
            for event in events:
                yield event
            if events:
                pause = SHORTEST_PAUSE_SECONDS
            elif job.is_final:
                return
            else:
                await self._sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _news(self, job: Job, place: _Place, changes: Sequence[Change]) -> tuple[list[Followed], _Place]:
        """Changes first, then lines; the change to a final state waits until every line has been told."""
        before_the_end = sum(1 for change in changes if change.target not in FINAL)
        events = []
        for change in changes[place.changes : before_the_end]:
            place = _Place(place.changes + 1, place.log)
            events.append(Followed("state", change_json(change), str(place)))
        batch = await self._logbook.read(job.id, place.log, LINES_AT_ONCE)
        place = _Place(place.changes, batch.cursor)
        events += [Followed("entry", entry(line), "") for line in batch.lines[:-1]]
        events += [Followed("entry", entry(line), str(place)) for line in batch.lines[-1:]]
        if job.is_final and not batch.lines and place.changes < len(changes):
            place = _Place(len(changes), place.log)
            events.append(Followed("state", change_json(changes[-1]), str(place)))
        return events, place
