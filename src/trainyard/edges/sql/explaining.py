"""EXPLAIN: the calls of the service that a query comes to; EXPLAIN ANALYZE: what they came to."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from trainyard.edges.sql.answers import Answer, table
from trainyard.edges.sql.clauses import Reader
from trainyard.edges.sql.errors import NOT_SUPPORTED, SqlError
from trainyard.edges.sql.plans import DEFAULT, ROWS, Plan, plan_from
from trainyard.edges.sql.queries import planned

if TYPE_CHECKING:
    from trainyard.edges.sql.lexer import Token
    from trainyard.edges.sql.runner import Runner

_READ: Final = re.compile(r"VIRTUAL TABLE INDEX \d+:(\[.*\])", re.DOTALL)
_COMPARED: Final = ("=", "<", ">")
PLANNED: Final = "Execution plan generated successfully"
_NAMES: Final = ("table", "call", "parameters", "looked_for", "columns")


def explain(runner: Runner, tokens: Sequence[Token], parameters: Sequence[Any]) -> Answer:
    """One row for each table that is read, in order, and for each step of SQLite's own. Raises SqlError."""
    reader = Reader(tokens)
    reader.need("EXPLAIN")
    analyze = reader.take("ANALYZE", "ANALYSE")
    query = reader.rest()
    if not query or not query[0].is_word("SELECT", "WITH", "VALUES"):
        raise SqlError(NOT_SUPPORTED, "EXPLAIN takes a query: SELECT, WITH or VALUES.")
    text = planned(runner, query)
    if analyze:
        return _analyzed(runner, text, parameters)
    steps = [row[-1] for row in runner.execute(f"EXPLAIN QUERY PLAN {text}", parameters)]
    rows = [_row(step) for step in steps]
    if any(call == "" for _, call, *_ in rows):
        runner.execute(text, parameters).fetchall()  # it is refused, and says what is missing; or it reads nothing
    return table(_NAMES, rows, "EXPLAIN", PLANNED)


def _row(step: str) -> tuple[str | None, ...]:
    found = _READ.search(step)
    return _of_plan(plan_from(found[1])) if found else (None, step, None, None, None)


def _of_plan(plan: Plan) -> tuple[str | None, ...]:
    parameters = [name.removeprefix(DEFAULT) for name in plan.arguments if not name.startswith(_COMPARED)]
    looked_for = [name.removeprefix("=") for name in plan.arguments if name.startswith(_COMPARED)]
    columns = ["count of equal rows" if name == ROWS else name for name in plan.used]
    return plan.table, plan.method, ", ".join(parameters), ", ".join(looked_for) or None, ", ".join(columns)


def _analyzed(runner: Runner, text: str, parameters: Sequence[Any]) -> Answer:
    started = time.monotonic()
    count = sum(1 for _ in runner.execute(text, parameters))
    milliseconds = (time.monotonic() - started) * 1000
    names = ("table", "call", "parameters", "looked_for", "columns", "calls", "pages", "rows", "milliseconds")
    return table(
        names,
        [*_measured(runner), (None, "whole query", None, None, None, None, None, count, milliseconds)],
        "EXPLAIN",
        PLANNED,
    )


def _measured(runner: Runner) -> Iterator[tuple[Any, ...]]:
    for scan in runner.work.scans:
        parameters = [name.removeprefix(DEFAULT) for name in scan.arguments if not name.startswith(_COMPARED)]
        looked_for = [name.removeprefix("=") for name in scan.arguments if name.startswith(_COMPARED)]
        yield (
            scan.table, scan.method, ", ".join(parameters), ", ".join(looked_for) or None, ", ".join(scan.columns),
            scan.calls, scan.pages, scan.rows, None,
        )  # fmt: skip
