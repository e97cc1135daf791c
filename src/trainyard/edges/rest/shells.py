"""A person at a shell, over a WebSocket: binary messages are what is typed and printed, text ones are JSON.

From the client {"rows", "columns"}: its terminal has this size now; {"paused": true}: it takes no more before
{"paused": false}, so that what is printed meanwhile waits in the replica. From us {"exit"}: the shell's exit code, or
null where it is not known; nothing comes behind it. Without a WebSocket the same address says how to get one, or why
there is none; to a browser that is sent there it is a page with a terminal (pages.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from trainyard.core.errors import ApiError, Unauthenticated
from trainyard.core.frames import Opcode
from trainyard.core.shells import Shell, Terminal
from trainyard.edges.rest import websocket
from trainyard.edges.rest.exchange import Exchange
from trainyard.edges.rest.follow import Streams
from trainyard.edges.rest.websocket import WebSocket
from trainyard.service.access import Caller
from trainyard.service.shells import Shells

PARAMETERS: Final = frozenset({"rows", "columns", "term", "stage"})
RECHECK_SECONDS: Final = 2.0
_LOOKS_A_PING: Final = 10
_REVOKED: Final = "The credential was revoked, or its time is over."  # the error's words are too long for a goodbye


@dataclass(frozen=True, slots=True)
class ShellRoute:
    """What answers at `…/shells/{replica}`; `streams` ends the shells when the service stops."""

    shells: Shells
    streams: Streams

    async def answer(
        self, exchange: Exchange, where: tuple[str, str], caller: Caller, given: Mapping[str, str]
    ) -> None:
        """Serve a shell, to its end, in the job and the replica of `where`. Raises ApiError and Refusal before."""
        name, replica = where
        if not websocket.is_asked_for(exchange):
            self.shells.check(name, replica, caller, given.get("stage", ""))
            await exchange.answer(200, _how(name, replica).encode(), b"text/plain; charset=utf-8")
            return
        websocket.check(exchange)
        shell = await self.shells.open(name, replica, caller, _terminal(given), given.get("stage", ""))
        try:
            with self.streams.lasting():
                connection = await websocket.grant(exchange)
                try:
                    await self._serve(connection, shell, caller)
                except asyncio.CancelledError:
                    connection.close(websocket.GOING_AWAY, "The service is stopping; the job goes on.")
                finally:
                    connection.close(websocket.GOING_AWAY)
        finally:
            shell.close()

    async def _serve(self, connection: WebSocket, shell: Shell, caller: Caller) -> None:
        """Until the shell ends, its person leaves, or may not stay."""
        takes = asyncio.Event()
        takes.set()
        printing = asyncio.ensure_future(_print(connection, shell, takes))
        others = [
            asyncio.ensure_future(_type(connection, shell, takes)),
            asyncio.ensure_future(self._keep_watch(connection, caller)),
        ]
        try:
            await asyncio.wait((printing, *others), return_when=asyncio.FIRST_COMPLETED)
            for done in (printing, *others):
                if done.done():
                    done.result()
        finally:
            for each in (printing, *others):
                each.cancel()
            await asyncio.gather(printing, *others, return_exceptions=True)

    async def _keep_watch(self, connection: WebSocket, caller: Caller) -> None:
        """Until the caller's credential is of no use any more; meanwhile what lies between hears of us now and then."""
        looks = 0
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            try:
                self.shells.recheck(caller)
            except ApiError as error:
                connection.close(websocket.REFUSED, _REVOKED if isinstance(error, Unauthenticated) else error.message)
                return
            looks += 1
            if looks % _LOOKS_A_PING == 0:
                await connection.send(Opcode.PING, b"")


async def _print(connection: WebSocket, shell: Shell, takes: asyncio.Event) -> None:
    while chunk := await shell.read():
        await takes.wait()
        await connection.send(Opcode.BINARY, chunk)
    code = await shell.ended()
    await connection.send(Opcode.TEXT, json.dumps({"exit": code}).encode())
    connection.close()


async def _type(connection: WebSocket, shell: Shell, takes: asyncio.Event) -> None:
    while (message := await connection.receive()) is not None:
        opcode, payload = message
        if opcode is Opcode.BINARY:
            await shell.write(payload)
            continue
        with contextlib.suppress(ValueError, KeyError, TypeError):  # what is neither changes nothing
            said = json.loads(payload)
            if "paused" in said:
                (takes.clear if said["paused"] is True else takes.set)()
                continue
            size = Terminal(int(said["rows"]), int(said["columns"]))
            if not size.faults():
                shell.resize(size.rows, size.columns)


def _terminal(given: Mapping[str, str]) -> Terminal:
    """What the query says of it; what is no number is as wrong as 0."""
    usual = Terminal()
    rows, columns = (
        int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 0
        for text in (given.get("rows", str(usual.rows)), given.get("columns", str(usual.columns)))
    )
    return Terminal(rows, columns, given.get("term", usual.term))


def _how(name: str, replica: str) -> str:
    _, project, _, region, collection, job, *trial = name.split("/")
    noun = "custom-jobs" if collection == "customJobs" else "nas-jobs"
    words = " ".join((job, *trial[1:], replica))
    return (
        f"A shell in {replica} of {name}, as long as it runs:\n\n"
        f"    trainyard {noun} shell {words} --project {project} --region {region}\n\n"
        "Programs open it here, as a WebSocket.\n"
    )
