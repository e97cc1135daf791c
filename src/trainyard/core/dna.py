"""Points and PyGlove's DNA say the same: an index a pick, with what was decided below it beside it."""

from __future__ import annotations

from typing import Any

from trainyard.core.space import Choice, Point, Space, Template


def nested(space: Space, point: Point) -> Any:
    """A point as the nested value that pg.DNA is made from.

    One choice is an index, or `(index, below)` where the candidate has choices of its own; a choice of several is a
    list of these; a template of several choices is the list of them, of a single one it is that one.
    """
    value, _ = _template(space.root, point, 0)
    return value


def _template(template: Template, point: Point, at: int) -> tuple[Any, int]:
    found = []
    for choice in template.choices:
        value, at = _choice(choice, point, at)
        found.append(value)
    return (found[0] if len(found) == 1 else found), at


def _choice(choice: Choice, point: Point, at: int) -> tuple[Any, int]:
    picks = []
    for _ in range(choice.picks):
        option, at = point[at], at + 1
        below: Any = None
        for number, candidate in enumerate(choice.candidates):
            value, at = _template(candidate, point, at)
            if number == option and candidate.choices:
                below = value
        picks.append(option if below is None else (option, below))
    return (picks[0] if choice.picks == 1 else picks), at
