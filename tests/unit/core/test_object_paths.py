"""Names of objects and the paths that they lie at."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trainyard.core.errors import InvalidArgument
from trainyard.core.object_paths import (
    SELF,
    after_all,
    check_bucket,
    check_object,
    object_files,
    object_name,
    object_path,
)

ODD = st.text(st.sampled_from("ab/.%~\\\x00:é😀 25E"), min_size=1, max_size=40)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), min_size=1, max_size=300)
LONG = st.lists(st.text(st.sampled_from("a%.é"), max_size=260), min_size=1, max_size=3).map("/".join)


@given(ODD | ANY_TEXT | LONG)
@example("%~")
@example(".%x%~/a")
def test_every_name_has_a_path_that_only_it_has(name: str) -> None:
    """A name is read back from its path, and no part of a path can lead anywhere but down."""
    try:
        check_object(name)
    except InvalidArgument:
        return
    parts = object_path(name)
    assert object_name(parts) == name
    assert object_name((*parts, SELF)) == name
    for part in parts:
        assert part not in ("", ".", "..")
        assert "/" not in part
        assert "\x00" not in part
        assert len(part.encode()) <= 255
    assert PurePosixPath(*parts).parts == parts


@given(st.lists(st.text(st.sampled_from(".%~2506FEabself"), min_size=1, max_size=12), min_size=1, max_size=4))
def test_no_two_paths_are_the_same_object(parts: list[str]) -> None:
    """A path that stands for a name is that name's own, or the one inside its directory."""
    name = object_name(parts)
    if name is not None:
        own = parts[:-1] if parts[-1] == SELF else parts
        assert object_path(name) == tuple(own)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a/b c:é", "a/b c:é"),
        ("%~", "%~"),
        (".%x%~", ".%.%25x%25~"),
        ("a/", "a/.%"),
        ("a//b", "a/.%/b"),
        ("/a", ".%/a"),
        ("../../x", ".%../.%../x"),
        ("a/./b", "a/.%./b"),
        ("a\\..\\b", "a\\..\\b"),
        ("%2e%2e/x", "%2e%2e/x"),
        ("a\x00b%", ".%a%00b%25"),
        (".%x", ".%.%25x"),
        ("x" * 300, ".%" + "x" * 240 + "%~/.%" + "x" * 60),
    ],
)
def test_odd_names_lie_where_the_documentation_says(name: str, path: str) -> None:
    """What can be a file's name is one; the rest is marked."""
    assert "/".join(object_path(name)) == path


@pytest.mark.parametrize("name", ["", ".", "..", "a\nb", "a\rb", "x" * 1025, "\ud800"])
def test_what_is_no_name_is_refused(name: str) -> None:
    """Empty, dots, line ends, too long, not UTF-8."""
    with pytest.raises(InvalidArgument):
        object_path(name)


@pytest.mark.parametrize("parts", [(), (SELF,), (".%zz%4",), ("..",), (".%abc",), ("a", ".%a%~"), ("a%~", "", "b")])
def test_what_is_no_path_has_no_name(parts: tuple[str, ...]) -> None:
    """A file that nobody put there by a name is no object."""
    assert object_name(parts) is None


@pytest.mark.parametrize("bucket", ["", "..", "a/b", "A", "-a", "a-", ".a", "a\x00", "a" * 223, "a\n", "é"])
def test_what_is_no_bucket_is_refused(bucket: str) -> None:
    """A bucket's name is one plain component."""
    with pytest.raises(InvalidArgument):
        check_bucket(bucket)


def test_an_object_has_two_places() -> None:
    """As a file, or inside the directory of its name."""
    assert object_files(Path("/d"), "b", "a/x") == (Path("/d/b/a/x"), Path("/d/b/a/x") / SELF)


@given(ANY_TEXT, ANY_TEXT)
def test_after_all_is_the_next_text(prefix: str, more: str) -> None:
    """Everything with the prefix comes before it, and nothing else lies between."""
    beyond = after_all(prefix)
    if beyond is None:
        assert set(prefix) == {"\U0010ffff"}
    else:
        assert prefix + more < beyond
        assert not beyond.startswith(prefix)


def test_after_the_last_text_there_is_none() -> None:
    """The largest code point has no successor; surrogates are no text."""
    assert after_all("\U0010ffff") is None
    assert after_all("a\U0010ffff") == "b"
    assert after_all("\ud7ff") == "\ue000"
