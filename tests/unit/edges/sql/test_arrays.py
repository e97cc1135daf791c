"""PostgreSQL's array texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.edges.sql.arrays import array_items, array_text


@given(st.lists(st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12), max_size=6))
def test_what_is_written_is_read(items: list[str | None]) -> None:
    """Any texts and NULLs, quotes, commas and braces in them or not."""
    assert array_items(array_text(*items)) == items


@pytest.mark.parametrize(
    ("text", "items"),
    [("{}", []), (" {a, b} ", ["a", "b"]), ('{"a,b",null,"null"}', ["a,b", None, "null"]), ('{"a\\"b"}', ['a"b'])],
)
def test_as_clients_write_them(text: str, items: list[str | None]) -> None:
    """With blanks, quotes, escapes, NULL in any case."""
    assert array_items(text) == items


@pytest.mark.parametrize("text", ["", "a", "{a", "{a}}", "{{a},{b}}", '{"a', "{a,}", "{,}"])
def test_what_is_none_is_refused(text: str) -> None:
    """A sentence with the text."""
    with pytest.raises(ValueError, match="is no array"):
        array_items(text)
