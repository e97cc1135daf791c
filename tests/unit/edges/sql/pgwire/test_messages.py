"""The protocol's bytes: read whole or not at all, whatever the pieces that they come in."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.edges.sql.pgwire import messages
from trainyard.edges.sql.pgwire.messages import Inbox, Payload, ProtocolFault


@given(st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=50)), max_size=5), st.integers(1, 9))
def test_messages_come_whole(sent: list[tuple[int, bytes]], step: int) -> None:
    """Cut anywhere, they come out as they went in, in order."""
    data = b"".join(bytes([kind]) + struct.pack("!i", len(payload) + 4) + payload for kind, payload in sent)
    inbox, found = Inbox(), []
    for at in range(0, len(data), step):
        inbox.feed(data[at : at + step])
        while message := inbox.message():
            found.append(message)
    assert found == sent
    assert len(inbox) == 0


@pytest.mark.parametrize("length", [-1, 0, 3, messages.MOST_STRANGERS_BYTES + 1, 2**31 - 1])
def test_an_impossible_length_is_fatal(length: int) -> None:
    """Before a byte of the payload is waited for."""
    inbox = Inbox()
    inbox.feed(b"Q" + struct.pack("!i", length))
    with pytest.raises(ProtocolFault) as caught:
        inbox.message()
    assert caught.value.fatal


def test_who_is_let_in_may_send_more() -> None:
    """A stranger's message is short; a client's may have megabytes."""
    inbox = Inbox()
    inbox.feed(b"Q" + struct.pack("!i", 1_000_000))
    inbox.most_bytes = messages.MOST_MESSAGE_BYTES
    assert inbox.message() is None


@pytest.mark.parametrize("length", [0, 7, messages.MOST_STARTUP_BYTES + 1, -5])
def test_a_startup_packet_has_bounds(length: int) -> None:
    """As in PostgreSQL."""
    inbox = Inbox()
    assert inbox.startup() is None
    inbox.feed(struct.pack("!i", length))
    with pytest.raises(ProtocolFault):
        inbox.startup()


def test_a_startup_packet_is_waited_for() -> None:
    """And read without its length."""
    inbox = Inbox()
    inbox.feed(struct.pack("!ii", 12, 196608))
    assert inbox.startup() is None
    inbox.feed(b"abc\0")
    assert inbox.startup() == struct.pack("!i", 196608) + b"abc\0"


def test_a_payload_is_read_field_by_field() -> None:
    """Texts, numbers, sized values, NULL; and nothing may be left."""
    payload = Payload(b"name\0" + struct.pack("!hHi", -2, 3, -4) + struct.pack("!i", 2) + b"xy" + b"\xff" * 4 + b"!")
    assert (payload.text(), payload.int16(), payload.count(), payload.int32()) == ("name", -2, 3, -4)
    assert (payload.sized(), payload.sized()) == (b"xy", None)
    with pytest.raises(ProtocolFault, match="1 bytes too many"):
        payload.end()
    assert payload.byte() == b"!"
    payload.end()


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (b"abc", Payload.text),
        (b"\xff\0", Payload.text),
        (b"\0", Payload.int16),
        (b"\0\0\0", Payload.int32),
        (struct.pack("!i", 9) + b"x", Payload.sized),
        (struct.pack("!i", -2), Payload.sized),
    ],
)
def test_what_is_cut_short_is_a_fault(data: bytes, read: object) -> None:
    """Never an exception of another kind."""
    assert callable(read)
    with pytest.raises(ProtocolFault):
        read(Payload(data))


def test_startup_parameters_end_where_they_end() -> None:
    """Pairs up to an empty name; a cut one is a fault."""
    assert messages.startup_parameters(Payload(b"user\0me\0database\0x\0\0")) == {"user": "me", "database": "x"}
    assert messages.startup_parameters(Payload(b"\0\0")) == {}
    with pytest.raises(ProtocolFault):
        messages.startup_parameters(Payload(b"user\0me"))


def test_what_is_said_has_its_form() -> None:
    """Lengths count themselves; empty fields of a report are left out; a zero byte ends no text early."""
    assert messages.command_complete("SELECT 1") == b"C\0\0\0\x0dSELECT 1\0"
    assert messages.report(b"E", {"S": "ERROR", "D": "", "M": "a\0b"}) == b"E\0\0\0\x10SERROR\0Mab\0\0"
    assert messages.data_row([None, b"x"]) == b"D\0\0\0\x0f\0\x02\xff\xff\xff\xff\0\0\0\x01x"
    assert messages.parameter_description([25]) == b"t\0\0\0\x0a\0\x01\0\0\0\x19"
    assert messages.protocol_version(["_pq_.x"])[9:] == b"\0\0\0\x01_pq_.x\0"
