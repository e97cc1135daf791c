"""`trainyard custom-jobs usage`, and what `describe` and `plot` show of it: what each replica uses and used."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from trainyard.cli.curves import Curve
from trainyard.cli.explaining import duration, section, size
from trainyard.cli.formats import Format, parse_format, table_lines, write
from trainyard.cli.service_api import connect
from trainyard.cli.terminal import Terminal

_MEGABYTE: Final = 1e6
_DRAWN: Final[Mapping[str, tuple[str, float]]] = {
    "cpuCores": ("usage: CPU, cores", 1.0),
    "memoryBytes": ("usage: memory, MB", _MEGABYTE),
    "diskReadBytesPerSecond": ("usage: disk read, MB/s", _MEGABYTE),
    "diskWriteBytesPerSecond": ("usage: disk written, MB/s", _MEGABYTE),
    "gpuPercent": ("usage: GPU, %", 1.0),
    "gpuMemoryBytes": ("usage: GPU memory, MB", _MEGABYTE),
}
"""Picture and scale of each value."""
NOTHING_YET: Final = "No replica of this job has been sampled yet: the first sample is taken after some seconds."


def usage(flags: Namespace) -> int:
    """A table with one line a replica; in other formats the replicas with their points."""
    chosen = parse_format(flags.format)
    api = connect(flags)
    found = api.usage(api.name_of(flags.job), flags.points, flags.task, flags.attempt)["replicas"]
    if chosen != Format("table"):
        write(found, chosen, many=True)
        return 0
    terminal = Terminal()
    if not found:
        terminal.line(NOTHING_YET, err=True)
    for number, line in enumerate(_table(found)):
        terminal.line(line, *(() if number else ("bold",)))
    return 0


def lines(terminal: Terminal, answer: Mapping[str, Any]) -> Iterator[str]:
    """The section of `describe`; nothing where nothing was sampled."""
    yield from section(terminal, "USAGE (NOW / PEAK)", list(_table(answer.get("replicas") or [])))


def _table(replicas: list[dict[str, Any]]) -> Iterator[str]:
    has_gpus = any("gpuMemoryBytes" in (each["newest"] or {}) for each in replicas)
    heads = ["NAME", "ATTEMPT", "CORES", "MEMORY", "READ/S", "WRITTEN/S", "PROCESSES"]
    heads += ["GPU", "GPU MEMORY"] if has_gpus else []
    rows = [_row(each, has_gpus=has_gpus) for each in replicas if each["newest"]]
    return table_lines((*heads, "CPU TIME", "READ", "WRITTEN"), rows) if rows else iter(())


def _row(each: Mapping[str, Any], *, has_gpus: bool) -> tuple[str, ...]:
    newest, peak = each["newest"], each["peak"]

    def both(name: str, words: Any = size) -> str:
        return f"{words(newest[name])} / {words(peak[name])}" if name in newest else ""

    again = f" restart {each['incarnation']}" if each["incarnation"] else ""
    cells = [
        str(each["task"]),
        f"{each['attempt']}{again}",
        both("cpuCores", lambda value: f"{value:.2f}"),
        both("memoryBytes"),
        both("diskReadBytesPerSecond"),
        both("diskWriteBytesPerSecond"),
        both("processes", str),
    ]
    cells += [both("gpuPercent", lambda value: f"{value}%"), both("gpuMemoryBytes")] if has_gpus else []
    return (*cells, duration(each["cpuSeconds"]), size(each["diskReadBytes"]), size(each["diskWriteBytes"]))


def curves(answer: Mapping[str, Any]) -> list[Curve]:
    """A curve for each value that a replica has, over the seconds since the first replica's first point."""
    replicas = [each for each in answer.get("replicas", []) if each["points"]]
    if not replicas:
        return []
    first = min(_seconds(each["points"][0]) for each in replicas)
    return [
        Curve(_name(each), tag, each["samples"], _points(each["points"], value, first, scale), unit="seconds")
        for value, (tag, scale) in _DRAWN.items()
        for each in replicas
        if any(value in point for point in each["points"])
    ]


def _name(each: Mapping[str, Any]) -> str:
    return f"{each['task']} restart {each['incarnation']}" if each["incarnation"] else str(each["task"])


def _points(points: list[Mapping[str, Any]], name: str, first: float, scale: float) -> tuple[tuple[int, float], ...]:
    return tuple((round(_seconds(point) - first), point[name] / scale) for point in points if name in point)


def _seconds(point: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(str(point["time"])).timestamp()
