"""How a connection begins: TLS if it is wanted, who calls, and what the client is told about the server.

The password is a token or an API key of the service (`trainyard tokens`); the user's name is for show. SCRAM cannot be
offered, because the service keeps no secret, only hashes: so a password travels over TLS, or stays on this machine.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from trainyard.core.errors import ApiError, Unauthenticated
from trainyard.edges.sql.errors import SqlError
from trainyard.edges.sql.pgwire import messages
from trainyard.edges.sql.pgwire.messages import Payload, ProtocolFault
from trainyard.edges.sql.pgwire.wire import Wire
from trainyard.service.access import Caller

GREETING_SECONDS: Final = 10.0
NO_ENTRY: Final = "28000"
NOT_SUPPORTED: Final = "0A000"


@dataclass(frozen=True, slots=True)
class Door:
    """Who may come in. `identify` turns a password into a caller and raises ApiError; `asks` whether it is needed."""

    identify: Callable[[str], Caller]
    asks: bool
    context: ssl.SSLContext | None


@dataclass(frozen=True, slots=True)
class Guest:
    """Who has come in, and with what wishes. `password` is asked again at every statement: it may be revoked."""

    caller: Caller
    password: str = field(repr=False)
    parameters: Mapping[str, str]


async def greet(wire: Wire, door: Door, cancel: Callable[[int, int], None]) -> Guest | None:
    """Let a client in; None for one that only came to cancel. Raises SqlError, ProtocolFault, ApiError, Gone."""
    try:
        async with asyncio.timeout(GREETING_SECONDS):
            payload = await _startup(wire, door, cancel)
            return None if payload is None else await _admit(wire, door, payload)
    except TimeoutError:
        raise ProtocolFault(f"the connection was not made within {GREETING_SECONDS:g} seconds", fatal=True) from None


async def _startup(wire: Wire, door: Door, cancel: Callable[[int, int], None]) -> dict[str, str] | None:
    """The parameters of the startup packet, behind any number of wishes for encryption that are answered."""
    for _ in range(4):
        packet = Payload(await wire.startup())
        code = packet.int32()
        if code == messages.SSL_REQUEST:
            await _secure(wire, door)
        elif code == messages.GSS_REQUEST:
            await wire.send(b"N")
            await wire.flush()
        elif code == messages.CANCEL_REQUEST:
            process, secret = struct.unpack("!iI", packet.take(8))
            cancel(process, secret)
            return None
        else:
            return await _parameters(wire, code, packet)
    raise ProtocolFault("too many requests for encryption", fatal=True)


async def _secure(wire: Wire, door: Door) -> None:
    if door.context is None or wire.secure:
        await wire.send(b"N")
        await wire.flush()
        return
    await wire.send(b"S")
    await wire.upgrade(door.context)


async def _parameters(wire: Wire, code: int, packet: Payload) -> dict[str, str]:
    if code >> 16 != 3:
        raise SqlError(
            NOT_SUPPORTED,
            f"unsupported frontend protocol {code >> 16}.{code & 0xFFFF}: this port speaks PostgreSQL's protocol 3.0",
            hint="REST and gRPC have a port of their own; trainyard health says which.",
        )
    found = messages.startup_parameters(packet)
    unknown = [name for name in found if name.startswith("_pq_.")]
    if code != messages.PROTOCOL_3 or unknown:
        await wire.send(messages.protocol_version(unknown))
    return {name: value for name, value in found.items() if name not in unknown}


async def _admit(wire: Wire, door: Door, parameters: dict[str, str]) -> Guest:
    if door.context is not None and not wire.secure:
        raise SqlError(NO_ENTRY, "this port speaks TLS only", hint="Connect with sslmode=require or stronger.")
    if parameters.get("replication", "false").lower() not in ("false", "off", "no", "0"):
        raise SqlError(NOT_SUPPORTED, "there is no replication stream here; WATCH SELECT … follows changes")
    password = ""
    if door.asks:
        await wire.send(messages.AUTHENTICATION_PASSWORD)
        await wire.flush()
        kind, payload = await wire.message()
        if kind != ord("p"):
            raise ProtocolFault("a password was expected", fatal=True)
        password = Payload(payload).text()
    return Guest(identified(door, password), password, parameters)


def identified(door: Door, password: str) -> Caller:
    """The caller behind a password. Raises SqlError where it is none of a credential, with the way to get one."""
    try:
        return door.identify(password)
    except Unauthenticated as error:
        hint = "The password is a token or API key of the service: trainyard tokens create NAME makes one."
        raise SqlError("28P01", error.message, hint=hint) from None
    except ApiError as error:
        raise SqlError("28000", error.message) from None
