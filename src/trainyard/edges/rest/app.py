"""The REST edge: a plain ASGI application that knows no paths; the book does.

Every request gets exactly one answer, in JSON, whatever it was; what nobody foresaw is a 500 with an id that the
server's log has.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from trainyard import __version__
from trainyard.contract.json_faults import JsonFaults
from trainyard.contract.transcoding import NoRoute, Router, WrongMethod, request_of
from trainyard.core.errors import ApiError, Code, FieldViolation, InvalidArgument
from trainyard.edges.client_address import client_of
from trainyard.edges.faults import error_body, http_answer, unforeseen
from trainyard.edges.rest.browsers import Names, refuse_foreign_page
from trainyard.edges.rest.exchange import JSON, Disconnected, Exchange, Receive, Refusal, Send
from trainyard.edges.rest.own_routes import OwnRoutes, send_json
from trainyard.edges.rest.pages import answer_page
from trainyard.edges.rest.replies import ReplyStyle
from trainyard.service.access import Caller
from trainyard.service.dispatch import Service
from trainyard.service.not_served import refused_path

WITHOUT_CALLER: Final = frozenset({"/", "/trainyard/v1/health"})

log = logging.getLogger("trainyard.rest")


class RestApp:
    """ASGI, http only."""

    def __init__(self, service: Service, own: OwnRoutes, router: Router, names: Names = frozenset()) -> None:
        """Answer from these; `names` are the service's own besides loopback."""
        self._names = names
        self._service = service
        self._own = own
        self._router = router

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send)
        try:
            await self._serve(exchange)
        except Disconnected:
            return
        except Refusal as refusal:
            body = error_body(refusal.status, refusal.code, refusal.message)
            extra = [(name.encode(), value.encode("latin-1")) for name, value in refusal.headers.items()]
            await exchange.answer(refusal.status, body, JSON, *extra)
        except JsonFaults as faults:
            await _answer_error(exchange, _invalid(faults))
        except ApiError as error:
            await _answer_error(exchange, error)
        except Exception:
            failure = unforeseen(f"{exchange.method} {exchange.path}", log)
            if (
                not exchange.started
            ):  # else it is too late for words: uvicorn cuts the connection, so that half is not taken for all
                await _answer_error(exchange, failure)

    async def _serve(self, exchange: Exchange) -> None:
        server = exchange.scope.get("server") or ("", None)
        refuse_foreign_page(exchange.headers, server[1], self._names)
        if exchange.path == "/" and exchange.method in ("GET", "HEAD"):
            await send_json(exchange, HELLO)
            return
        if await answer_page(exchange):
            return
        caller = self._caller(exchange)
        if not await self._own.answer(exchange, caller):
            await self._call(exchange, caller)

    def _caller(self, exchange: Exchange) -> Caller:
        """Who calls; raises Unauthenticated. Whether the service is up may be asked by everybody."""
        if exchange.path in WITHOUT_CALLER:
            return Caller()
        bearer = exchange.headers.get("authorization", "")
        if not bearer and exchange.system.access_token:
            bearer = f"Bearer {exchange.system.access_token}"
        key = exchange.headers.get("x-goog-api-key") or exchange.system.key
        return self._service.access.identify(bearer, key).at(client_of(exchange.scope))

    async def _call(self, exchange: Exchange, caller: Caller) -> None:
        verb = "GET" if exchange.method == "HEAD" else exchange.method
        try:
            match = self._router.match(verb, exchange.path)
        except NoRoute:
            if refused := refused_path(exchange.path):
                raise refused from None
            sentence = f"Nothing is at {exchange.path}; paths look like /v1/projects/P/locations/L/customJobs."
            raise Refusal(404, Code.NOT_FOUND, sentence) from None
        except WrongMethod as wrong:
            allowed = ", ".join((*wrong.allowed, *(("HEAD",) if "GET" in wrong.allowed else ())))
            sentence = f"{exchange.method} is not a method of {exchange.path}; it has {allowed}."
            raise Refusal(405, Code.UNIMPLEMENTED, sentence, {"allow": allowed}) from None
        style = ReplyStyle.of(exchange.system, match)
        request = request_of(match, exchange.query, await exchange.body())
        answer = await self._service.answer(match.operation, match.version, request, caller)
        await exchange.answer(200, *style.write(answer))


async def _answer_error(exchange: Exchange, error: ApiError) -> None:
    status, body = http_answer(error)
    extra = [(b"www-authenticate", b'Bearer realm="trainyard"')] if error.code is Code.UNAUTHENTICATED else []
    await exchange.answer(status, body, JSON, *extra)


def _invalid(faults: JsonFaults) -> InvalidArgument:
    """All that is wrong with the JSON, one fault a line, each field named."""
    violations = [FieldViolation(fault.field or fault.path, fault.description) for fault in faults.faults]
    return InvalidArgument(str(faults), violations)


HELLO: Final = {
    "service": "Trainyard",
    "version": __version__,
    "api": "aiplatform.googleapis.com, v1 and v1beta1: customJobs (REST and gRPC on this port)",
    "health": "/trainyard/v1/health",
    "openapi": "/openapi.json",
    "reference": "/docs/api",
    "docs": "https://github.com/trainyard/trainyard#readme",
}
