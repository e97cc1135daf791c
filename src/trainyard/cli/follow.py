"""Shows a job live until it ends: its lines, its states, what it waits for; Ctrl-C is the caller's to interpret."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from trainyard.cli.explaining import progress_words
from trainyard.cli.log_stream import Event, LogStream
from trainyard.cli.problems import Refused, Unreachable
from trainyard.cli.service_api import Job, ServiceApi, short_state
from trainyard.cli.terminal import STATE_STYLES, Terminal, replica_style

TICK_SECONDS: Final = 0.1
LABEL_WIDTH: Final = len("workerpool0-0")
_ASK_EVERY_SECONDS: Final = 1.0
_WORTH_SAYING: Final = frozenset({"WARNING", "CRITICAL", "ALERT", "EMERGENCY"})
_SEVERE: Final = frozenset({"ERROR", "CRITICAL", "ALERT", "EMERGENCY"})


class Follower:
    """Follows one job. What is done with lines, states and Ctrl-C can be replaced before `follow` is called."""

    def __init__(self, api: ServiceApi, name: str, terminal: Terminal, task: str = "", cursor: str = "") -> None:
        """Nothing is read yet. `task` narrows to one replica, `cursor` begins behind an earlier line."""
        self.api = api
        self.name = name
        self.terminal = terminal
        self.task = task
        self.cursor = cursor
        self.state = ""
        self.left = False  # whether the user left before the end
        self.show_line: Callable[[Mapping[str, Any]], None] = self.labelled_line
        self.show_states = True
        self.narration = False  # the service's routine lines; warnings always show
        self.states_on_stderr = True  # False: among the lines
        self.on_interrupt: Callable[[int], bool] = lambda _: True  # count of Ctrl-C so far -> whether to leave
        self._waiting = ""
        self._sentence = ""
        self._asked_at = 0.0

    def follow(self) -> Job:
        """Show everything until the job has ended, or the user leaves (see `left`); returns the job as it is then."""
        stream = LogStream(self.api.target, self.name, self.task, self.cursor)
        try:
            with interrupts() as count:
                self._read(stream, count)
            return {} if self.left else self._final()
        finally:
            stream.leave()
            self.terminal.eager = True
            self.terminal.close()

    def _final(self) -> Job:
        """The job as it ended; from what the stream told, should the service go away just now."""
        try:
            return self.api.get(self.name)
        except Unreachable:
            return {"name": self.name, "state": f"JOB_STATE_{self.state}", "error": {"message": self._sentence}}

    def _read(self, stream: LogStream, count: list[int]) -> None:
        seen = 0
        self.terminal.eager = False
        while True:
            event = stream.next(0)
            if event is None:
                self.terminal.flush()
                event = stream.next(TICK_SECONDS)
            if count[0] > seen:
                seen = count[0]
                self.left = self.on_interrupt(seen)
                if self.left:
                    return
            if event is None:
                self._ask_what_is_new()
                self.terminal.status(self._waiting)
            else:
                self._show(event)
                if event.kind == "end":
                    return

    def _show(self, event: Event) -> None:
        match event.kind:
            case "log":
                if self.narration or not is_routine(event.data):
                    self.show_line(event.data)
            case "state":
                self._changed(event.data)
            case "lost":
                self._waiting = "the service is gone; waiting for it to come back"
                self.terminal.line(self._waiting, "yellow", err=True)
            case "back":
                self.terminal.line("the service is back; reading on where it stopped", "green", err=True)

    def labelled_line(self, entry: Mapping[str, Any]) -> None:
        """One line with its replica's name before it."""
        task = str(entry.get("task", ""))
        text = shown_text(entry, live=self.terminal.colour)
        self.terminal.line(labelled(self.terminal, task, text, LABEL_WIDTH))

    def bare_line(self, entry: Mapping[str, Any]) -> None:
        """The program's lines as they are, on the stream on which it wrote them; the service's own lines to stderr."""
        if entry.get("task") == "service":
            text = shown_text(entry, live=self.terminal.live)
            self.terminal.line(labelled(self.terminal, "service", text, len("service"), err=True), err=True)
            return
        from_stderr = entry.get("stream") == "stderr"
        payload = entry.get("payload")
        text = str(entry.get("text", "")) if payload is None else json.dumps(payload, ensure_ascii=False)
        self.terminal.line(text, err=from_stderr)

    def _changed(self, told: Mapping[str, Any]) -> None:
        state, self._sentence = short_state(told), str(told.get("sentence") or "")
        self._asked_at = time.monotonic()
        self._waiting = f"{state}  {self._sentence}".rstrip()
        if self.show_states and state != self.state:
            self._state_line(state, self._sentence)
        self.state = state

    def _ask_what_is_new(self) -> None:
        """A place in the queue, and how far a job is, change without an event: ask, and say what is new."""
        far = self.state == "RUNNING" and self.terminal.live
        if not (far or self.state == "QUEUED") or time.monotonic() - self._asked_at < _ASK_EVERY_SECONDS:
            return
        self._asked_at = time.monotonic()
        try:
            told = self.api.explain(self.name)
        except (Refused, Unreachable):
            return  # the stream finds out what is wrong, and says so
        if far:
            words = progress_words(told.get("progress")) or [self._sentence]
            self._waiting = f"RUNNING  {words[0]}".rstrip()
            return
        reason = str(told.get("sentence", ""))
        waiting = f"QUEUED  {reason}"
        if short_state(told) != "QUEUED" or waiting == self._waiting:
            return
        self._waiting = waiting
        if self.show_states and not self.terminal.live:
            self._state_line("QUEUED", reason)

    def _state_line(self, state: str, reason: str) -> None:
        """Print `● RUNNING   Every replica is up.`."""
        err = self.states_on_stderr
        mark = self.terminal.paint(f"● {state:<9}", STATE_STYLES.get(state, "bold"), "bold", err=err)
        self.terminal.line(f"{mark} {reason}".rstrip(), err=err)


def is_routine(entry: Mapping[str, Any]) -> bool:
    """Whether a line of the service's narration tells nothing that the states do not tell as well."""
    return entry.get("task") == "service" and entry.get("severity") not in _WORTH_SAYING


def labelled(terminal: Terminal, task: str, text: str, width: int, *, err: bool = False) -> str:
    """A line with its replica's name before it, in the replica's colour where the stream has colours."""
    label = terminal.paint(f"{task:<{width}} │", replica_style(task), err=err)
    return f"{label} {terminal.paint(text, 'dim', err=err) if task == 'service' else text}"


def shown_text(entry: Mapping[str, Any], *, live: bool) -> str:
    """A line's text; a JSON line shows its message, and of a progress bar a terminal shows its last frame."""
    payload = entry.get("payload")
    text = str(entry.get("text", ""))
    if isinstance(payload, dict):
        message = payload.get("message")
        text = message if isinstance(message, str) else json.dumps(payload, ensure_ascii=False)
        severity = str(entry.get("severity", ""))
        text = f"{severity}: {text}" if severity in _SEVERE else text
    return text.rstrip("\r").rpartition("\r")[2] if live else text


@contextmanager
def interrupts() -> Iterator[list[int]]:
    """Count Ctrl-C instead of being torn out of whatever is under way; the count is the list's only item."""
    count = [0]

    def note(_signal: int, _frame: FrameType | None) -> None:
        count[0] += 1

    before = signal.signal(signal.SIGINT, note)
    try:
        yield count
    finally:
        signal.signal(signal.SIGINT, before)
