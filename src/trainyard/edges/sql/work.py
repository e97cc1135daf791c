"""What one statement shares while it runs: one moment of the store, its calls of the service, its counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any, Final

from trainyard.edges.sql.errors import CANCELLED, TOO_MUCH, SqlError
from trainyard.edges.sql.resources import API_VERSION

if TYPE_CHECKING:
    from trainyard.contract.operations import Operation
    from trainyard.service.access import Caller
    from trainyard.service.dispatch import Service
    from trainyard.service.reading import Reading

MOST_HELD: Final = 250_000
"""Rows that a statement may keep of the inner sides of its joins: some 60 MB."""

_LOOK_SECONDS: Final = 0.1


@dataclass(slots=True)
class Scan:
    """What reading one table came to. `pages` are parts that were read, `calls` operations of the service."""

    table: str
    method: str
    arguments: tuple[str, ...]
    columns: tuple[str, ...]
    calls: int = 0
    pages: int = 0
    rows: int = 0


class Door:
    """The service, for threads: every call as this caller, waited for, and given up when the statement is."""

    def __init__(self, service: Service, caller: Caller, loop: asyncio.AbstractEventLoop) -> None:
        """Calls run on this loop."""
        self.service = service
        self.caller = caller
        self._loop = loop

    def call(self, operation: Operation, request: Any, work: Work) -> Any:
        """The answer; raises ApiError, or SqlError when the statement's time is over."""
        return self.wait(self.service.call(operation, API_VERSION, request, self.caller), work)

    def wait(self, coroutine: Coroutine[Any, Any, Any], work: Work) -> Any:
        """What the coroutine gives, run on the loop."""
        future: Future[Any] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            while True:
                try:
                    return future.result(_LOOK_SECONDS)
                except NotYet:
                    if future.done():
                        raise
                work.check()
        except SqlError:
            future.cancel()
            raise
        except CancelledError:
            raise SqlError(CANCELLED, "canceling statement because the service is stopping") from None


@dataclass(slots=True)
class Work:
    """One statement at work. `deadline` is of time.monotonic(); None where nothing ends it but a cancel.

    `defaults` are values of path parameters that the statement does not name; `in_order`: whoever reads it may see
    the order in which a table's rows come; `sets`: tables may take the values of an IN at once.
    """

    door: Door
    reading: Reading
    deadline: float | None = None
    defaults: Mapping[str, str] = field(default_factory=dict)
    cancelled: Event = field(default_factory=Event)
    in_order: bool = True
    sets: bool = True
    scans: list[Scan] = field(default_factory=list)
    held: int = 0

    def check(self) -> None:
        """Raises SqlError (57014) once the statement is to end."""
        if self.over():
            raise self.end()

    def over(self) -> bool:
        """Whether the statement is to end."""
        return self.cancelled.is_set() or (self.deadline is not None and time.monotonic() > self.deadline)

    def end(self) -> SqlError:
        """Why it is to end."""
        if self.cancelled.is_set():
            return SqlError(CANCELLED, "canceling statement due to user request")
        hint = (
            "Narrow it (projectsId, state, LIMIT), or give it more time: SET statement_timeout = '5min', 0 for no end."
        )
        return SqlError(CANCELLED, "canceling statement due to statement timeout", hint=hint)

    def hold(self, rows: int) -> None:
        """Note that so many more rows are kept until the statement ends; raises SqlError (54000) over MOST_HELD."""
        self.held += rows
        if self.held > MOST_HELD:
            hint = "Narrow the joined tables by WHERE, or keep one first: CREATE TABLE … AS SELECT …, and join that."
            raise SqlError(TOO_MUCH, f"the inner sides of these joins have more than {MOST_HELD:,} rows", hint=hint)
