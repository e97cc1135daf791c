"""Points as pyglove nests them; pyglove itself judges it in tests/clients."""

from __future__ import annotations

from trainyard.core.dna import nested
from trainyard.core.space import CLOSED, Choice, Template, space_of

LEAF = Template()
BLOCK = Template((Choice("k", (LEAF,) * 2), Choice("se", (LEAF,) * 2)))
INNER = Template((Choice("", (LEAF,) * 2),))


def test_a_single_choice_is_its_index() -> None:
    """Without a list around it."""
    assert nested(space_of(Template((Choice("", (LEAF,) * 3),))), (2,)) == 2


def test_what_lies_below_stands_beside_its_index() -> None:
    """A candidate with one choice of its own gives that one, with several the list of them; a plain one its index."""
    space = space_of(Template((Choice("a", (LEAF, BLOCK, INNER)), Choice("b", (LEAF,) * 2))))
    assert nested(space, (0, CLOSED, CLOSED, CLOSED, 1)) == [0, 1]
    assert nested(space, (1, 0, 1, CLOSED, 1)) == [(1, [0, 1]), 1]
    assert nested(space, (2, CLOSED, CLOSED, 1, 0)) == [(2, 1), 0]


def test_several_picks_are_a_list() -> None:
    """Also where they have something below them."""
    space = space_of(Template((Choice("l", (LEAF, INNER, LEAF), (), 2),)))
    assert nested(space, (2, CLOSED, 1, 0)) == [2, (1, 0)]
