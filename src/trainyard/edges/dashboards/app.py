"""The dashboards' edge: what is asked of `<job id>.<dashboards' host>` goes to the job's chief, and its answer back.

Under --auth a browser that is not known at a dashboard's host is sent to one more host of their own, whose page takes
a token and gives a ticket; the token itself never goes where a job's program answers.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final
from urllib.parse import parse_qsl, quote

from trainyard.core.dashboards import PORT_VARIABLE
from trainyard.core.errors import HTTP_STATUS, ApiError, Code, Unauthenticated
from trainyard.edges.client_address import client_of
from trainyard.edges.dashboards import heads, pages
from trainyard.edges.dashboards.forwarding import forward
from trainyard.edges.dashboards.guard import refuse_other_origins
from trainyard.edges.dashboards.sessions import SESSION_SECONDS, Sessions
from trainyard.edges.dashboards.upstream import CutShort, NoAnswer
from trainyard.edges.faults import unforeseen
from trainyard.edges.side_by_side import CUT, UPGRADE
from trainyard.service.access import Caller
from trainyard.service.dashboards import Dashboards, Way

SIGN_IN: Final = "sign-in"
ENTER: Final = b"/.trainyard/enter"
_STATUS: Final = {Code.FAILED_PRECONDITION: 410}  # elsewhere 400: there is no dashboard any more
Lasting = Callable[[], AbstractContextManager[None]]

log = logging.getLogger("trainyard.dashboards")


class DashboardApp:
    """ASGI, http only. Claims the requests whose Host lies below its own."""

    def __init__(self, dashboards: Dashboards, at: str, lasting: Lasting) -> None:
        """`at`: scheme, host and port that dashboards lie below; what runs in `lasting` ends with the service."""
        scheme, _, netloc = at.partition("://")
        self._cookie = heads.SECURE_COOKIE if scheme == "https" else heads.COOKIE
        below = f".{netloc.partition(':')[0].lower()}"
        self._below = below.encode()
        self._host = re.compile(rf"([^.:,]+){re.escape(below)}(:\d*)?")
        self._dashboards = dashboards
        self._lasting = lasting
        self._sessions = Sessions(time.monotonic)

    def claims(self, scope: Mapping[str, Any]) -> bool:
        """Whether a request is for a dashboard, or for the page that asks who somebody is."""
        return any(name == b"host" and self._below in value.lower() for name, value in scope["headers"])

    def _label(self, host: str) -> str:
        match = self._host.fullmatch(host.lower())
        return match[1] if match else ""

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer one request."""
        begun = False

        async def sending(message: Any) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            with self._lasting():
                await self._serve(scope, receive, sending)
        except Exception as error:
            known = isinstance(error, ApiError | CutShort)
            why = error if known else unforeseen(f"{scope['method']} at a dashboard", log)
            if not begun:
                await _say_why(scope, send, why)
            elif CUT in scope.get("extensions", ()):
                await send({"type": CUT})

    async def _serve(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        refuse_other_origins(scope)
        label = self._label(heads.header(scope, b"host"))
        if label == SIGN_IN:
            await self._sign_in(scope, send)
        elif not label.isdecimal() or not label.isascii() or len(label) > 19:
            await pages.say(scope, send, 404, f"There is no dashboard {label!r}; they have the number of their job.")
        elif scope["raw_path"] == ENTER:
            await self._enter(scope, send, int(label))
        else:
            await self._show(scope, receive, send, label)

    async def _show(self, scope: dict[str, Any], receive: Any, send: Any, label: str) -> None:
        try:
            caller, by_header = self._caller(scope, int(label))
        except Unauthenticated:
            if not pages.wants_page(scope):
                raise
            await self._send_to_sign_in(scope, send, label)
            return
        way = self._dashboards.find(int(label), caller)
        if heads.loops(scope, label) or scope["method"] == "CONNECT":
            await pages.say(scope, send, 508, f"{PORT_VARIABLE} of {way.job} is the port of this service itself.")
            return
        upgrades = UPGRADE in scope.get("extensions", ())
        head = heads.request_head(scope, label, upgrades=upgrades, hides_authorization=by_header)
        try:
            await forward(scope, receive, send, (way.ports.outside, head), lambda: self._dashboards.recheck(caller))
        except NoAnswer as why:
            await pages.say(scope, send, 502, _nobody(way, why), again=True)

    def _caller(self, scope: Any, job_id: int) -> tuple[Caller, bool]:
        """Who looks, and whether the Authorization header says so; raises Unauthenticated, PermissionDenied."""
        for session in heads.cookies_of(scope, self._cookie):
            known = self._sessions.caller(session, job_id)
            if known is None:
                continue
            try:
                self._dashboards.recheck(known)
            except Unauthenticated:
                self._sessions.end(session)
            else:
                return known, False
        client, authorization = client_of(scope), heads.header(scope, b"authorization")
        try:
            return self._dashboards.identify("").at(client), False
        except Unauthenticated:
            if not authorization:
                raise
        return self._dashboards.identify(authorization).at(client), True

    async def _send_to_sign_in(self, scope: Any, send: Any, label: str) -> None:
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        place = f"//{_sibling(scope, SIGN_IN)}/{label}?next={quote(target, safe='')}"
        await pages.answer(send, 303, b"", pages.TEXT, (b"location", place.encode("latin-1")))

    async def _sign_in(self, scope: Any, send: Any) -> None:
        path, method = scope["raw_path"].decode("latin-1"), scope["method"]
        asset = pages.ASSETS.get(path)
        label = path[1:]
        if method in ("GET", "HEAD") and (asset is not None or label.isdecimal()):
            name, kind = asset or ("sign_in.html", pages.HTML)
            await pages.answer(send, 200, pages.file(name), kind)
        elif method == "POST" and label.isascii() and label.isdecimal() and len(label) <= 19:
            await self._give_ticket(scope, send, label)
        else:
            await pages.say(scope, send, 404, "Here one signs in to a dashboard, at the number of its job.")

    async def _give_ticket(self, scope: Any, send: Any, label: str) -> None:
        try:
            caller = self._dashboards.identify(heads.header(scope, b"authorization")).at(client_of(scope))
            self._dashboards.find(int(label), caller)
        except ApiError as error:
            await pages.answer(send, _status(error), json.dumps({"error": error.message}).encode(), b"application/json")
            return
        ticket = self._sessions.ticket(caller, int(label))
        address = f"//{_sibling(scope, label)}{ENTER.decode()}?ticket={ticket}"
        await pages.answer(send, 200, json.dumps({"address": address}).encode(), b"application/json")

    async def _enter(self, scope: Any, send: Any, job_id: int) -> None:
        given = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        place = given.get("next", "/")
        if not place.startswith("/") or place[1:2] in ("/", "\\") or not place.isprintable():
            place = "/"  # an address elsewhere, as a browser reads it
        headers = [(b"location", quote(place, safe="/?&=%:@!$'()*+,;~").encode())]
        session = self._sessions.begin(given.get("ticket", ""), job_id)
        if session is not None:  # else its page sends them to where tickets are given
            headers.append((b"set-cookie", self._set(session).encode()))
        await pages.answer(send, 303, b"", pages.TEXT, *headers)

    def _set(self, session: str) -> str:
        secure = "; Secure" if self._cookie == heads.SECURE_COOKIE else ""
        return f"{self._cookie}={session}; Path=/; Max-Age={SESSION_SECONDS:.0f}; HttpOnly; SameSite=Lax{secure}"


def _sibling(scope: Any, label: str) -> str:
    """Another host below ours, as this client reaches it."""
    return f"{label}.{heads.header(scope, b'host').partition('.')[2]}"


async def _say_why(scope: Any, send: Any, error: Exception) -> None:
    if isinstance(error, ApiError):
        await pages.say(scope, send, _status(error), error.message, again=error.code is Code.UNAVAILABLE)
    else:
        await pages.say(scope, send, 502, f"The dashboard's program failed: {error}.")


def _status(error: ApiError) -> int:
    return _STATUS.get(error.code, HTTP_STATUS[error.code])


def _nobody(way: Way, why: NoAnswer) -> str:
    apart = way.ports.inside != way.ports.outside
    where = " In its container it has to listen on 0.0.0.0: 127.0.0.1 is reached by nobody else there." if apart else ""
    return (
        f"{way.replica} of {way.job} does not serve its dashboard on port {way.ports.inside} ({PORT_VARIABLE}) yet: "
        f"{why}.{where}"
    )
