"""What `describe` says in people's words: why a job is where it is, what it waits for, its history, its replicas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from trainyard.cli.formats import table_lines
from trainyard.cli.terminal import Terminal


def lines(terminal: Terminal, explanation: Mapping[str, Any]) -> Iterator[str]:
    """The sections, each behind an empty line; sections without content are left out."""
    why = [str(explanation.get("sentence") or "")]
    why += [f"- {each}" for each in explanation.get("evidence") or () if each not in why]
    yield from section(terminal, "WHY", [each for each in why if each])
    yield from section(terminal, "PROGRESS", progress_words(explanation.get("progress")))
    yield from section(terminal, "EXPERIMENT", _tracking(explanation.get("tracking")))
    yield from section(terminal, "QUEUE", _queue(explanation.get("queue")))
    yield from section(terminal, "HISTORY", _history(explanation.get("history") or []))
    yield from section(terminal, "REPLICAS", _replicas(explanation.get("replicas") or []))


def progress_words(told: Mapping[str, Any] | None) -> list[str]:
    """`42%, 3m10s left`, `about` so much where the program does not say it; nothing where it says nothing."""
    if not told:
        return []
    left, about = told.get("secondsLeft"), "about " if told.get("secondsLeftBy") == "pace" else ""
    return [f"{told['percent']}%" + (f", {about}{duration(float(left))} left" if left is not None else "")]


def _tracking(told: Mapping[str, Any] | None) -> list[str]:
    if not told:
        return []
    run = f" as {told['runId']}" if told["runId"] else ""
    where = f"in MLflow at {told['where']}{run}" if told["where"] else "recorded with the job"
    return [f"{told['experiment']}, run {told['run']}: {where}"]


def section(terminal: Terminal, title: str, content: Sequence[str]) -> Iterator[str]:
    """A title and its lines behind an empty one; nothing where there is no content."""
    if content:
        yield ""
        yield terminal.paint(title, "bold")
        yield from (f"  {line}" if line else "" for line in content)


def _queue(place: Mapping[str, Any] | None) -> list[str]:
    return [f"{place.get('position')} of {place.get('length')}: {place.get('why')}"] if place else []


def _history(changes: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = []
    for change in changes:
        when = str(change.get("time") or "")
        stamp = datetime.fromisoformat(when).astimezone().strftime("%H:%M:%S.%f")[:-3] if when else ""
        rows.append((stamp, _short(change.get("to")), f"attempt {change.get('attempt')}", str(change.get("why") or "")))
    return list(table_lines(("TIME", "STATE", "", "WHY"), rows))


def _replicas(records: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = []
    for record in records:
        again = f" restart {record['incarnation']}" if record.get("incarnation") else ""
        rows.append(
            (
                str(record.get("name")),
                f"{record.get('attempt')}{again}",
                _end(record),
                size(record.get("peakMemoryBytes")),
                _seconds(record.get("cpuSeconds")),
                _ran(record),
            )
        )
    return list(table_lines(("NAME", "ATTEMPT", "END", "PEAK MEMORY", "CPU TIME", "RAN FOR"), rows))


def _end(record: Mapping[str, Any]) -> str:
    cause, code, signal = record.get("cause"), record.get("exitCode"), record.get("signal")
    told = str(cause or "")
    if cause == "exited":
        return f"exit {code}"
    if signal is not None:
        return f"{told} (signal {signal})"
    return told if code is None else f"{told} (exit {code})"


def _ran(record: Mapping[str, Any]) -> str:
    start, end = record.get("startTime"), record.get("endTime")
    if not start or not end:
        return ""
    return duration((datetime.fromisoformat(str(end)) - datetime.fromisoformat(str(start))).total_seconds())


def duration(seconds: float) -> str:
    """`0.84s`, `12.3s`, `4m05s`, `2h03m`, `3d04h`."""
    if seconds < 60:
        return f"{seconds:.2f}s" if seconds < 10 else f"{seconds:.1f}s"
    whole = int(seconds)
    for unit, small, size_, next_size in (("m", "s", 60, 3600), ("h", "m", 3600, 86400)):
        if whole < next_size:
            return f"{whole // size_}{unit}{whole % size_ // (size_ // 60):02d}{small}"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def size(count: Any) -> str:
    """`52.1 MB` (powers of ten); empty where it is not known."""
    if count is None:
        return ""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def _seconds(value: Any) -> str:
    return "" if value is None else duration(float(value))


def _short(state: Any) -> str:
    return str(state or "").removeprefix("JOB_STATE_")
