"""Bodies of several parts, cut anywhere on their way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.edges.storage.faults import HttpFault
from trainyard.edges.storage.multipart import RelatedBody, mixed_parts
from trainyard.edges.storage.partial import selected

BYTES = st.binary(max_size=60) | st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--", b"B", b"--B"])).map(b"".join)


async def chunks(body: bytes, cuts: list[int]) -> AsyncIterator[bytes]:
    places = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    for start, end in pairwise(places):
        yield body[start:end]


async def read(body: bytes, cuts: list[int]) -> list[bytes]:
    related = RelatedBody("multipart/related; boundary=B", chunks(body, cuts))
    found = []
    for _ in range(2):
        await related.part()
        found.append(b"".join([piece async for piece in related.data()]))
    return found


@given(BYTES, BYTES, st.sampled_from([b"\r\n", b"\n"]), st.lists(st.integers(0, 500), max_size=20))
def test_parts_are_the_same_wherever_the_network_cuts(one: bytes, two: bytes, eol: bytes, cuts: list[int]) -> None:
    """Two parts of any bytes but the boundary come out as they went in."""
    if eol + b"--B" in eol + one or eol + b"--B" in eol + two:
        return
    body = eol.join([b"--B", b"Content-Type: a/b", b"", one, b"--B", b"", two, b"--B--"])
    assert asyncio.run(read(body, cuts)) == [one, two]


@given(st.binary(max_size=80) | st.lists(st.sampled_from([b"--B", b"\r\n", b"\n", b"x", b":", b"--"])).map(b"".join))
def test_noise_is_refused_and_never_hangs(body: bytes) -> None:
    """Whatever comes is two parts or a fault of the protocol, never another exception."""
    with suppress(HttpFault):
        assert len(asyncio.run(read(body, [3, 7]))) == 2
    with suppress(HttpFault):
        assert list(mixed_parts("multipart/mixed; boundary=B", body)) is not None


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ("", {"a": {"b": 1, "c": 2}, "l": [{"x": 1, "y": 2}], "n": 3}),
        ("n", {"n": 3}),
        ("a/b", {"a": {"b": 1}}),
        ("a(c),l/y", {"a": {"c": 2}, "l": [{"y": 2}]}),
        ("l(x,y)", {"l": [{"x": 1, "y": 2}]}),
        ("*", {"a": {"b": 1, "c": 2}, "l": [{"x": 1, "y": 2}], "n": 3}),
        ("*/b", {"a": {"b": 1}, "l": [{}], "n": 3}),
        ("none", {}),
    ],
)
def test_fields_select(fields: str, left: dict[str, object]) -> None:
    """Names, paths, groups and stars."""
    assert selected({"a": {"b": 1, "c": 2}, "l": [{"x": 1, "y": 2}], "n": 3}, fields) == left
