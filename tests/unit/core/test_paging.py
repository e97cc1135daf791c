"""Pages: sizes as AIP-158 says, and tokens that go on their own list only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.core.errors import InvalidArgument
from trainyard.core.paging import page_size, read_token, write_token

LIST = ("projects/1/locations/l", "customJobs", "state=JOB_STATE_FAILED")


@pytest.mark.parametrize(("asked", "given_"), [(0, 100), (1, 1), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)])
def test_a_page_size_is_defaulted_and_clamped(asked: int, given_: int) -> None:
    """0 means 100; more than 1000 means 1000."""
    assert page_size(asked) == given_


def test_a_negative_page_size_is_refused() -> None:
    """InvalidArgument names the field."""
    with pytest.raises(InvalidArgument, match="page_size") as refused:
        page_size(-1)
    assert refused.value.violations[0].field == "page_size"


@given(st.integers(0, 2**63 - 1))
def test_a_token_leads_back_to_its_place(after: int) -> None:
    """On the same list, for any id."""
    assert read_token(write_token(after, *LIST), *LIST) == after


def test_no_token_is_the_beginning_and_the_end() -> None:
    """An empty token begins; the last page has none."""
    assert read_token("", *LIST) is None
    assert write_token(None, *LIST) == ""


@pytest.mark.parametrize(
    "other",
    [
        ("projects/2/locations/l", "customJobs", LIST[2]),
        (LIST[0], "nasJobs", LIST[2]),
        (LIST[0], "customJobs", ""),
        (LIST[0] + "customJobs", "", LIST[2]),
    ],
)
def test_a_token_of_another_list_is_refused(other: tuple[str, ...]) -> None:
    """Another scope, kind or filter, also one whose parts only join to the same text."""
    with pytest.raises(InvalidArgument, match="page_token"):
        read_token(write_token(5, *LIST), *other)


@given(st.integers(0, 22), st.integers(1, 255))
def test_a_token_with_one_changed_character_is_refused(place: int, change: int) -> None:
    """No byte of it can be altered."""
    token = write_token(1_700_000_000_000_000_000, *LIST)
    forged = token[:place] + chr((ord(token[place]) + change) % 256) + token[place + 1 :]
    with pytest.raises(InvalidArgument):
        read_token(forged, *LIST)


@given(st.text(min_size=1))
def test_nonsense_is_no_token(text: str) -> None:
    """Any other text is InvalidArgument, never another error."""
    with pytest.raises(InvalidArgument):
        read_token(text, *LIST)
