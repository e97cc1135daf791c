"""Tickets and sessions: for one dashboard, for a time, and the first of them once."""

from __future__ import annotations

from trainyard.edges.dashboards import sessions
from trainyard.edges.dashboards.sessions import Sessions
from trainyard.service.access import Caller

UMA = Caller("uma")


class Clock:
    """Stands until it is moved."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_ticket_is_changed_once_and_where_it_belongs() -> None:
    """Neither at another job's dashboard, nor a second time, nor late."""
    clock = Clock()
    known = Sessions(clock)
    assert known.begin(known.ticket(UMA, 7), 8) is None
    assert known.begin("", 7) is None
    ticket = known.ticket(UMA, 7)
    session = known.begin(ticket, 7)
    assert session is not None
    assert session != ticket
    assert known.begin(ticket, 7) is None
    late = known.ticket(UMA, 7)
    clock.now += sessions.TICKET_SECONDS
    assert known.begin(late, 7) is None


def test_a_session_lasts_for_its_time_at_its_dashboard() -> None:
    """And may be ended before."""
    clock = Clock()
    known = Sessions(clock)
    first, second = (known.begin(known.ticket(UMA, 7), 7) or "" for _ in range(2))
    assert known.caller(first, 7) is UMA
    assert known.caller(first, 8) is None
    assert known.caller("", 7) is None
    known.end(second)
    known.end(second)
    assert known.caller(second, 7) is None
    clock.now += sessions.SESSION_SECONDS
    assert known.caller(first, 7) is None


def test_of_very_many_the_oldest_are_forgotten() -> None:
    """So that asking for tickets fills nobody's memory."""
    known = Sessions(Clock())
    first = known.ticket(UMA, 7)
    last = [known.ticket(UMA, 7) for _ in range(sessions.MOST)][-1]
    assert known.begin(first, 7) is None
    assert known.begin(last, 7) is not None
