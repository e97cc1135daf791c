"""Points never leave their space, whatever is drawn, changed or counted on."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.core.parameters import decoded, parameters_text, point_of_parameters, readable
from trainyard.core.points import alternatives, changed, drawn, evenly, every_point, first_point, is_point, next_point
from trainyard.core.space import CLOSED, Choice, Space, Template, space_of

LEAF = Template()


@st.composite
def templates(draw: st.DrawFn, depth: int = 2) -> Template:
    """Small trees with every kind of choice."""
    choices = []
    for number in range(draw(st.integers(1 if depth == 2 else 0, 2))):
        count = draw(st.integers(1, 3))
        below = templates(depth - 1) if depth else st.just(LEAF)
        candidates = tuple(draw(st.one_of(st.just(LEAF), below)) for _ in range(count))
        distinct = draw(st.booleans())
        picks = draw(st.integers(1, count if distinct else 3))
        literals = tuple(f"'{n}'" for n in range(count)) if draw(st.booleans()) else ()
        choices.append(Choice(f"c{number}", candidates, literals, picks, distinct, draw(st.booleans())))
    return Template(tuple(choices))


spaces = templates().map(space_of).filter(lambda space: space.size < 10**9)


@given(spaces, st.integers(0, 2**32))
def test_what_is_drawn_or_changed_is_a_point(space: Space, seed: int) -> None:
    """Drawing, and changing any open decision to any of its alternatives, stays in the space and is never a no-op."""
    random = Random(seed)
    point = drawn(space, random)
    assert is_point(space, point)
    for number, value in enumerate(point):
        if value == CLOSED:
            continue
        for option in alternatives(space, point, number):
            other = changed(space, point, number, option, evenly(space, random))
            assert is_point(space, other)
            assert other != point


@given(spaces, st.integers(0, 2**32))
def test_parameters_tell_the_point_and_nothing_else(space: Space, seed: int) -> None:
    """A point survives the way to a trainer and back, and can be shown to people."""
    point = drawn(space, Random(seed))
    assert point_of_parameters(space, parameters_text(space, point)) == point
    assert readable(space, point)
    assert decoded(space, point)


@given(spaces)
def test_counting_on_visits_every_point_in_order(space: Space) -> None:
    """From the first point, each next one is larger, until there is none; of a large space the start is looked at."""
    point = first_point(space)
    for _ in range(200):
        after = next_point(space, point)
        if after is None:
            break
        assert after > point
        assert is_point(space, after)
        point = after


def test_sorted_choices_are_drawn_evenly_among_their_sets() -> None:
    """Each of the ten pairs of five comes about as often as any other."""
    space = space_of(Template((Choice("s", (LEAF,) * 5, (), 2, is_sorted=True),)))
    random = Random(1)
    counts = Counter(drawn(space, random) for _ in range(5000))
    assert len(counts) == 10
    assert all(400 < count < 600 for count in counts.values())


def test_a_permutation_changes_by_exchange() -> None:
    """Where every candidate is picked, a changed pick trades places with the one that has it, inner decisions too."""
    inner = Template((Choice("q", (LEAF,) * 2),))
    space = space_of(Template((Choice("p", (inner, LEAF, LEAF), (), 3),)))
    before = (0, 1, 1, CLOSED, 2, CLOSED)
    assert is_point(space, before)
    assert changed(space, before, 0, 2, evenly(space, Random(0))) == (2, CLOSED, 1, CLOSED, 0, 1)


@pytest.mark.parametrize(
    "values",
    [(0, 1), (0, 1, 1, 0), (3, CLOSED, 0), (1, 0, 0), (0, CLOSED, 0), (0, 0, 3)],
    ids=["too short", "too long", "no such option", "open where closed", "closed where open", "last too large"],
)
def test_what_is_no_point_is_told(values: tuple[int, ...]) -> None:
    """Wrong length, wrong option, wrongly open and wrongly closed are all told."""
    space = space_of(
        Template((Choice("a", (Template((Choice("b", (LEAF,) * 2),)), LEAF, LEAF)), Choice("c", (LEAF,) * 3)))
    )
    assert not is_point(space, values)
    assert next(every_point(space)) == (0, 0, 0)
