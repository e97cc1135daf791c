"""Points are walked, drawn and changed without ever leaving their space: closed decisions stay CLOSED, sets stay sets.

Where a sorted choice repeats a candidate, its two picks may differ below; as in pyglove, both orders are points.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from random import Random

from trainyard.core.space import CLOSED, Point, Space

Pick = Callable[[int, Sequence[int]], int]


def is_open(space: Space, values: Sequence[int], number: int) -> bool:
    """Whether a decision is asked at all, given the values before it."""
    decision = space.decisions[number]
    return decision.parent < 0 or values[decision.parent] == decision.parent_option


def allowed(space: Space, values: Sequence[int], number: int) -> Sequence[int]:
    """The options of an open decision that the earlier picks of its choice leave; never empty in a valid point."""
    decision = space.decisions[number]
    if not decision.position and not (decision.is_sorted and decision.distinct):
        return range(decision.options)
    before = [values[n] for n in decision.siblings[: decision.position]]
    if decision.is_sorted:
        first = before[-1] + decision.distinct if before else 0
        after = len(decision.siblings) - decision.position - 1
        return range(first, decision.options - after if decision.distinct else decision.options)
    if decision.distinct:
        return [option for option in range(decision.options) if option not in before]
    return range(decision.options)


def filled(space: Space, values: list[int], start: int, end: int, pick: Pick) -> None:
    """Decide the decisions from `start` to `end` (exclusive) anew, in order; `pick` gets each with what is allowed."""
    for number in range(start, end):
        if is_open(space, values, number):
            values[number] = pick(number, allowed(space, values, number))
        else:
            values[number] = CLOSED


def built(space: Space, pick: Pick) -> Point:
    """A point whose open decisions are answered by `pick`."""
    values = [CLOSED] * len(space.decisions)
    filled(space, values, 0, len(values), pick)
    return tuple(values)


def evenly(space: Space, random: Random) -> Pick:
    """Each open decision drawn evenly, a sorted choice evenly among its sets: as pyglove's own random search."""

    def pick(number: int, among: Sequence[int]) -> int:
        if not space.decisions[number].is_sorted:
            return among[int(random.random() * len(among))]
        logs = [space.log_weights[number][option] for option in among]
        largest = max(logs)
        return random.choices(among, [math.exp(log - largest) for log in logs])[0]

    return pick


def drawn(space: Space, random: Random) -> Point:
    """A random point; see `evenly`."""
    if space.is_flat:
        draw = random.random
        return tuple([int(draw() * options) for options in space.options])
    return built(space, evenly(space, random))


def first_point(space: Space) -> Point:
    """The first point of the row-major order."""
    return built(space, lambda _, among: among[0])


def next_point(space: Space, point: Point) -> Point | None:
    """The point after this one in row-major order, last decision fastest; None after the last."""
    values = list(point)
    for number in range(len(values) - 1, -1, -1):
        larger = _next_option(space, values, number)
        if larger is not None:
            values[number] = larger
            filled(space, values, number + 1, len(values), lambda _, among: among[0])
            return tuple(values)
    return None


def _next_option(space: Space, values: Sequence[int], number: int) -> int | None:
    if values[number] == CLOSED:
        return None
    return next((option for option in allowed(space, values, number) if option > values[number]), None)


def every_point(space: Space) -> Iterator[Point]:
    """All points in row-major order, made one by one as they are asked for."""
    point: Point | None = first_point(space)
    while point is not None:
        yield point
        point = next_point(space, point)


def is_point(space: Space, values: Sequence[int]) -> bool:
    """Whether these numbers are a point of the space."""
    if len(values) != len(space.decisions):
        return False
    for number, value in enumerate(values):
        if is_open(space, values, number):
            if value not in allowed(space, values, number):
                return False
        elif value != CLOSED:
            return False
    return True


def changed(space: Space, point: Point, number: int, option: int, pick: Pick) -> Point:
    """The point with one open decision changed; what opens below it is answered by `pick`.

    In a distinct choice that holds the option already, the two picks change places; a sorted choice is sorted anew.
    """
    decision = space.decisions[number]
    values = list(point)
    if decision.distinct:
        for sibling in decision.siblings:
            if values[sibling] == option:
                _swap(space, values, number, sibling)
                return _in_order(space, values)
    values[number] = option
    filled(space, values, number + 1, decision.end, pick)
    return _in_order(space, values)


def alternatives(space: Space, point: Point, number: int) -> list[int]:
    """The options to which `changed` can bring an open decision so that another point comes out."""
    decision = space.decisions[number]
    if decision.is_sorted and decision.distinct:
        taken = {point[sibling] for sibling in decision.siblings}
        return [option for option in range(decision.options) if option not in taken]
    return [option for option in range(decision.options) if option != point[number]]


def _in_order(space: Space, values: list[int]) -> Point:
    """The values with every sorted choice in order, whole blocks moved."""
    for number in space.sorted_choices:
        if values[number] == CLOSED:
            continue
        siblings = space.decisions[number].siblings
        blocks = [values[n : space.decisions[n].end] for n in siblings]
        ordered = sorted(blocks, key=lambda block: block[0])
        values[siblings[0] : space.decisions[siblings[-1]].end] = [value for block in ordered for value in block]
    return tuple(values)


def _swap(space: Space, values: list[int], one: int, other: int) -> None:
    one_end, other_end = space.decisions[one].end, space.decisions[other].end
    values[one:one_end], values[other:other_end] = values[other:other_end], values[one:one_end]
