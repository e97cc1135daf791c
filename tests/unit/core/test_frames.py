"""WebSocket's framing, against the examples of RFC 6455 and against itself, however the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.core.frames import MOST_BYTES, BadFrame, Frames, Opcode, accept_key, closing, frame


def test_the_handshake_of_the_standard() -> None:
    """RFC 6455, 1.3."""
    assert accept_key(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_the_frames_of_the_standard() -> None:
    """RFC 6455, 5.7: unmasked, masked, a message in pieces with a ping between them, and longer ones."""
    assert frame(Opcode.TEXT, b"Hello") == bytes.fromhex("810548656c6c6f")
    masked = bytes.fromhex("818537fa213d7f9f4d5158")
    assert frame(Opcode.TEXT, b"Hello", bytes.fromhex("37fa213d")) == masked
    assert list(Frames(masked=True).feed(masked)) == [(Opcode.TEXT, b"Hello")]
    pieces = bytes.fromhex("010348656c 8900 80026c6f")
    assert list(Frames(masked=False).feed(pieces)) == [(Opcode.PING, b""), (Opcode.TEXT, b"Hello")]
    assert frame(Opcode.BINARY, bytes(256))[:4] == bytes.fromhex("827e0100")
    assert frame(Opcode.BINARY, bytes(65536))[:10] == bytes.fromhex("827f0000000000010000")
    assert closing(1000, "done") == b"\x03\xe8done"


@given(
    st.lists(st.tuples(st.sampled_from([Opcode.TEXT, Opcode.BINARY]), st.binary(max_size=300)), max_size=5),
    st.booleans(),
    st.data(),
)
def test_what_is_framed_comes_out_again(
    messages: list[tuple[Opcode, bytes]], masked: bool, data: st.DataObject
) -> None:
    """Whatever the messages are, and wherever the network cuts the bytes."""
    mask = b"\x01\xfe\x00\x7f" if masked else b""
    wire = b"".join(frame(opcode, payload, mask) for opcode, payload in messages)
    frames, heard = Frames(masked=masked), []
    while wire:
        size = data.draw(st.integers(1, len(wire)))
        heard += list(frames.feed(wire[:size]))
        wire = wire[size:]
    assert heard == messages


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (bytes.fromhex("8100"), 1002),  # a client that does not mask
        (bytes.fromhex("c18000000000"), 1002),  # a bit for an extension
        (bytes.fromhex("838000000000"), 1002),  # no such type
        (bytes.fromhex("098000000000"), 1002),  # a ping in pieces
        (bytes.fromhex("89fe007e00000000") + bytes(126), 1002),  # a long ping
        (bytes.fromhex("808000000000"), 1002),  # a piece of nothing
        (bytes.fromhex("018000000000 818000000000"), 1002),  # a message within a message
        (bytes.fromhex("82ff") + (MOST_BYTES + 1).to_bytes(8, "big"), 1009),
    ],
)
def test_what_breaks_the_rules_ends_the_connection(wire: bytes, code: int) -> None:
    """Each with the status that says why."""
    with pytest.raises(BadFrame) as caught:
        list(Frames(masked=True).feed(wire))
    assert caught.value.code == code


def test_a_message_does_not_grow_for_ever() -> None:
    """Pieces that are small enough alone are counted together."""
    frames = Frames(masked=False)
    piece = bytes((0x02,)) + frame(Opcode.BINARY, bytes(MOST_BYTES // 2))[1:]
    more = bytes((0x00,)) + piece[1:]
    assert list(frames.feed(piece + more)) == []
    with pytest.raises(BadFrame):
        list(frames.feed(more))
