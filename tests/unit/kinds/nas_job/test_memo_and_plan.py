"""The notebook of a search, and what its labels may say."""

from __future__ import annotations

import pytest

from trainyard.kinds.nas_job.memo import Memo
from trainyard.kinds.nas_job.plan import label_faults


def test_a_memo_comes_back_as_it_went_in() -> None:
    """Every field; an empty one is the text of every job that has nothing noted."""
    full = Memo(9, 8, 1, 7, 2, 1, 2**31, 3, (4, 5), True, "failed", "why", (1, None, 3))
    assert Memo.parse(full.dump()) == full
    assert (full.search_open, full.train_open) == (1, 1)
    assert Memo().dump() == "{}"
    assert Memo.parse("{}") == Memo()


@pytest.mark.parametrize(
    ("label", "value"),
    [
        ("trainyard-searcher", "oracle"),
        ("trainyard-seed", "-1"),
        ("trainyard-seed", "2147483648"),
        ("trainyard-seed", "x"),
        ("trainyard-trials", "mine"),
    ],
)
def test_a_label_that_steers_nothing_is_refused(label: str, value: str) -> None:
    """The sentence has its name and its value."""
    (fault,) = label_faults({label: value})
    assert label in fault.description
    assert value in fault.description


def test_labels_that_are_right_or_not_there() -> None:
    """No fault."""
    assert label_faults({}) == ()
    assert label_faults({"trainyard-searcher": "grid", "trainyard-seed": "7", "trainyard-trials": "claimed"}) == ()
