"""Whoever tried what has a line in the audit log, with how it ended, where there is such a log."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from trainyard.core.errors import ApiError

if TYPE_CHECKING:
    from trainyard.audit import AuditLog
    from trainyard.core.clock import Clock
    from trainyard.service.access import Caller

    Noted = Callable[[Caller, str, str], AbstractContextManager[None]]
    """`noted` of one audit log and clock."""

ANYONE: Final = "anyone"
"""Who asked, where nobody has to say who they are."""


def told(audit: AuditLog | None, clock: Clock, caller: Caller, what: str, resource: str, result: str) -> None:
    """Write a line: `what` is a permission-like verb (keys.rotate), `result` OK or a canonical code's name."""
    if audit is not None:
        audit.write(clock.now_us(), caller.name or ANYONE, what, resource, result, caller.address)


@contextlib.contextmanager
def noted(audit: AuditLog | None, clock: Clock, caller: Caller, what: str, resource: str) -> Iterator[None]:
    """What happens within is told when it has ended, however it ends."""
    result = "INTERNAL"
    try:
        yield
        result = "OK"
    except ApiError as error:
        result = error.code.name
        raise
    finally:
        told(audit, clock, caller, what, resource, result)
