"""`POST /v1/sql` as a plain ASGI application: statements in, their rows out as JSON lines, as fast as they are read.

Each line is an object with one name that says what it is: `columns` begins a statement's answer, `row` is one row,
`done` ends it, `error` says why it ends early. An answer without its `done` is not whole. After an error nothing
follows, unless the request says `goOn`. What is wrong before the first line is an HTTP error in the envelope that all
errors of the service have.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import parse_qs

import orjson

from trainyard.core.errors import ApiError, Code, FieldViolation, InvalidArgument, ResourceExhausted
from trainyard.edges.client_address import client_of
from trainyard.edges.faults import error_body, http_answer, unforeseen
from trainyard.edges.sql.errors import CANCELLED, FORBIDDEN, INTERNAL, SqlError
from trainyard.edges.sql.session import Column, Result, Row, Session, SqlEngine
from trainyard.service.access import Access

PATH: Final = b"/v1/sql"
MOST_BODY_BYTES: Final = 8 * 1024 * 1024
MOST_AT_ONCE: Final = 64
ENOUGH_BYTES: Final = 64 * 1024
_JSON: Final = b"application/json; charset=UTF-8"
_LINES: Final = b"application/x-ndjson"
_FIELDS: Final[Mapping[str, type]] = {
    "sql": str,
    "parameters": list,
    "project": str,
    "location": str,
    "rows": str,
    "nested": bool,
    "goOn": bool,
}

_WATCH: Final = re.compile(r"\s*WATCH\b", re.IGNORECASE)

log = logging.getLogger("trainyard.sql")

Guard = Callable[[Mapping[str, str], int | None], None]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class _Gone(Exception):
    """The client has left."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request's body.

    `as_objects`: rows by column name, not in order; `nested`: JSON columns not as text; `go_on`: the next statement is
    carried out even where one fails.
    """

    sql: str
    parameters: Sequence[object] = ()
    project: str = ""
    location: str = ""
    as_objects: bool = False
    nested: bool = False
    go_on: bool = False


class SqlApp:
    """ASGI, http only."""

    def __init__(self, engine: SqlEngine, access: Access, guard: Guard) -> None:
        """`guard` refuses pages of others in a browser; raises ApiError."""
        self._engine = engine
        self._access = access
        self._guard = guard
        self._running = 0

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        reply = _Reply(send)
        try:
            await self._serve(scope, receive, reply)
        except _Gone:
            return
        except ApiError as error:
            await reply.whole(*http_answer(error))
        except SqlError as error:
            await reply.whole(*_refused(error))
        except Exception:
            failure = unforeseen("POST /v1/sql", log)
            if reply.started:
                raise  # the connection is cut, so that half is not taken for all
            await reply.whole(*http_answer(failure))

    async def _serve(self, scope: Mapping[str, Any], receive: Receive, reply: _Reply) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self._guard(headers, (scope.get("server") or ("", None))[1])
        if scope["method"] != "POST":
            sentence = f"{scope['method']} is not a method of /v1/sql; it has POST."
            await reply.whole(405, error_body(405, Code.UNIMPLEMENTED, sentence), (b"allow", b"POST"))
            return
        query = parse_qs(scope["query_string"].decode("latin-1"))
        key = headers.get("x-goog-api-key") or query.get("key", [""])[-1]
        caller = replace(self._access.identify(headers.get("authorization", ""), key), address=client_of(scope))
        asked = asked_of(await _body(receive), headers.get("content-type", ""))
        if self._running >= MOST_AT_ONCE:
            raise ResourceExhausted(f"{MOST_AT_ONCE} SQL requests are being answered; repeat this one in a moment.")
        self._running += 1
        session = self._engine.session(caller, project=asked.project, location=asked.location)
        try:
            await _until_gone(receive, session, _answer(session, asked, reply))
        finally:
            self._running -= 1
            await session.close()


def claims(scope: Mapping[str, Any]) -> bool:
    """Whether a request is for SQL."""
    return bool(scope["raw_path"] == PATH)


def asked_of(body: bytes, content_type: str) -> Asked:
    """The request in its body: a JSON object, or SQL as plain text. Raises InvalidArgument, naming the field."""
    if content_type.partition(";")[0].strip().lower() in ("text/plain", "application/sql"):
        return Asked(_text(body))
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidArgument(f"The request's body is not JSON: {error}. Plain SQL is sent as text/plain.") from None
    if not isinstance(found, dict):
        raise _bad("sql", "The request's body is an object with the field sql.")
    _check(found)
    return Asked(
        found["sql"],
        tuple(int(value) if isinstance(value, bool) else value for value in found.get("parameters", ())),
        found.get("project", ""),
        found.get("location", ""),
        found.get("rows") == "objects",
        found.get("nested", False),
        found.get("goOn", False),
    )


def _check(found: Mapping[str, Any]) -> None:
    """Raises InvalidArgument on a field that is unknown, missing or of another type."""
    for name, value in found.items():
        if name not in _FIELDS:
            raise _bad(name, f"There is no field {name!r} here; there are {', '.join(_FIELDS)}.")
        if not isinstance(value, _FIELDS[name]):
            raise _bad(name, f"{name} is not of its type ({_FIELDS[name].__name__}).")
    if "sql" not in found:
        raise _bad("sql", "The field sql is missing: the statements to carry out.")
    if any(isinstance(value, dict | list) for value in found.get("parameters", ())):
        raise _bad("parameters", "A parameter is text, a number, true, false or null; send JSON as text.")
    if found.get("rows", "arrays") not in ("arrays", "objects"):
        raise _bad("rows", f"rows is arrays or objects, not {found['rows']!r}.")


async def _answer(session: Session, asked: Asked, reply: _Reply) -> None:
    statements = await asyncio.to_thread(session.split, asked.sql)
    if asked.parameters and len(statements) != 1:
        raise _bad("parameters", "Parameters belong to one statement; send several one at a time.")
    for statement in statements:
        if _WATCH.match(statement):
            await reply.line(None)  # the first change may be hours away, and the client is to know that all is well
        try:
            result = await session.run(statement, asked.parameters)
            async for line in _lines(result, asked):
                await reply.line(line)
        except SqlError as error:
            if not reply.started and not asked.go_on:
                raise
            await reply.line({"error": told(error)})
            if not asked.go_on:
                break
    await reply.end()


async def _lines(result: Result, asked: Asked) -> AsyncIterator[Any]:
    """Raises SqlError, behind what was given."""
    columns = result.columns
    if columns is not None:
        yield {"columns": [{"name": column.name, "kind": column.kind} for column in columns]}
        async with contextlib.aclosing(result.batches()) as batches:
            async for batch in batches:
                for row in batch:
                    values = _values(row, columns, nested=asked.nested)
                    yield {
                        "row": dict(zip((c.name for c in columns), values, strict=True)) if asked.as_objects else values
                    }
                yield None
    yield {"done": {"tag": result.tag, "message": result.message, "notices": list(result.notices)}}


def _values(row: Row, columns: Sequence[Column], *, nested: bool) -> list[Any]:
    return [_value(value, column.kind, nested=nested) for value, column in zip(row, columns, strict=True)]


def _value(value: Any, kind: str, *, nested: bool) -> Any:
    if value is None:
        return None
    if kind == "boolean" and value in (0, 1):
        return bool(value)
    if kind == "json" and nested and isinstance(value, str):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return "\\x" + value.hex() if isinstance(value, bytes) else value


def told(error: SqlError) -> dict[str, Any]:
    """An error's line."""
    fields = {"hint": error.hint, "detail": error.detail, "position": error.position}
    return {
        "sqlstate": error.sqlstate,
        "message": error.message,
        **{name: each for name, each in fields.items() if each},
    }


