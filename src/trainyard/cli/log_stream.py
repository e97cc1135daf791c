"""A job's output and states as they come, every line once and in order, whatever connection or service is lost.

The service sends server-sent events (WHATWG HTML, 9.2): `log` (one line), `state` and, when the job is over and its
last line was told, `end`. Of lines sent together the last carries their cursor: they are held back until it has come,
and after a lost connection reading goes on behind it.
"""

from __future__ import annotations

import http.client
import json
import queue
import random
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from trainyard.cli.connection import Connection, Target
from trainyard.cli.problems import Problem, Unreachable
from trainyard.cli.service_api import OWN

SILENCE_SECONDS: Final = 60.0  # the service sends a sign of life four times as often
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 3.0
_MOST_WAITING: Final = 20  # groups read ahead of their printing; more wait in the service's files


@dataclass(frozen=True, slots=True)
class Event:
    """What comes out of a stream: `log`, `state`, `end` from the service; `lost` and `back` say how reading goes."""

    kind: str
    data: Mapping[str, Any]
    cursor: str = ""


def parse_events(lines: Iterable[bytes]) -> Iterator[Event]:
    """Server-sent events from the lines of a body; what is cut off before its blank line is dropped, as the rules say.

    An event that is nothing but an id comes out with an empty kind.
    """
    kind, data, cursor = "message", list[str](), ""
    for raw in lines:
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event" if line:
                kind = value
            case "data" if line:
                data.append(value)
            case "id" if line:
                cursor = value
            case "" if not line:
                if data:
                    told = json.loads("\n".join(data))
                    yield Event(kind, told if isinstance(told, dict) else {}, cursor)
                elif cursor:
                    yield Event("", {}, cursor)
                kind, data, cursor = "message", [], ""


def whole_groups(events: Iterable[Event]) -> Iterator[list[Event]]:
    """Hold lines back until the cursor behind them is known; those of a group that is cut off come again later."""
    held: list[Event] = []
    for event in events:
        held.append(event)
        if event.cursor or event.kind != "log":
            yield held
            held = []


class _CutOff(Exception):
    """The connection broke in the middle of the stream; the cursor says where to go on."""


class LogStream:
    """Follows one job in a thread of its own; `next` hands out what came."""

    def __init__(self, target: Target, name: str, task: str = "", cursor: str = "") -> None:
        """Begin to read behind `cursor` (empty: from the first line)."""
        self._target = target
        self._path = f"{OWN}/{name}/logs"
        self._query = {"follow": "true"} | ({"task": task} if task else {})
        self._cursor = cursor
        self._groups: queue.Queue[list[Event] | Problem] = queue.Queue(_MOST_WAITING)
        self._events: deque[Event] = deque()
        self._left = threading.Event()
        threading.Thread(target=self._read, name="log stream", daemon=True).start()

    def next(self, timeout_seconds: float) -> Event | None:
        """The next event, None when none came in time. Raises the Problem that ended the stream for good."""
        if not self._events:
            try:
                group = self._groups.get(timeout_seconds > 0, timeout_seconds)
            except queue.Empty:
                return None
            if isinstance(group, Problem):
                raise group
            self._events.extend(group)
        return self._events.popleft()

    def leave(self) -> None:
        """Stop reading."""
        self._left.set()

    def _read(self) -> None:
        pause, lost = _FIRST_PAUSE_SECONDS, False
        while not self._left.is_set():
            try:
                for group in self._one_connection():
                    if lost:
                        self._put([Event("back", {})])
                        pause, lost = _FIRST_PAUSE_SECONDS, False
                    self._cursor = group[-1].cursor or self._cursor
                    told = [event for event in group if event.kind]
                    if told:
                        self._put(told)
                    if group[-1].kind == "end":
                        return
            except (Unreachable, _CutOff):
                pass
            except Problem as problem:
                if getattr(problem, "status", "") != "UNAVAILABLE":
                    self._put(problem)
                    return
            if not lost:
                self._put([Event("lost", {})])
                lost = True
            time.sleep(pause * random.uniform(0.7, 1.3))  # noqa: S311 - spreads clients out, guards nothing
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _one_connection(self) -> Iterator[list[Event]]:
        connection = Connection(self._target, SILENCE_SECONDS)
        query = self._query | ({"cursor": self._cursor} if self._cursor else {})
        try:
            response = connection.send("GET", self._path, query, accept="text/event-stream")
            if "text/event-stream" not in (response.getheader("Content-Type") or ""):
                raise Problem(f"what answers at {self._target.endpoint} does not stream logs")
            yield from whole_groups(parse_events(iter(response.readline, b"")))
        except (OSError, http.client.HTTPException, ValueError):
            raise _CutOff from None
        finally:
            connection.close()

    def _put(self, group: list[Event] | Problem) -> None:
        while not self._left.is_set():
            try:
                self._groups.put(group, timeout=1.0)
            except queue.Full:
                continue
            return
