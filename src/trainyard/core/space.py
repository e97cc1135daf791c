"""A search space is a closed tree of choices, and its flat form says for every decision when it is open.

The tree is what a searchSpaceSpec holds (core/space_text.py reads it). The flat form lists every *decision* (one pick)
in the order of the tree, a choice of k candidates as k decisions; a decision below a candidate is *open* only while
that candidate is picked. A *point* has one number a decision: the picked candidate's index, or CLOSED.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeAlias

from trainyard.core.errors import FieldViolation, InvalidArgument

Point: TypeAlias = tuple[int, ...]

CLOSED = -1
# Bounds on what one space may cost, far above any that was ever shipped (75 decisions, 500 options).
MOST_DECISIONS = 4_096
MOST_OPTIONS = 65_536
MOST_KEY_CHARACTERS = 1 << 22
FIELD = "nas_job_spec.search_space_spec"


@dataclass(frozen=True, slots=True)
class Choice:
    """Pick `picks` of the candidates. `literals` are their printed forms, empty where the text gave none.

    `distinct`: no candidate twice; `is_sorted`: in the order of the candidates. `location` is relative to the parent.
    """

    location: str
    candidates: tuple[Template, ...]
    literals: tuple[str, ...] = ()
    picks: int = 1
    distinct: bool = True
    is_sorted: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    """A candidate, or the whole space: what has to be decided once it is picked; empty for a plain value."""

    choices: tuple[Choice, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """One pick of the flat form.

    `key` is its path in the parameters; `options` how many candidates there are. Open when the decision number
    `parent` has picked `parent_option` (parent -1: always). `end` is the number of the first decision that is not
    below this one. `siblings` are all picks of the same choice in order, this one is at `position` among them.
    """

    key: str
    options: int
    literals: tuple[str, ...]
    parent: int
    parent_option: int
    end: int
    siblings: tuple[int, ...]
    position: int = 0
    distinct: bool = False
    is_sorted: bool = False
    location: str = ""

    def text(self, option: int) -> str:
        """The pick as a trainer reads it: `index/count (literal)`; without a literal where none is known."""
        known = f" ({self.literals[option]})" if self.literals else ""
        return f"{option}/{self.options}{known}"


@dataclass(frozen=True)
class Space:
    """A readable space: its tree, and the flat form for searchers, which see numbers only.

    `decisions` never hold a choice without alternatives worth a number: one candidate is a decision with one option.
    """

    root: Template
    decisions: tuple[Decision, ...] = field(repr=False)

    @cached_property
    def size(self) -> int:
        """How many points there are, exactly."""
        return size_of(self.root)

    @cached_property
    def options(self) -> tuple[int, ...]:
        """The number of options of each decision."""
        return tuple(decision.options for decision in self.decisions)

    @cached_property
    def is_flat(self) -> bool:
        """Whether all decisions are always open and free of each other: the case that deserves the short way."""
        return all(d.parent < 0 and len(d.siblings) == 1 for d in self.decisions)

    @cached_property
    def sorted_choices(self) -> tuple[int, ...]:
        """The number of the first decision of each sorted choice of several."""
        return tuple(n for n, decision in enumerate(self.decisions) if decision.is_sorted and not decision.position)

    @cached_property
    def log_weights(self) -> tuple[tuple[float, ...], ...]:
        """Per decision and option, the log of how many ways its sorted siblings can go on from there, else 0.

        Picking in order with these weights, among what is allowed, draws evenly from all sorted sets.
        """
        return tuple(_log_weights(decision) for decision in self.decisions)


def space_of(root: Template, name: str = FIELD) -> Space:
    """The flat form of a tree. Raises InvalidArgument when it has no decision, or more than the bounds allow.

    `name` is what an error calls the field.
    """
    flat = _Flattening(name)
    flat.template(root, prefix="", parent=-1, parent_option=0)
    if not flat.decisions:
        raise bad_space("", "holds no decision: there is nothing to search", name)
    seen: set[str] = set()
    for decision in flat.decisions:
        if decision.key in seen:
            what = f"two decisions share the path {decision.key!r}; a trainer could not tell them apart"
            raise bad_space("", what, name)
        seen.add(decision.key)
    return Space(root, tuple(flat.decisions))


def bad_space(place: str, what: str, name: str = FIELD) -> InvalidArgument:
    """The refusal of a search space, with the place in its text."""
    return InvalidArgument.found([FieldViolation(name, f"at {place}: {what}" if place else what)])


class _Flattening:
    """Decisions in the order of the tree, bounded while they are made: a few bytes of text can ask for billions."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.decisions: list[Decision] = []
        self.options = 0
        self.key_characters = 0

    def template(self, template: Template, prefix: str, parent: int, parent_option: int) -> None:
        for choice in template.choices:
            self.choice(choice, joined(prefix, choice.location), parent, parent_option)

    def choice(self, choice: Choice, key: str, parent: int, parent_option: int) -> None:
        made: list[tuple[int, int]] = []
        count = len(choice.candidates)
        for position in range(choice.picks):
            own_key = key if choice.picks == 1 else f"{key}[{position}]"
            number = len(self.decisions)
            self._grow(count, own_key)
            self.decisions.append(
                Decision(
                    key=own_key,
                    options=count,
                    literals=choice.literals,
                    parent=parent,
                    parent_option=parent_option,
                    end=0,
                    siblings=(),
                    position=position,
                    distinct=choice.distinct and choice.picks > 1,
                    is_sorted=choice.is_sorted and choice.picks > 1,
                    location=choice.location,
                )
            )
            for option, candidate in enumerate(choice.candidates):
                if candidate.choices:
                    self.template(candidate, f"{own_key}[={option}/{count}]", number, option)
            made.append((number, len(self.decisions)))
        self._close(made)

    def _grow(self, options: int, key: str) -> None:
        self.options += options
        self.key_characters += len(key)
        if len(self.decisions) >= MOST_DECISIONS:
            what = f"holds more than {MOST_DECISIONS:,} decisions (a choice of k candidates counts k times)"
            raise bad_space("", what, self.name)
        if self.options > MOST_OPTIONS:
            raise bad_space("", f"its decisions have more than {MOST_OPTIONS:,} options in all", self.name)
        if self.key_characters > MOST_KEY_CHARACTERS:
            raise bad_space(
                "", f"the paths of its decisions have more than {MOST_KEY_CHARACTERS:,} characters", self.name
            )

    def _close(self, made: Sequence[tuple[int, int]]) -> None:
        siblings = tuple(number for number, _ in made)
        for number, end in made:
            self.decisions[number] = replace(self.decisions[number], end=end, siblings=siblings)


