"""Whatever is asked, the answer is what SQLite gives over a plain copy of the same rows."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from trainyard.core.states import JobState
from trainyard.edges.sql.session import Session, SqlEngine
from trainyard.service.access import Caller

from .ground import Ground, T, W

STATES = ["JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_RUNNING", "JOB_STATE_QUEUED", "nothing"]
NAMES = ["a", "b", "it''s", "n1", "n2", ""]
IDS = ["1", "2", "3", "11", "17", "x", "99"]
TIMES = ["2023-11-14T22:13:22Z", "2023-11-14T22:13:31Z", "2023-11-14", "2024"]
COLUMNS = ["name", "displayName", "state", "createTime", "endTime", "error", "labels", "jobSpec", "customJobsId"]


def quoted(values: list[str]) -> str:
    return ", ".join(f"'{value}'" for value in values)


def compared(column: str, values: list[str]) -> st.SearchStrategy[str]:
    """The column beside some of these values, in one of SQL's ways."""
    one = st.sampled_from(values)
    some = st.lists(one, min_size=1, max_size=3).map(quoted)
    return (
        st.builds(lambda op, value: f"{column} {op} '{value}'", st.sampled_from(["=", "<>", "<", ">=", "LIKE"]), one)
        | some.map(lambda listed: f"{column} IN ({listed})")
        | some.map(lambda listed: f"{column} NOT IN ({listed})")
        | st.just(f"{column} IS NULL")
    )


LEAVES = (
    compared("state", STATES)
    | compared("displayName", NAMES)
    | compared("customJobsId", IDS)
    | compared("createTime", TIMES)
    | compared("endTime", TIMES)
    | compared("labels->>'team'", ["x", "y", "t1"])
    | st.sampled_from(["satisfiesPzi = false", "error IS NOT NULL", "length(name) > 5", "1", "0"])
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(lambda op, x, y: f"({x} {op} {y})", st.sampled_from(["AND", "OR"]), inner, inner)
        | inner.map(lambda x: f"NOT ({x})")
    ),
    max_leaves=5,
)
SHAPES = [
    "SELECT {columns} FROM {t} WHERE {w} AND {condition} ORDER BY name",
    "SELECT count(*), count(error), max(createTime) FROM {t} WHERE {w} AND {condition}",
    "SELECT state, count(*) AS n FROM {t} WHERE {w} AND {condition} GROUP BY state ORDER BY state",
    "SELECT DISTINCT displayName FROM {t} WHERE {w} AND {condition} ORDER BY 1 LIMIT 3",
    "SELECT x.name, y.name FROM {t} x JOIN {t} y ON x.displayName = y.displayName AND x.state = y.state "
    "WHERE {xw} AND {yw} AND {xcondition} ORDER BY 1, 2",
    "SELECT x.name, y.state FROM {t} x LEFT JOIN {t} y ON y.customJobsId = x.customJobsId AND {yw} "
    "AND y.state <> x.state WHERE {xw} AND {xcondition} ORDER BY 1, 2",
    "SELECT name FROM {t} WHERE {w} AND displayName IN (SELECT displayName FROM {t} WHERE {w} AND {condition}) "
    "ORDER BY 1",
    "SELECT name FROM {t} o WHERE {w} AND EXISTS (SELECT 1 FROM {t} i WHERE {iw} AND i.displayName = o.displayName "
    "AND i.name > o.name) AND {condition} ORDER BY 1",
]


def of(alias: str, condition: str) -> str:
    """The condition with its columns of that table."""
    for column in (
        "state",
        "displayName",
        "customJobsId",
        "createTime",
        "endTime",
        "labels",
        "satisfiesPzi",
        "error",
        "name",
    ):
        condition = condition.replace(column, f"{alias}.{column}")
    return condition


def question(shape: str, columns: str, condition: str, *, ours: bool) -> str:
    """The statement over our table, or over the copy."""
    w = W if ours else "1"
    places = {
        f"{alias}w": " AND ".join(f"{alias}.{part}" for part in W.split(" AND ")) if ours else "1" for alias in "xyi"
    }
    return shape.format(
        t=T if ours else "copied", w=w, columns=columns, condition=condition, xcondition=of("x", condition), **places
    )


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """Twenty jobs in four states."""
    ground = Ground(tmp_path)
    states = [JobState.SUCCEEDED, JobState.FAILED, JobState.QUEUED, JobState.RUNNING]
    for number in range(10, 27):
        ground.add(number, states[number % 4], f"n{number % 3}", {"team": f"t{number % 2}"} if number % 2 else {})
    return ground


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.sampled_from(SHAPES),
    columns=st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=4, unique=True).map(", ".join),
    condition=CONDITIONS,
)
def test_answers_are_sqlites(ground: Ground, shape: str, columns: str, condition: str) -> None:
    """With all that is pushed down, joined, counted and remembered."""

    async def rows(session: Session, statement: str) -> list[Any]:
        return [row async for row in (await session.run(statement)).rows]

    async def story() -> None:
        engine = SqlEngine(ground.service, ground.data_dir)
        session = engine.session(Caller())
        await rows(session, f"CREATE TEMP TABLE copied AS SELECT *, customJobsId FROM {T} WHERE {W}")
        note(question(shape, columns, condition, ours=True))
        ours = await rows(session, question(shape, columns, condition, ours=True))
        theirs = await rows(session, question(shape, columns, condition, ours=False))
        await engine.close()
        assert ours == theirs

    asyncio.run(story())
