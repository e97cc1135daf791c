"""Ids in a query's text become parameters where that means the same, and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from trainyard.edges.sql.errors import SqlError
from trainyard.edges.sql.lifting import LONGEST, lifted
from trainyard.edges.sql.session import SqlEngine
from trainyard.service.access import Caller

from .ground import Ground, T, W

_JOB = "SELECT name FROM google.aiplatform.custom_jobs WHERE "


def test_ids_become_parameters_of_the_same_width() -> None:
    """Two queries that differ in ids alone are one text, in which everything stays where it stood."""
    one, values = lifted(f"{_JOB}projectsId = 'p1' AND customJobsId='123' AND state = 'X' LIMIT 3", ())
    assert one == f"{_JOB}projectsId = $1   AND customJobsId=$2    AND state = 'X' LIMIT 3"
    assert values == ["p1", "123"]
    other, _ = lifted(f"{_JOB}projectsId = 'p2' AND customJobsId='456' AND state = 'X' LIMIT 3", ())
    assert other == one


def test_what_stands_in_a_string_stays_there() -> None:
    """A string that looks like an id's comparison is a string, wherever it ends."""
    text = f"{_JOB}displayName = 'projectsId = ' AND state = 'customJobsId = ' AND projectsId = 'p'"
    assert lifted(text, ()) == (text.removesuffix("'p'") + "$1 ", ["p"])


def test_the_tenth_id_is_left_in_the_text() -> None:
    """A number of two digits would not fit into the narrowest literal."""
    text, values = lifted(_JOB + " OR ".join(f"customJobsId = '{n}'" for n in range(11)), ())
    assert values == [str(n) for n in range(9)]
    assert text.endswith("customJobsId = $9  OR customJobsId = '9' OR customJobsId = '10'")


@pytest.mark.parametrize(
    "text",
    [
        "SELECT projectsId = 'p' FROM t",
        "SELECT count(*) FILTER (WHERE projectsId = 'p') AS n",
        "SELECT 'projectsId' FROM t WHERE projectsId = 'p'",
        "SELECT a FROM t WHERE projectsId = 'p' AND b IN (SELECT c FROM u WHERE projectsId = 'p')",
        "DELETE FROM t WHERE projectsId = 'p'",
        "EXPLAIN SELECT a FROM t WHERE projectsId = 'p'",
        _JOB + "projectsId = 'it''s'",
        _JOB + "projectsId = 'a\\'b'",
        _JOB + "projectsId = 'p' -- it's",
        _JOB + "projectsId = 'p' /* it's */",
        _JOB + "projectsId = 'p' # it's",
        _JOB + "projectsId = '{{ project }}'",
        _JOB + 'projectsId = "p"',
        _JOB + "projectsId = 'p'::text",
        _JOB + "projectsId = 'p' AND customJobsId = $1",
        _JOB + "projectsId = 'p' AND customJobsId = ?",
        _JOB + "projectsId = 'p' AND customJobsId = @id",
        _JOB + "projectsId = 'p\0'",
        _JOB + "projectsId = 'p' AND state = '" + "x" * LONGEST + "'",
    ],
)
def test_what_could_mean_anything_else_is_left_alone(text: str) -> None:
    """Other statements, quoting that needs a lexer, and parameters of the client's own."""
    assert tuple(lifted(text, ())) in ((text, ()), (text, []))


def test_a_clients_own_values_stay_as_they_are() -> None:
    """Numbers of parameters that a client gave are not shifted."""
    assert lifted(f"{_JOB}projectsId = 'p'", ("one",)) == (f"{_JOB}projectsId = 'p'", ("one",))


def test_a_query_with_other_ids_gives_other_rows(tmp_path: Path) -> None:
    """One text to the engine, and yet each id's own job, with names of columns as they are without it."""
    ground = Ground(tmp_path)
    for number in ("1", "2", "7", "3"):
        query = f"SELECT customJobsId, count(*) FROM {T} WHERE {W} AND customJobsId = '{number}'"
        told = ground.ask(query)
        assert told.names == ["customJobsId", "count(*)"]
        assert told.rows == ([(number, 1)] if number != "7" else [(None, 0)])


def test_what_was_refused_for_want_of_a_project_is_answered_once_there_is_one(tmp_path: Path) -> None:
    """A session that is told its project does not go by what it planned before."""
    ground = Ground(tmp_path)

    async def story() -> list[Sequence[object]]:
        engine = SqlEngine(ground.service, ground.data_dir)
        session = engine.session(Caller(), location="us-central1")
        query = f"SELECT customJobsId FROM {T} WHERE customJobsId = "
        try:
            with pytest.raises(SqlError, match="projectsId"):
                await session.run(f"{query}'1'")
            await session.run("SET project = 'p1'")
            results = [await session.run(f"{query}'{number}'") for number in (1, 2)]
            return [row for result in results async for row in result.rows]
        finally:
            await engine.close()

    assert asyncio.run(story()) == [("1",), ("2",)]
