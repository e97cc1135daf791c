"""INSERT, DELETE and EXEC on tables of the API: one call of the service a row, after all rows were checked."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from trainyard.contract import codec
from trainyard.core.errors import ApiError
from trainyard.edges.sql.answers import Answer, told
from trainyard.edges.sql.errors import TOO_MUCH, SqlError
from trainyard.edges.sql.faults import of_service
from trainyard.edges.sql.resources import Method, Resource
from trainyard.edges.sql.returning import returned
from trainyard.edges.sql.sources import request_for

if TYPE_CHECKING:
    from trainyard.edges.sql.lexer import Token
    from trainyard.edges.sql.runner import Runner

DESPATCHED: Final = "The operation was despatched successfully"
COMPLETED: Final = "The operation completed successfully"
MOST_ROWS: Final = 10_000
"""That one statement may write."""

_FINAL: Final = ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_EXPIRED")
_SHORTEST_PAUSE_SECONDS: Final = 0.02
_LONGEST_PAUSE_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Change:
    """One call to make: the ids of its path, and the body where it has one."""

    ids: Mapping[str, str]
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What a statement wants done: by which method, to which rows, whether to wait, and what to give back."""

    resource: Resource
    method: Method
    changes: Sequence[Change]
    awaits: bool = False
    items: Sequence[Token] = ()
    tag: str = "INSERT 0"


def carry_out(runner: Runner, order: Order) -> Answer:
    """Every call, one after the other. Raises SqlError that says which rows took effect."""
    if len(order.changes) > MOST_ROWS:
        hint = "Narrow it by WHERE or LIMIT, and repeat it for the rest."
        raise SqlError(
            TOO_MUCH, f"{len(order.changes):,} rows are more than one statement may write: {MOST_ROWS:,}.", hint=hint
        )
    work, resource, method = runner.work, order.resource, order.method
    requests = [request_for(method, change.ids, {}, change.body) for change in order.changes]
    answers: list[dict[str, Any]] = []
    for number, request in enumerate(requests):
        try:
            work.check()
            answers.append(codec.render(work.door.call(method.operation, request, work)))
        except (ApiError, SqlError) as error:
            raise _stopped_at(number, requests, answers, error) from None
    if order.awaits:
        answers = [
            _awaited(runner, resource, {**change.ids, **_own_id(resource, answer)}, answer)
            for change, answer in zip(order.changes, answers, strict=True)
        ]
    message = "" if not answers else COMPLETED if order.awaits else DESPATCHED
    full = [
        {**change.ids, **_own_id(resource, answer), **answer}
        for change, answer in zip(order.changes, answers, strict=True)
    ]
    if not order.items:
        return told(f"{order.tag} {len(answers)}", message)
    answer = returned(runner, resource, method.operation.response, full, order.items)
    return Answer(answer.columns, answer.rows, lambda count: f"{order.tag} {count}", message)


def _own_id(resource: Resource, answer: Mapping[str, Any]) -> dict[str, str]:
    name = str(answer.get("name", ""))
    return {resource.path[-1]: name.rpartition("/")[2]} if f"/{resource.collection}/" in name else {}


def _stopped_at(
    number: int, requests: Sequence[Any], answers: Sequence[Mapping[str, Any]], error: Exception
) -> SqlError:
    """The error of the row that was refused, with what became of the others."""
    found = of_service(error) if isinstance(error, ApiError) else error
    assert isinstance(found, SqlError)
    if len(requests) == 1:
        return found
    done = f"Rows 1 to {number} took effect" if number else "No row took effect"
    names = ", ".join(str(answer.get("name", "")) for answer in answers[:20])
    left = len(requests) - number - 1
    detail = f"{done}{': ' + names if names else ''}; row {number + 1} was refused; {left} after it were not tried."
    return SqlError(
        found.sqlstate,
        f"{found.message} (row {number + 1} of {len(requests)}; {detail})",
        hint=found.hint,
        detail=detail,
    )


def _awaited(runner: Runner, resource: Resource, ids: Mapping[str, str], answer: dict[str, Any]) -> dict[str, Any]:
    """The answer once the resource's state is final; a delete's operation is done when it is made."""
    get = next((each for each in resource.of_verb("SELECT") if each.name == "get"), None)
    stateless = all(column.name != "state" for column in resource.columns)
    if get is None or stateless or "done" in answer or not ids.keys() >= set(get.required):
        return answer
    work, pause, shown = runner.work, _SHORTEST_PAUSE_SECONDS, answer
    work.deadline = None
    while shown.get("state") not in _FINAL:
        work.check()
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)
        shown = codec.render(work.door.call(get.operation, request_for(get, ids, {}), work))
    return shown if "state" in answer else answer
