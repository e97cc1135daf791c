"""What a glob matches, and that none takes long."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.core.errors import InvalidArgument
from trainyard.object_stores.globs import glob_matcher


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("*.txt", ["a.txt", ".txt"], ["a/b.txt", "a.txt2"]),
        ("**.txt", ["a.txt", "a/b.txt"], ["a.tx"]),
        ("**/x", ["a/x", "a/b/x", "/x"], ["x"]),
        ("a?c", ["abc"], ["a/c", "ac"]),
        ("[a-c]x", ["ax", "cx"], ["dx", "/x"]),
        ("[!a-c]x", ["dx"], ["ax", "/x"]),
        ("[a-]x", ["ax", "-x"], ["bx"]),
        ("{a,b/{c,d}}*", ["a", "ax", "b/c", "b/dz"], ["c", "b/e"]),
        ("a\\*b", ["a*b"], ["axb"]),
        ("a,b}", ["a,b}"], ["a"]),
        ("[", ["["], ["x"]),
        ("a\\", ["a\\"], ["a"]),
        ("\\{a", ["{a"], ["a"]),
    ],
)
def test_globs_match(glob: str, yes: list[str], no: list[str]) -> None:
    """As the documentation of the original says."""
    matches = glob_matcher(glob)
    assert [name for name in yes if not matches(name)] == []
    assert [name for name in no if matches(name)] == []


@given(st.lists(st.sampled_from(["*", "**", "?", "a", "b", "/", "[ab]"]), max_size=6), st.text("ab/", max_size=8))
def test_globs_match_as_their_expressions_do(glob: list[str], name: str) -> None:
    """The single pass and a backtracking expression say the same."""
    text = "".join(glob)
    expression = text.replace("**", "\0").replace("*", "[^/]*").replace("?", "[^/]").replace("\0", ".*")
    assert glob_matcher(text)(name) == bool(re.fullmatch(expression, name))


@pytest.mark.parametrize("glob", ["{a", "[z-a]", "{a,b}" * 9])
def test_what_is_no_glob_is_refused(glob: str) -> None:
    """An open brace, an empty range, too many alternatives."""
    with pytest.raises(InvalidArgument):
        glob_matcher(glob)


def test_no_glob_takes_long() -> None:
    """A pattern that would keep a backtracking matcher busy for years."""
    began = time.process_time()
    assert not glob_matcher("**a" * 30 + "b")("a" * 1000)
    assert time.process_time() - began < 1
