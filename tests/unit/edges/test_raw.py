"""Ranges over files laid end to end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.edges.rest.exchange import Refusal
from trainyard.edges.rest.raw import parse_range, slices


@pytest.mark.parametrize(
    ("asked", "total", "span"),
    [
        ("bytes=0-0", 10, (0, 0)),
        ("bytes=3-", 10, (3, 9)),
        ("bytes=3-99", 10, (3, 9)),
        ("bytes=-4", 10, (6, 9)),
        ("bytes=-99", 10, (0, 9)),
        ("bytes=-", 10, (0, 9)),
        ("bytes=1-2,4-5", 10, (0, 9)),
        ("lines=1-2", 10, (0, 9)),
    ],
)
def test_one_range_is_understood(asked: str, total: int, span: tuple[int, int]) -> None:
    """First to last, open ends, the last so many; what the standard lets a server ignore gives the whole."""
    assert parse_range(asked, total) == span


@pytest.mark.parametrize(("asked", "total"), [("bytes=10-", 10), ("bytes=5-4", 10), ("bytes=0-", 0), ("bytes=-0", 10)])
def test_a_range_without_a_byte_is_refused(asked: str, total: int) -> None:
    """416, with the size in Content-Range."""
    with pytest.raises(Refusal) as refusal:
        parse_range(asked, total)
    assert refusal.value.status == 416
    assert refusal.value.headers == {"content-range": f"bytes */{total}"}


@given(st.lists(st.binary(max_size=8), max_size=5), st.data())
def test_slices_are_the_bytes_asked_for(files: list[bytes], data: st.DataObject) -> None:
    """Whatever the files and the span, the pieces joined are the same bytes of the whole."""
    whole = b"".join(files)
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, len(whole)))
    sizes = [(str(number), len(content)) for number, content in enumerate(files)]
    pieces = [files[int(path)][at : at + length] for path, at, length in slices(sizes, start, stop)]
    assert b"".join(pieces) == whole[start:stop]
    assert all(pieces)
