"""Which jobs a query over log entries is about, and the pages of entries that it finds there.

Work is bounded. A query that names no job looks at the MOST_JOBS newest jobs of the project that can have written in
the time it asks for. Ascending, a page may be short, even empty, and still name a next one: the original's own rule
for a search that has not come to its end. Its token holds a cursor per job, so every line is told once while jobs go
on writing. Descending, what is wanted lies at the end: every line of the jobs is read, up to MOST_LINES_BACKWARDS.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trainyard.core.errors import DeadlineExceeded, FieldViolation, InvalidArgument
from trainyard.core.expressions import And, Not, Or
from trainyard.core.log_query import parse_log_query
from trainyard.core.log_query_tree import Ground, Is, Query, ground, matches
from trainyard.core.names import Scope, project_number
from trainyard.service.log_entries import RESOURCE_TYPE, Key, entry_of, key_of

if TYPE_CHECKING:
    from trainyard.core.jobs import Change, Job
    from trainyard.store import Desk, LogBook, LogLine

MOST_JOBS = 50
MOST_LOOKED_AT = 2000
MOST_RESOURCES = 100
MOST_LINES_AHEAD = 50_000
MOST_LINES_BACKWARDS = 5_000_000
_BATCH = 1000
_SLACK_NS = 60_000_000_000  # a job's last lines may be stamped a little after its end

_OF_THE_JOB = frozenset((("resource", "type"), ("resource", "labels", "project_id"), ("resource", "labels", "job_id")))

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Search:
    """A query and the projects it is about: number -> the project as the caller writes it."""

    desk: Desk
    logbook: LogBook
    projects: Mapping[str, str]
    query: Query
    ground: Ground

    @classmethod
    def of(cls, desk: Desk, logbook: LogBook, resource_names: Iterable[str], text: str) -> Search:
        """Read the request; raises InvalidArgument on a resource that is no project's, and on a bad filter."""
        projects = {project_number(project): project for project in map(_project, _some(list(resource_names)))}
        query = _spelled(parse_log_query(text), projects)
        return cls(desk, logbook, projects, query, ground(query))

    @property
    def task(self) -> str:
        """The one task that can match; empty where there may be several."""
        tasks = self.ground.tasks
        return next(iter(tasks)) if tasks is not None and len(tasks) == 1 else ""

    async def jobs(self) -> list[Job]:
        """The jobs to look at, newest first."""
        found: list[Job] = []
        if self.ground.job_ids is not None:
            ids = (int(each) for each in self.ground.job_ids if each.isascii() and each.isdecimal() and len(each) < 20)
            known = (self.desk.find(each) for each in sorted(ids, reverse=True)[:MOST_LOOKED_AT] if each < 2**63)
            found = [job for job in known if job is not None and job.name.scope.project in self.projects]
            found = [job for job in found if self._may_hold(job)]
        else:
            for number in self.projects:
                found += await self._recent(number)
        return sorted(found, key=lambda job: job.id, reverse=True)[:MOST_JOBS]

    async def _recent(self, number: str) -> list[Job]:
        found: list[Job] = []
        after, looked = None, 0
        while len(found) < MOST_JOBS and looked < MOST_LOOKED_AT:
            page = await self.desk.recent(number, MOST_JOBS, after)
            if not page:
                break
            looked, after = looked + len(page), page[-1].id
            found += (job for job in page if self._may_hold(job))
        return found

    def _may_hold(self, job: Job) -> bool:
        """Whether the job can have written in the time asked for, and can be read."""
        if job.seal is not None and job.seal.locked:
            return False
        end, last = self.ground.end_ns, job.status.end_time_us
        if end is not None and job.create_time_us * 1000 > end:
            return False
        return self.ground.start_ns is None or last is None or last * 1000 + _SLACK_NS >= self.ground.start_ns

    def view(self, job: Job) -> View:
        """What is needed to judge the lines of one job. What is the same for all of them is judged now, once."""
        project = self.projects[job.name.scope.project]
        labels = {"project_id": project, "job_id": str(job.id)}
        always = {"resource": {"type": RESOURCE_TYPE, "labels": labels}}
        terms = self.query.terms if isinstance(self.query, And) else (self.query,)
        left = (
            each for each in terms if not (isinstance(each, Is) and each.path in _OF_THE_JOB and matches(each, always))
        )
        return View(job, project, self.desk.history(job.name), And(tuple(left)))

    def entry(self, view: View, line: LogLine) -> Entry | None:
        """The entry of a line, or None where it does not match."""
        time_ns = line.time_us * 1000 + 1
        start, end = self.ground.start_ns, self.ground.end_ns
        if (start is not None and time_ns < start) or (end is not None and time_ns > end):
            return None
        entry = entry_of(view.job, line, view.project, view.history)
        return entry if matches(view.query, entry) else None


@dataclass(frozen=True, slots=True)
class View:
    """One job as a search sees it: the project as the caller writes it, and what of the query each line has to meet."""

    job: Job
    project: str
    history: tuple[Change, ...]
    query: Query


