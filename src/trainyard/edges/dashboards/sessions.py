"""Whom a dashboard's own cookie stands for: remembered here and nowhere else, so that a restart asks everybody anew.

A *ticket* goes from the page that asks for a token to the dashboard's host, once and within a minute, in an address;
what it is changed for there, a *session*, is a cookie of that host alone.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from trainyard.service.access import Caller

TICKET_SECONDS: Final = 60.0
SESSION_SECONDS: Final = 12 * 3600.0
MOST: Final = 4096
_BYTES: Final = 32

Clock = Callable[[], float]


class Sessions:
    """Tickets and sessions, each good for one job's dashboard; of very many the oldest are forgotten."""

    def __init__(self, clock: Clock) -> None:
        """`clock` gives seconds that only grow."""
        self._clock = clock
        self._tickets: OrderedDict[str, tuple[Caller, int, float]] = OrderedDict()
        self._sessions: OrderedDict[str, tuple[Caller, int, float]] = OrderedDict()

    def ticket(self, caller: Caller, job_id: int) -> str:
        """A new ticket."""
        return self._keep(self._tickets, caller, job_id, TICKET_SECONDS)

    def begin(self, ticket: str, job_id: int) -> str | None:
        """The session that a ticket is changed for; None where it is none, was used, or is too old."""
        held = self._tickets.pop(ticket, None)
        if held is None or held[1] != job_id or held[2] <= self._clock():
            return None
        return self._keep(self._sessions, held[0], job_id, SESSION_SECONDS)

    def caller(self, session: str, job_id: int) -> Caller | None:
        """Who it is; None where it is no session, or no longer one."""
        held = self._sessions.get(session)
        return held[0] if held is not None and held[1] == job_id and held[2] > self._clock() else None

    def end(self, session: str) -> None:
        """Forget it; it may be forgotten already."""
        self._sessions.pop(session, None)

    def _keep(
        self, place: OrderedDict[str, tuple[Caller, int, float]], caller: Caller, job_id: int, seconds: float
    ) -> str:
        secret = secrets.token_urlsafe(_BYTES)
        place[secret] = (caller, job_id, self._clock() + seconds)
        if len(place) > MOST:
            place.popitem(last=False)
        return secret
