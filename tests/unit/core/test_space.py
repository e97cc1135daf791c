"""Spaces are counted exactly and flattened so that every decision knows when it is open."""

from __future__ import annotations

import itertools
import math

import pytest

from trainyard.core import space as module
from trainyard.core.errors import InvalidArgument
from trainyard.core.points import every_point
from trainyard.core.space import Choice, Space, Template, space_of

LEAF = Template()


def leaves(count: int) -> tuple[Template, ...]:
    return (LEAF,) * count


def of(*choices: Choice) -> Space:
    return space_of(Template(choices))


INNER = Template((Choice("q", leaves(2)),))
DEEPER = Template((Choice("", (INNER, LEAF, INNER)), Choice("z", leaves(3))))


@pytest.mark.parametrize("picks", [1, 2, 3])
@pytest.mark.parametrize(("distinct", "is_sorted"), [*itertools.product([False, True], repeat=2)])
@pytest.mark.parametrize("candidates", [leaves(4), (LEAF, INNER, LEAF), (INNER, DEEPER, LEAF)])
def test_the_size_is_the_number_of_points(
    candidates: tuple[Template, ...], distinct: bool, is_sorted: bool, picks: int
) -> None:
    """Every way of picking k of n has exactly as many points as its formula says, each of them once."""
    space = of(Choice("a", candidates, (), picks, distinct, is_sorted), Choice("b", leaves(2)))
    points = list(every_point(space))
    assert space.size == len(points) == len(set(points))
    assert points == sorted(points)


def test_sizes_are_whole_numbers_of_any_length() -> None:
    """A space of 10^300 points and more is counted to the last digit."""
    space = of(*(Choice(f"d{n}", leaves(10)) for n in range(400)))
    assert space.size == 10**400
    assert of(Choice("p", leaves(60), (), 60)).size == math.factorial(60)


def test_keys_join_as_pyglove_joins_them() -> None:
    """A key is the parent's path, the picked candidate and the location; a point before a name, none before [ or ""."""
    space = of(
        Choice("a", (LEAF, Template((Choice("b", leaves(2)),)), Template((Choice("", leaves(2)),)))),
        Choice("l[0]", (Template((Choice("[1]", leaves(2)),)), LEAF), (), 2),
    )
    assert [decision.key for decision in space.decisions] == [
        "a",
        "a[=1/3].b",
        "a[=2/3]",
        "l[0][0]",
        "l[0][0][=0/2][1]",
        "l[0][1]",
        "l[0][1][=0/2][1]",
    ]


def test_a_space_without_decisions_is_refused() -> None:
    """There has to be something to search."""
    with pytest.raises(InvalidArgument, match="no decision"):
        of()


def test_two_decisions_on_one_path_are_refused() -> None:
    """A trainer could not tell them apart."""
    with pytest.raises(InvalidArgument, match="share the path 'a'"):
        of(Choice("a", leaves(2)), Choice("a", leaves(3)))


@pytest.mark.parametrize(
    ("choice", "what"),
    [
        (Choice("a", leaves(2), (), module.MOST_DECISIONS + 1, distinct=False), "4,096 decisions"),
        (Choice("a", leaves(17), (), module.MOST_DECISIONS, distinct=False), "65,536 options"),
        (Choice("a" * 2000, leaves(2), (), 4000, distinct=False), "4,194,304 characters"),
    ],
)
def test_few_bytes_cannot_ask_for_billions(choice: Choice, what: str) -> None:
    """The flat form is bounded while it is made: in decisions, in options and in the text of the paths."""
    with pytest.raises(InvalidArgument, match=what):
        of(choice)


def test_weights_of_a_sorted_choice_count_what_can_follow() -> None:
    """The weight of an option is the number of sets that go on from it, so even sets come from even-handed picks."""
    space = of(Choice("s", leaves(4), (), 2, is_sorted=True))
    first = [math.exp(weight) for weight in space.log_weights[0]]
    assert [round(weight) for weight in first] == [3, 2, 1, 0]
    repeated = of(Choice("s", leaves(3), (), 2, distinct=False, is_sorted=True))
    assert [round(math.exp(weight)) for weight in repeated.log_weights[0]] == [3, 2, 1]
    assert repeated.log_weights[1] == (0.0, 0.0, 0.0)


def test_only_free_and_open_decisions_make_a_flat_space() -> None:
    """The short way is taken where nothing is closed and no pick depends on another."""
    assert of(Choice("a", leaves(2)), Choice("b", leaves(3))).is_flat
    assert not of(Choice("a", (LEAF, INNER))).is_flat
    assert not of(Choice("a", leaves(3), (), 2)).is_flat
