"""What one child takes over from another parent."""

from __future__ import annotations

from random import Random

from trainyard.core.points import drawn, evenly, is_point
from trainyard.core.space import CLOSED, Choice, Template, space_of
from trainyard.searchers.evolution import taking_over

LEAF = Template()
LAYER = Template((Choice("width", (LEAF,) * 4), Choice("deep", (LEAF, Template((Choice("rate", (LEAF,) * 3),))))))
SPACE = space_of(
    Template(
        (
            Choice("block", (LEAF, LAYER, LAYER)),
            Choice("set", (LEAF, LAYER, LEAF, LEAF), (), 2, is_sorted=True),
            Choice("order", (LEAF,) * 4, (), 3),
        )
    )
)


def test_a_child_has_one_decision_of_the_other() -> None:
    """It is a point of the space, is not the parent, and at the place taken it agrees with the other."""
    chance, taken = Random(1), 0
    for _ in range(400):
        parent, other = drawn(SPACE, chance), drawn(SPACE, chance)
        child = taking_over(SPACE, parent, other, chance, evenly(SPACE, chance))
        if child is not None:
            taken += 1
            assert is_point(SPACE, child)
            assert child != parent
            assert any(theirs == its != CLOSED for theirs, its in zip(child, other, strict=True))
    assert taken > 300


def test_what_lies_below_comes_along() -> None:
    """A block is taken over whole, not its name with an inside drawn anew."""
    space = space_of(Template((Choice("block", (LEAF, LAYER)),)))
    parent, other = (0, CLOSED, CLOSED, CLOSED), (1, 3, 1, 2)
    assert taking_over(space, parent, other, Random(1), evenly(space, Random(1))) == other


def test_nothing_is_taken_where_both_are_alike() -> None:
    """Twins, and sets of which one pick stands elsewhere already, give nothing to take."""
    space = space_of(Template((Choice("set", (LEAF,) * 3, (), 2, is_sorted=True),)))
    pick = evenly(space, Random(1))
    assert taking_over(space, (0, 1), (0, 1), Random(1), pick) is None
    assert {taking_over(space, (0, 1), (1, 2), Random(seed), pick) for seed in range(20)} == {None, (0, 2)}
