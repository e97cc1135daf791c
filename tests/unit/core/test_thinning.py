"""However many items come, a bounded number is kept: the first, the newest, and the others at even distances."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from trainyard.core.thinning import Thinned


@given(st.integers(0, 500), st.integers(2, 40))
def test_first_newest_and_even_distances(count: int, most: int) -> None:
    """All of them where they are few enough."""
    thinned = Thinned[int](most)
    for number in range(count):
        thinned.add(number)
    kept = list(thinned)
    assert thinned.count == count
    assert len(kept) <= most
    if count <= most:
        assert kept == list(range(count))
    else:
        assert (kept[0], kept[-1]) == (0, count - 1)
        assert len({late - early for early, late in pairwise(kept[:-1])}) <= 1