@dataclass(slots=True)
class Source:
    """One job's lines, read batch by batch. `cursor` is where the present batch began, `behind` where it ends."""

    view: View
    behind: str = ""
    cursor: str = ""
    more: bool = True
    lines: deque[LogLine] = field(default_factory=deque)
    taken: list[str] = field(default_factory=list)

    async def fill(self, search: Search, size: int) -> int:
        """Read on where nothing is left; how many lines came."""
        if self.lines or not self.more:
            return 0
        batch = await search.logbook.read(self.view.job.id, self.behind, size, search.task)
        self.cursor, self.behind, self.more = self.behind, batch.cursor, batch.more
        self.lines.extend(batch.lines)
        self.taken.clear()
        return len(batch.lines)

    @property
    def head(self) -> Key:
        """The key of the next line."""
        return key_of(self.view.job, self.lines[0])

    def take(self) -> LogLine:
        """The next line."""
        line = self.lines.popleft()
        self.taken.append(line.mark)
        return line

    async def settle(self, search: Search) -> str:
        """The cursor behind what was taken. `taken` is empty afterwards where all of the batch has to be read again."""
        if not self.lines or not self.taken:
            return self.behind if not self.lines else self.cursor
        again = await search.logbook.read(self.view.job.id, self.cursor, len(self.taken), search.task)
        if [line.mark for line in again.lines] == self.taken:
            self.taken.clear()
            return again.cursor
        return self.cursor  # a line came late, between the others: the caller gives this batch back


async def ascending(search: Search, cursors: Mapping[str, str] | None, size: int) -> tuple[list[Entry], dict[str, str]]:
    """Entries, oldest first, and the cursors to go on from: none where there is nothing more for now."""
    sources = await _sources(search, cursors)
    found: list[Entry] = []
    read = 0
    while len(found) < size and read < MOST_LINES_AHEAD:
        for source in sources:
            read += await source.fill(search, max(size - len(found), _BATCH // 5))
        ready = sorted((source for source in sources if source.lines), key=lambda source: source.head)
        if not ready:
            return found, {}
        _merge(search, ready[0], ready[1].head if len(ready) > 1 else None, found, size)
        await asyncio.sleep(0)
    if not any(source.lines or source.more for source in sources):
        return found, {}
    places = {}
    for source in sources:
        places[str(source.view.job.id)] = await source.settle(search)
        if source.lines and source.taken:
            again = {f"{source.view.job.id}-{mark}" for mark in source.taken}
            found = [entry for entry in found if entry["insertId"] not in again]
    return found, places


def _merge(search: Search, source: Source, limit: Key | None, found: list[Entry], size: int) -> None:
    """Take lines of one source as long as no other has an earlier one."""
    while source.lines and len(found) < size and (limit is None or source.head <= limit):
        entry = search.entry(source.view, source.take())
        if entry is not None:
            found.append(entry)


async def _sources(search: Search, cursors: Mapping[str, str] | None) -> list[Source]:
    if cursors is None:
        return [Source(search.view(job)) for job in await search.jobs()]
    jobs = [search.desk.find(int(job_id)) for job_id in cursors]
    return [  # a job deleted meanwhile has nothing more to tell
        Source(search.view(job), cursors[str(job.id)])
        for job in jobs
        if job is not None and job.name.scope.project in search.projects
        if job.seal is None or not job.seal.locked
    ]


async def descending(search: Search, below: Key | None, size: int) -> tuple[list[Entry], Key | None]:
    """Up to `size` entries, newest first, and the key to go on below; None where there is nothing more."""
    kept: list[tuple[Key, int, Entry]] = []
    read = 0
    for job in await search.jobs():
        view, cursor, more = search.view(job), "", True
        while more and (below is None or job.create_time_us * 1000 <= below[0]):
            batch = await search.logbook.read(job.id, cursor, _BATCH, search.task)
            cursor, more, read = batch.cursor, batch.more, read + len(batch.lines)
            _keep(search, kept, ((view, line) for line in batch.lines), below, size + 1)
            await asyncio.sleep(0)
            if read > MOST_LINES_BACKWARDS:
                raise DeadlineExceeded(
                    f"The search has read {read} lines and not come to an end; name a job or a time, or ask ascending."
                )
    newest = sorted(kept, key=lambda each: each[0], reverse=True)
    entries = [entry for _, _, entry in newest[:size]]
    return entries, newest[size - 1][0] if len(newest) > size else None


def _keep(
    search: Search,
    kept: list[tuple[Key, int, Entry]],
    lines: Iterable[tuple[View, LogLine]],
    below: Key | None,
    most: int,
) -> None:
    """Keep the newest entries that match, as a heap with the oldest of them on top."""
    for view, line in lines:
        key = key_of(view.job, line)
        if (below is not None and key >= below) or (len(kept) == most and key < kept[0][0]):
            continue
        entry = search.entry(view, line)
        if entry is not None:
            push = heapq.heappush if len(kept) < most else heapq.heappushpop
            push(kept, (key, id(entry), entry))


def _some(resource_names: Sequence[str]) -> Sequence[str]:
    if resource_names and len(resource_names) <= MOST_RESOURCES:
        return resource_names
    message = f"resource_names must name between 1 and {MOST_RESOURCES} projects, such as projects/PROJECT."
    raise InvalidArgument(message, [FieldViolation("resource_names", message)])


def _project(resource_name: str) -> str:
    match resource_name.split("/"):
        case ["projects", project] | ["projects", project, "locations", _, "buckets", _, "views", _]:
            Scope.of(project, "global")
            return project
    message = f"{resource_name!r} is not served here; entries belong to projects: projects/PROJECT."
    raise InvalidArgument(message, [FieldViolation("resource_names", message)])


def _spelled(query: Query, projects: Mapping[str, str]) -> Query:
    """The query with every project written as in the request: its id and its number are the same project."""
    match query:
        case And(terms):
            return And(tuple(_spelled(term, projects) for term in terms))
        case Or(terms):
            return Or(tuple(_spelled(term, projects) for term in terms))
        case Not(term):
            return Not(_spelled(term, projects))
        case Is(("resource", "labels", "project_id"), op, str(value)):
            return Is(("resource", "labels", "project_id"), op, projects.get(project_number(value), value))
        case Is(("logName",), op, str(value)) if value.startswith("projects/"):
            _, project, *rest = value.split("/")
            return Is(("logName",), op, "/".join(("projects", projects.get(project_number(project), project), *rest)))
    return query
