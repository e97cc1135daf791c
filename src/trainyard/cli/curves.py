"""Series of points as they are drawn: finite values only, by metric, a curve for each run of the job."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric of one run: (step, value) in order of steps; `count` is how many were written, `lost` not numbers.

    `unit` is what steps count.
    """

    run: str
    tag: str
    count: int
    points: tuple[tuple[int, float], ...]
    lost: int = 0
    unit: str = "step"


def of_answer(answer: Mapping[str, Any]) -> list[Curve]:
    """The curves of the service's answer, in its order."""
    return [_curve(series) for series in answer.get("series", [])]


def by_tag(curves: Sequence[Curve]) -> dict[str, list[Curve]]:
    """The curves that belong into one picture: same metric, different runs."""
    found: dict[str, list[Curve]] = {}
    for curve in curves:
        found.setdefault(curve.tag, []).append(curve)
    return dict(sorted(found.items()))


def span(values: Sequence[float]) -> tuple[float, float]:
    """The lowest and the highest, kept apart where they are the same."""
    low, high = min(values), max(values)
    if low < high:
        return low, high
    room = abs(low) / 2 or 1.0
    return low - room, high + room


def _curve(series: Mapping[str, Any]) -> Curve:
    told = [(int(point["step"]), float(point["value"])) for point in series["points"]]
    points = tuple(point for point in told if math.isfinite(point[1]))
    return Curve(str(series["run"]), str(series["tag"]), int(series["count"]), points, len(told) - len(points))
