"""A point and the parameters string of a trial (nas_params_str) say exactly the same, one way and back.

The string is one flat JSON object from paths to `index/count (literal)`, in the wording that `pg.materialize` in a
trainer checks: the literal of the submitted text, a missing key and a wrong count all make it refuse.
"""

from __future__ import annotations

import json
import re

from trainyard.core.points import is_open, is_point
from trainyard.core.space import CLOSED, Decision, Point, Space

_VALUE = re.compile(r"(\d{1,9})/(\d{1,9})(?: \((.*)\))?", re.DOTALL)


def parameters(space: Space, point: Point) -> dict[str, str]:
    """The open decisions of a point by path, in the order of the tree."""
    return {
        decision.key: decision.text(value)
        for decision, value in zip(space.decisions, point, strict=True)
        if value != CLOSED
    }


def parameters_text(space: Space, point: Point) -> str:
    """nas_params_str: ASCII only, so that it survives any trainer's locale as an argument."""
    return json.dumps(parameters(space, point))


def longest_text(space: Space, enough: int) -> int:
    """The length of the longest parameters text that a point can have, in bytes; counting ends above `enough`."""
    below: dict[tuple[int, int], int] = {}
    for number in range(len(space.decisions) - 1, -1, -1):
        decision = space.decisions[number]
        longest = max(
            len(json.dumps(decision.text(option))) + below.get((number, option), 0)
            for option in range(decision.options)
        )
        parent = (decision.parent, decision.parent_option)
        below[parent] = below.get(parent, 0) + longest + len(json.dumps(decision.key)) + len(": , ")
        if below[parent] > enough:
            break
    return max(below.values())


def point_of_parameters(space: Space, text: str) -> Point:
    """The point that a parameters string tells. Raises ValueError with a sentence when it tells none of this space."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("the parameters are not valid JSON") from None
    if not isinstance(given, dict):
        raise ValueError("the parameters are not a JSON object")
    values = [CLOSED] * len(space.decisions)
    for number, decision in enumerate(space.decisions):
        if not is_open(space, values, number):
            continue
        if decision.key not in given:
            raise ValueError(f"the parameters lack {decision.key!r}")
        told = given.pop(decision.key)
        found = _VALUE.fullmatch(told) if isinstance(told, str) else None
        if not found or int(found.group(2)) != decision.options or int(found.group(1)) >= decision.options:
            raise ValueError(f"{decision.key!r} is {told!r}, not one of {decision.options} options")
        values[number] = int(found.group(1))
        if found.group(3) is not None and told != decision.text(values[number]):
            raise ValueError(
                f"{decision.key!r} is {told!r}, where the search space has {decision.text(values[number])!r}"
            )
    if given:
        raise ValueError(f"the parameters have {next(iter(given))!r}, which is no open decision")
    if not is_point(space, values):
        raise ValueError("the parameters break the order or the distinctness of a choice of several candidates")
    return tuple(values)


def decoded(space: Space, point: Point) -> dict[str, object]:
    """An architecture as data for people: location -> literal, list of picks, or the same for what lies below."""
    below: dict[int, list[int]] = {}
    for number, decision in enumerate(space.decisions):
        if point[number] != CLOSED:
            below.setdefault(decision.parent, []).append(number)
    return _decoded(space, point, below, -1)


def readable(space: Space, point: Point) -> str:
    """An architecture in one line: `stem=8 block={k=3 se=0.25} pick=[10 20]`."""
    if space.is_flat:  # at each trial's end of a search, so the short way counts
        return " ".join(map(_picked_alone, space.decisions, point))
    return _line(decoded(space, point))


def _picked_alone(decision: Decision, option: int) -> str:
    literal = decision.literals[option] if decision.literals else decision.text(option)
    return f"{decision.location}={literal}" if decision.location else literal


def _decoded(space: Space, point: Point, below: dict[int, list[int]], parent: int) -> dict[str, object]:
    found: dict[str, object] = {}
    for number in below[parent]:
        decision = space.decisions[number]
        if decision.position:
            continue
        picks = [_picked(space, point, below, sibling) for sibling in decision.siblings]
        found[decision.location] = picks if len(picks) > 1 else picks[0]
    return found


def _picked(space: Space, point: Point, below: dict[int, list[int]], number: int) -> object:
    if number in below:
        inner = _decoded(space, point, below, number)
        return inner[""] if inner.keys() == {""} else inner
    decision = space.decisions[number]
    return decision.literals[point[number]] if decision.literals else decision.text(point[number])


def _line(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(_named(location, inside) for location, inside in value.items())
    if isinstance(value, list):
        return f"[{' '.join(_value(each) for each in value)}]"
    return str(value)


def _named(location: str, value: object) -> str:
    return f"{location}={_value(value)}" if location else _value(value)


def _value(value: object) -> str:
    return f"{{{_line(value)}}}" if isinstance(value, dict) else _line(value)
