"""The shell's eye for where a statement ends, and where its history lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainyard.cli.sql_shell import history_file, is_whole


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("SELECT 1;", True),
        ("SELECT 1; -- done\n", True),
        ("SELECT 1; /* done */", True),
        ("SELECT 1", False),
        ("SELECT ';", False),
        ("SELECT ';';", True),
        ("SELECT 'it''s;", False),
        ("SELECT 'a\\';", False),
        ('SELECT "a;', False),
        ("SELECT 1 -- ;", False),
        ("/* ; */", False),
        ("/* SELECT 1;", False),
        ("SELECT 1; SELECT", False),
        ("", False),
    ],
)
def test_a_statement_ends_with_its_semicolon(text: str, whole: bool) -> None:
    """Not one in a string, a name or a comment."""
    assert is_whole(text) is whole


def test_the_history_lies_where_state_does() -> None:
    """XDG's directory, or the home's."""
    assert history_file({"XDG_STATE_HOME": "/s"}) == Path("/s/trainyard/sql_history")
    assert history_file({"HOME": "/h", "XDG_STATE_HOME": "relative"}) == Path("/h/.local/state/trainyard/sql_history")