_STATUS: Final[Mapping[str, tuple[int, Code]]] = {
    FORBIDDEN: (403, Code.PERMISSION_DENIED),
    CANCELLED: (504, Code.DEADLINE_EXCEEDED),
    INTERNAL: (500, Code.INTERNAL),
}


def _refused(error: SqlError) -> tuple[int, bytes]:
    status, code = _STATUS.get(error.sqlstate, (400, Code.INVALID_ARGUMENT))
    details = [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SQL", "domain": "trainyard", "metadata": {
            name: str(value) for name, value in told(error).items() if name != "message"
        }}
    ]  # fmt: skip
    return status, error_body(status, code, error.message, details)


class _Reply:
    """The answer on its way: lines are gathered, and sent when there are enough or nothing more is at hand."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._gathered: list[bytes] = []
        self._size = 0
        self.started = False

    async def line(self, value: Any) -> None:
        """One line; None: what there is may go."""
        if value is not None:
            self._gathered.append(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE))
            self._size += len(self._gathered[-1])
        if value is None or self._size > ENOUGH_BYTES:
            await self._write(more=True)

    async def end(self) -> None:
        """The end of the answer."""
        await self._write(more=False)

    async def whole(self, status: int, body: bytes, *extra: tuple[bytes, bytes]) -> None:
        """A whole answer in JSON."""
        headers = [(b"content-type", _JSON), (b"content-length", b"%d" % len(body)), *extra]
        if status == 401:
            headers.append((b"www-authenticate", b'Bearer realm="trainyard"'))
        await self._start(status, headers)
        await self._send({"type": "http.response.body", "body": body})

    async def _write(self, *, more: bool) -> None:
        if not self.started:
            await self._start(200, [(b"content-type", _LINES), (b"cache-control", b"no-store")])
        body, self._size = b"".join(self._gathered), 0
        self._gathered.clear()
        if body or not more:
            await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.started = True
        headers.append((b"x-content-type-options", b"nosniff"))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})


async def _until_gone(receive: Receive, session: Session, answering: Any) -> None:
    """Answer; a client that leaves ends its statement."""
    task = asyncio.ensure_future(answering)
    left = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait((task, left), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            session.cancel()
            with contextlib.suppress(SqlError):
                await task
            raise _Gone
        await task
    finally:
        left.cancel()
        task.cancel()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(receive: Receive) -> bytes:
    gathered, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        more = message["more_body"]
        gathered.append(message["body"])
        size += len(message["body"])
        if size > MOST_BODY_BYTES:
            raise InvalidArgument(f"The request's body is larger than {MOST_BODY_BYTES} bytes.")
    return b"".join(gathered)


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise InvalidArgument("The request's body is not UTF-8.") from None


def _bad(field: str, sentence: str) -> InvalidArgument:
    return InvalidArgument(sentence, [FieldViolation(field, sentence)])