def joined(prefix: str, location: str) -> str:
    """A parent's path and a location relative to it, as one path."""
    if not prefix or not location or location.startswith("["):
        return prefix + location
    return f"{prefix}.{location}"


def size_of(template: Template) -> int:
    """How many points a tree has, exactly, in whole numbers of any length."""
    return math.prod(_ways(choice) for choice in template.choices)


def _ways(choice: Choice) -> int:
    sizes = [size_of(candidate) for candidate in choice.candidates]
    picks = choice.picks
    if picks == 1:
        return sum(sizes)
    if not choice.distinct and not choice.is_sorted:
        return int(sum(sizes) ** picks)
    if max(sizes) == 1:
        ways = math.comb(len(sizes), picks) if choice.distinct else math.comb(len(sizes) + picks - 1, picks)
    else:
        ways = _symmetric_sum(sizes, picks, distinct=choice.distinct)
    return ways if choice.is_sorted else ways * math.factorial(picks)


def _symmetric_sum(sizes: Sequence[int], picks: int, *, distinct: bool) -> int:
    """Elementary (distinct) or complete homogeneous symmetric sum of degree `picks`."""
    sums = [1] + [0] * picks
    for size in sizes:
        degrees = range(picks, 0, -1) if distinct else range(1, picks + 1)
        for degree in degrees:
            sums[degree] += size * sums[degree - 1]
    return sums[picks]


def _log_weights(decision: Decision) -> tuple[float, ...]:
    if not decision.is_sorted:
        return (0.0,) * decision.options
    left = len(decision.siblings) - decision.position - 1
    weights = []
    for option in range(decision.options):
        after = decision.options - option - 1
        ways = math.comb(after, left) if decision.distinct else math.comb(after + left, left)
        weights.append(math.log(ways) if ways else -math.inf)
    return tuple(weights)
