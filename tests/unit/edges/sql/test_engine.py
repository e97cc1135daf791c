"""What a session keeps true besides the conformance cases: order, limits, isolation, kinds, streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from trainyard.core.jobs import Decision, Exit, ReplicaRecord
from trainyard.core.names import project_of
from trainyard.core.runs import Cause
from trainyard.core.states import Event
from trainyard.edges.sql import lexer, work
from trainyard.edges.sql.errors import SqlError
from trainyard.edges.sql.session import Column, Session, SqlEngine
from trainyard.service.access import Caller
from trainyard.service.access_roles import grants
from trainyard.store import LogLine

from .ground import T0, Ground, T, W


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


class ByProject:
    """Access as credentials give it: a role, in some projects."""

    def identify(self, authorization: str = "", api_key: str = "") -> Caller:
        return Caller()

    def may(self, caller: Caller, permission: str, resource: str) -> bool:
        return grants(caller.role, permission) and (caller.projects is None or project_of(resource) in caller.projects)


P1 = "353102999587"
VIEWER = Caller("val@example.com", "viewer", frozenset({P1}))
USER = Caller("uma@example.com", "user", None)


def in_session(ground: Ground, story: Callable[[Session], Awaitable[Any]], **more: Any) -> Any:
    """Tell a story in one session."""

    async def whole() -> Any:
        engine = SqlEngine(ground.service, ground.data_dir, timeout_seconds=ground.timeout_seconds)
        session = engine.session(Caller(), **more)
        try:
            return await story(session)
        finally:
            await engine.close()

    return asyncio.run(whole())


def test_a_caller_sees_their_projects_only(tmp_path: Path) -> None:
    """Another project is refused by name, and is not there where all are asked for; so is its history."""
    ground = Ground(tmp_path, ByProject())
    everywhere = "projectsId='-' AND locationsId='-'"
    assert len(ground.ask(f"SELECT name FROM {T} WHERE {everywhere}", caller=VIEWER).rows) == 3
    assert len(ground.ask(f"SELECT name FROM {T} WHERE {everywhere}", caller=USER).rows) == 4
    assert ground.ask(f"SELECT count(*) FROM {T} WHERE {everywhere}", caller=VIEWER).rows == [(3,)]
    other = W.replace("p1", "p2")
    for statement in (
        f"SELECT name FROM {T} WHERE {other}",
        f"SELECT name FROM {T} WHERE {other} AND customJobsId='4'",
        f"SELECT count(*) FROM {T} WHERE {other}",
        f"DELETE FROM {T} WHERE {other} AND customJobsId='4'",
    ):
        assert ground.refused(statement, caller=VIEWER).sqlstate == "42501"
    jobs = ground.ask("SELECT DISTINCT job FROM trainyard.history WHERE projectsId='-'", caller=VIEWER).rows
    assert {job.split("/")[1] for (job,) in jobs} == {P1}
    assert ground.ask("SELECT count(*) FROM trainyard.history WHERE projectsId='p2'", caller=VIEWER).rows == [(0,)]


def test_who_may_not_create_sees_no_secrets(tmp_path: Path) -> None:
    """Values of environment variables are hidden in every way to ask for them."""
    ground = Ground(tmp_path, ByProject())
    for where in (W, f"{W} AND customJobsId='1'", f"{W} AND pageSize=2"):
        for columns in ("jobSpec", "*", "json_extract(jobSpec, '$')"):
            shown = str(ground.ask(f"SELECT {columns} FROM {T} WHERE {where}", caller=VIEWER).rows)
            assert "TOKEN" in shown
            assert "secret" not in shown
    assert "secret" in str(ground.ask(f"SELECT jobSpec FROM {T} WHERE {W}", caller=USER).rows)


def test_views_are_their_owners_and_stay(tmp_path: Path) -> None:
    """They are there in the next session (of the next server, too), and in nobody else's."""
    ground = Ground(tmp_path, ByProject())
    ground.ask(
        f"CREATE VIEW mine AS SELECT name FROM {T} WHERE {W}", "CREATE TABLE t AS SELECT * FROM mine", caller=VIEWER
    )
    again = Ground(tmp_path, ByProject())
    assert len(again.ask("SELECT * FROM mine", caller=VIEWER).rows) == 3
    assert len(again.ask("SELECT * FROM t", caller=VIEWER).rows) == 3
    for other in (USER, Caller(VIEWER.name, "viewer", frozenset({"1"})), Caller(VIEWER.name, "user", VIEWER.projects)):
        assert again.refused("SELECT * FROM t", caller=other).sqlstate == "42P01"
    assert oct((tmp_path / "sql").stat().st_mode)[-3:] == "700"


def test_rows_stream_in_parts(ground: Ground) -> None:
    """Only what is taken is read, the rest when it is asked for; the tag counts all of it."""
    ground.many(5000, "p5")

    async def story(session: Session) -> None:
        result = await session.run(f"SELECT name FROM {T} WHERE projectsId='p5' AND locationsId='us-central1'")
        sizes = [len(batch) async for batch in result.batches()]
        assert sum(sizes) == 5000
        assert max(sizes) <= 2000
        assert result.tag == "SELECT 5000"
        left = await session.run(f"SELECT name FROM {T} WHERE projectsId='p5' AND locationsId='us-central1'")
        await session.run("SELECT 1")
        assert sum([len(batch) async for batch in left.batches()]) == 200

    in_session(ground, story)


def test_large_rows_come_in_small_parts(ground: Ground) -> None:
    """What is on its way at a time is bounded in characters as well."""

    async def story(session: Session) -> None:
        result = await session.run(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 40) "
            "SELECT hex(zeroblob(1000000)) FROM n"
        )
        assert [len(batch) async for batch in result.batches()] == [3] * 13 + [1]

    in_session(ground, story)


def test_a_value_can_be_too_large(ground: Ground) -> None:
    """Memory is bounded: 54000."""
    assert ground.refused("SELECT zeroblob(100000000)").sqlstate == "54000"


def test_two_sessions_do_not_wait_for_each_other(ground: Ground) -> None:
    """One sleeps, the other answers."""

    async def story() -> None:
        engine = SqlEngine(ground.service, ground.data_dir)
        one, other = engine.session(Caller()), engine.session(Caller())
        await one.run("SELECT 1")
        sleeping = asyncio.ensure_future(one.run("SLEEP 50000"))
        await other.run("SELECT 1")
        assert not sleeping.done()
        one.cancel()
        with pytest.raises(SqlError):
            await sleeping
        await engine.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("statement", "parameters", "columns"),
    [
        ("SELECT $1 AS a, count(*) AS n", 1, [("a", "text"), ("n", "bigint")]),
        (f"SELECT name, jobSpec, satisfiesPzi FROM {T} WHERE projectsId=$1 AND locationsId=$2", 2,
         [("name", "text"), ("jobSpec", "json"), ("satisfiesPzi", "boolean")]),
        (f"INSERT INTO {T}(projectsId) VALUES ($1) RETURNING name, state", 1, [("name", "text"), ("state", "text")]),
        (f"DELETE FROM {T} WHERE projectsId=? AND locationsId=? AND customJobsId=?", 3, None),
        ("SHOW PROVIDERS", 0, [("name", "text"), ("version", "text")]),
        ("BEGIN", 0, None),
        ("SELECT 1.5 AS d, 'x' AS t, 1=1 AS b, avg(1) AS a", 0,
         [("d", "double"), ("t", "text"), ("b", "bigint"), ("a", "double")]),
    ],
)  # fmt: skip
def test_statements_are_described_before_they_run(
    ground: Ground, statement: str, parameters: int, columns: list[tuple[str, str]] | None
) -> None:
    """How many values they take, what columns they give; nothing is called."""

    async def story(session: Session) -> None:
        told = await session.describe(statement)
        assert told.parameters == parameters
        assert told.columns == (None if columns is None else tuple(Column(*column) for column in columns))

    in_session(ground, story)
    assert ground.calls == []


def test_parameters_are_values(ground: Ground) -> None:
    """By number or in order; they never become SQL."""
    assert ground.rows(
        f"SELECT displayName FROM {T} WHERE projectsId=$1 AND locationsId=$2 AND displayName=$3",
        "p1",
        "us-central1",
        "it's",
    ) == [("it's",)]
    assert ground.rows("SELECT ?, ?", 1, "'; DROP TABLE x") == [(1, "'; DROP TABLE x")]


def test_defaults_of_a_session_stand_in(ground: Ground) -> None:
    """Project and location need not be named where the session has them; SET gives and takes them."""

    async def story(session: Session) -> None:
        for statement, count in (
            (f"SELECT name FROM {T}", 3),
            (f"SELECT name FROM {T} WHERE projectsId='p2'", 1),
            ("SET project = 'p2'", 0),
            (f"SELECT name FROM {T}", 1),
        ):
            result = await session.run(statement)
            assert len([row async for row in result.rows]) == count

    in_session(ground, story, project="p1", location="us-central1")


def test_a_join_reads_each_side_once(ground: Ground) -> None:
    """However many rows the outer side has."""
    ground.many(300, "p5")
    here = "x.projectsId='p5' AND y.projectsId='p5' AND locationsId='us-central1'"
    query = f"SELECT count(x.name) FROM {T} x JOIN {T} y ON x.name = y.name WHERE {here}"
    assert ground.one(query) == 300
    told = ground.ask(f"EXPLAIN ANALYZE {query}").dicts
    assert sum(step["calls"] or 0 for step in told) <= 4


@pytest.mark.parametrize(
    "joined", ["x.displayName = y.displayName", "x.createTime = y.createTime", "x.jobSpec = y.jobSpec"]
)
def test_joins_are_what_they_are_without_our_help(ground: Ground, joined: str) -> None:
    """The same pairs as SQLite finds in tables of its own."""
    ground.many(50, "p5")
    both = "projectsId='-' AND locationsId='-'"
    ours = ground.rows(f"SELECT x.name, y.name FROM {T} x JOIN {T} y ON {joined} WHERE {both}")
    copied = ground.ask(
        f"CREATE TEMP TABLE c AS SELECT * FROM {T} WHERE {both}", f"SELECT x.name, y.name FROM c x JOIN c y ON {joined}"
    )
    assert sorted(ours) == sorted(copied.rows)
    assert ours


COUNTS = (
    "SELECT count(*) FROM {t} WHERE {w}",
    "SELECT state, count(*) AS n FROM {t} WHERE {w} GROUP BY state HAVING count(*) > 0 ORDER BY count(*) DESC, state",
    "SELECT displayName, state, count(*) FROM {t} WHERE {w} GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT labels->>'team' AS team, count(*), count(DISTINCT state), max(createTime) FROM {t} WHERE {w} GROUP BY team",
    "SELECT json_extract(jobSpec,'$.workerPoolSpecs[0].machineSpec.machineType') AS m, count(*) FROM {t} WHERE {w} "
    "GROUP BY m ORDER BY m",
    "SELECT count(*), count(error) FROM {t} WHERE {w}",
    "SELECT count(*) + 1 FROM {t} j WHERE {w} AND state <> 'JOB_STATE_FAILED'",
    "SELECT sum(length(displayName)), count(*) FROM {t} WHERE {w}",
    "SELECT count(*) FROM {t} WHERE {w} AND customJobsId = '1'",
    "SELECT count(*) FROM {t} WHERE {w} AND state = 'nothing'",
)


@pytest.mark.parametrize("query", COUNTS)
def test_counts_are_those_of_the_rows(ground: Ground, query: str) -> None:
    """Whoever counts, the store or SQLite."""
    ground.many(40)
    copied = ground.ask(
        f"CREATE TEMP TABLE c AS SELECT *, projectsId, locationsId, customJobsId FROM {T} WHERE {W}",
        query.format(t="c", w="1"),
    )
    assert ground.rows(query.format(t=T, w=W)) == copied.rows


def test_history_attempts_and_replicas(ground: Ground) -> None:
    """Of a project, joined with the jobs: states with reasons, tries with times, ends with exit codes."""
    job = ground.job(2)
    assert job is not None
    record = ReplicaRecord(1, "workerpool0-0", 0, Exit(Cause.EXITED, 3, peak_memory_bytes=7_000, cpu_seconds=1.5))
    decision = Decision(job.status, records=(record,)).moved(Event.RETRIED, T0, "It will be tried again.")
    job = asyncio.run(ground.store.commit(job, decision))
    assert job is not None
    asyncio.run(ground.store.commit(job, Decision(job.status).moved(Event.FAILED, T0 + 5, "It failed for good.")))
    rows = ground.rows(
        f"SELECT j.displayName, h.fromState, h.toState, h.why FROM {T} j JOIN trainyard.history h ON h.job = j.name "
        f"WHERE {W} AND j.customJobsId = '2'"
    )
    assert rows[1:] == [
        ("b", "JOB_STATE_RUNNING", "JOB_STATE_PENDING", "It will be tried again."),
        ("b", "JOB_STATE_PENDING", "JOB_STATE_FAILED", "It failed for good."),
    ]
    (tried,) = ground.ask("SELECT * FROM trainyard.attempts WHERE projectsId='p1' AND jobsId='2'").dicts
    assert (tried["attempt"], tried["outcome"], tried["why"]) == (1, "JOB_STATE_FAILED", "It failed for good.")
    (replica,) = ground.ask("SELECT * FROM trainyard.replicas WHERE projectsId='p1'").dicts
    assert (replica["exitCode"], replica["peakMemoryBytes"], replica["cpuSeconds"], replica["cause"]) == (
        3,
        7000,
        1.5,
        "exited",
    )
    assert replica["host"]
    assert ground.rows("SELECT count(*) FROM trainyard.replicas WHERE projectsId='p2'") == [(0,)]


def test_log_lines(ground: Ground) -> None:
    """Time, replica, severity, text; of a project or of one job, and joined with the jobs."""
    from trainyard.core.jobs import Severity

    for job_id in (1, 2):
        ground.logbook.lines[job_id] = [
            LogLine(T0 + n, "workerpool0-0", 1, "stdout", Severity.INFO, f"line {n} of {job_id}") for n in range(3)
        ]
    ground.logbook.lines[2].append(LogLine(T0, "workerpool0-1", 1, "stderr", Severity.ERROR, '{"a":1}', {"a": 1}))
    assert ground.one("SELECT count(*) FROM trainyard.logs WHERE projectsId='p1'") == 7
    rows = ground.rows(
        f"SELECT j.displayName, l.task, l.payload->>'a' FROM {T} j JOIN trainyard.logs l ON l.job = j.name "
        f"WHERE {W} AND l.severity = 'ERROR'"
    )
    assert rows == [("b", "workerpool0-1", 1)]


def test_watch_tells_what_changes(ground: Ground) -> None:
    """Rows first, then what comes and goes, until it is cancelled."""

    async def story(session: Session) -> None:
        result = await session.run(f"WATCH SELECT displayName, state FROM {T} WHERE {W} AND customJobsId = '2'")
        assert result.columns is not None
        assert [column.name for column in result.columns] == ["change", "displayName", "state"]
        seen: list[Any] = []
        async for row in result.rows:
            seen.append(row)
            if len(seen) == 1:
                job = ground.job(2)
                assert job is not None
                decision = Decision(job.status).moved(Event.SUCCEEDED, T0, "done")
                assert await ground.store.commit(job, decision)
            if len(seen) == 3:
                break
        await result.close()
        assert seen == [
            ("+", "b", "JOB_STATE_RUNNING"),
            ("-", "b", "JOB_STATE_RUNNING"),
            ("+", "b", "JOB_STATE_SUCCEEDED"),
        ]
        assert [row async for row in (await session.run("SELECT 1")).rows] == [(1,)]

    in_session(ground, story)


def test_transactions_are_of_own_tables(ground: Ground) -> None:
    """What was written to them since BEGIN is undone by ROLLBACK; COMMIT without BEGIN does no harm."""
    told = ground.ask_all(
        "CREATE TABLE t(a)", "BEGIN", "INSERT INTO t VALUES (1)", "ROLLBACK", "COMMIT", "INSERT INTO t VALUES (2), (3)",
        "UPDATE t SET a = 5 WHERE a = 3", "DELETE FROM t WHERE a = 2", "SELECT a FROM t",
    )  # fmt: skip
    assert told[-1].rows == [(5,)]
    assert [each.tag for each in told[5:8]] == ["INSERT 0 2", "UPDATE 1", "DELETE 1"]
    assert told[5].message == "insert into table completed"


def test_use_makes_names_shorter(ground: Ground) -> None:
    """USE google; then two parts are enough."""
    assert len(ground.ask("USE google", f"SELECT name FROM aiplatform.custom_jobs WHERE {W}").rows) == 3
    assert ground.refused("USE aws").sqlstate == "42P01"


@pytest.mark.parametrize(
    ("statement", "sqlstate", "words"),
    [
        ("SELEKT 1", "42601", "syntax error at or near 'SELEKT'"),
        ("SELECT 1 FROM", "42601", "syntax error"),
        ("SELECT nope FROM (SELECT 1)", "42703", 'column "nope" does not exist'),
        ("SELECT * FROM nope", "42P01", 'relation "nope" does not exist'),
        ("SELECT * FROM google.aiplatform.custom_job", "42P01", "There is no table"),
        ("SELECT * FROM google.storage.buckets", "42P01", "There is no table"),
        (f"SELECT name FROM {T} WHERE projectsId='P 1' AND locationsId='us-central1'", "22023", "project"),
        ("SELECT regexp_like('a', '(')", "22023", "is not a regular expression"),
        ("INSERT INTO google.aiplatform.nas_trial_details(name) VALUES ('x')", "0A000", "can't be inserted into"),
        (f"INSERT INTO {T}(state) VALUES ('x')", "42703", "the service sets this field"),
        ("EXPLAIN DELETE FROM x", "0A000", "EXPLAIN takes a query"),
        ("DROP VIEW nope", "42P01", "nope"),
        ("CREATE TABLE google.aiplatform.mine(a)", "0A000", "without a dot"),
        ("SET statement_timeout = 'soon'", "22023", "is not a time"),
        ("SLEEP soon", "22023", "milliseconds"),
    ],
)
def test_errors_say_what_and_how_on(ground: Ground, statement: str, sqlstate: str, words: str) -> None:
    """A code for programs, a sentence for people."""
    error = ground.refused(statement)
    assert error.sqlstate == sqlstate
    assert words in error.message


def test_a_type_error_names_the_column(ground: Ground) -> None:
    """And nothing is created."""
    into = f"INSERT INTO {T}(projectsId, locationsId, displayName, labels, jobSpec) VALUES ('p1','us-central1','x',"
    assert ground.refused(f"{into} 'no json', '{{}}')").message.startswith("labels: this is not JSON")
    assert ground.refused(f"{into} '{{}}', '[]')").message.startswith("jobSpec: an object is expected here")
    wrong = json.dumps({"workerPoolSpecs": [{"machineSpec": {"acceleratorCount": "many"}}]})
    assert "accelerator_count" in ground.refused(f"{into} '{{}}', '{wrong}')").message
    assert len(ground.names()) == 5


def test_a_pattern_cannot_hold_the_server(ground: Ground) -> None:
    """The classic one answers at once."""
    assert ground.one(f"SELECT regexp_like('{'a' * 5000}b', '(a+)+$')") == 0
    assert ground.one("SELECT regexp_replace('a1b22', '[0-9]+', '#')") == "a#b#"
    assert ground.one("SELECT regexp_substr('a1b22', '[0-9]{2}')") == "22"


@pytest.mark.parametrize("op", ["<", "<=", ">", ">=", "="])
@pytest.mark.parametrize(
    "text",
    ["2023", "2023-11-14", "2023-11-14T22:13:22Z", "2023-11-14T22:13:22", "2023-11-14T22:13", "2023-11-14 22:13:22",
     "2023-11-14T22:13:21.5Z", "2023-11-14T22:13:2", "2023-13-77",
     "nonsense", "9999-12-31", "2023-11-14T22:13:23+02:00"],
)  # fmt: skip
def test_ranges_of_times_leave_nothing_out(ground: Ground, op: str, text: str) -> None:
    """The store looks for the range; what is compared is the text."""
    where = f"createTime {op} '{text}'"
    copied = ground.ask(f"CREATE TEMP TABLE c AS SELECT * FROM {T} WHERE {W}", f"SELECT name FROM c WHERE {where}")
    assert ground.rows(f"SELECT name FROM {T} WHERE {W} AND {where}") == copied.rows


def test_a_range_of_times_is_looked_for(ground: Ground) -> None:
    """Jobs outside of it are not read."""
    (step, _) = ground.ask(
        f"EXPLAIN ANALYZE SELECT name FROM {T} WHERE {W} AND createTime >= '2023-11-14T22:13:23Z'"
    ).dicts
    assert (step["looked_for"], step["rows"]) == (">createTime", 1)


def test_what_a_join_keeps_is_bounded(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the statement ends, with a way out."""
    monkeypatch.setattr(work, "MOST_HELD", 100)
    ground.many(300, "p5")
    both = "projectsId='p5' AND locationsId='us-central1'"
    error = ground.refused(f"SELECT count(*) FROM {T} x JOIN {T} y ON x.name = y.name WHERE {both}")
    assert error.sqlstate == "54000"
    assert "CREATE TABLE" in error.hint


def test_a_statement_has_an_end(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """More words than anybody writes are refused before they are kept."""
    monkeypatch.setattr(lexer, "MOST_TOKENS", 100)
    assert ground.refused(f"SELECT {','.join('1' * 60)}").sqlstate == "54000"


def test_what_nobody_foresaw_is_told_by_its_number(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has the reason, the client an id; the session goes on."""

    def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr("trainyard.edges.sql.shows.registry", broken)
    error = ground.refused("REGISTRY LIST")
    assert "error id" in error.message
    assert "a defect" not in error.message
    assert "a defect" in caplog.text
    assert ground.one("SELECT 1") == 1


def test_every_condition_counts_whichever_way_a_row_comes(ground: Ground) -> None:
    """By get, by get of what only it tells, by list, page by page: the same rows."""
    nas = f"SELECT name FROM google.aiplatform.nas_jobs WHERE {W} AND nasJobsId = '9'"
    for more, count in (
        ("state = 'JOB_STATE_RUNNING'", 1),
        ("state = 'JOB_STATE_FAILED'", 0),
        ("state = 'JOB_STATE_FAILED' AND nasJobOutput IS NOT NULL", 0),
        ("state = 'JOB_STATE_RUNNING' AND nasJobOutput IS NOT NULL", 1),
        ("state IN ('JOB_STATE_FAILED', 'JOB_STATE_RUNNING') AND displayName = 'search'", 1),
        ("displayName = 'other' AND nasJobOutput IS NOT NULL", 0),
        ("filter = 'state=JOB_STATE_RUNNING'", 1),
        ("filter = 'state=JOB_STATE_FAILED'", 0),
        ("pageSize = 1 AND state = 'JOB_STATE_RUNNING'", 1),
        ("pageSize = 1 AND state = 'JOB_STATE_FAILED'", 0),
        ("enableRestrictedImageTraining = true", 0),
    ):
        assert len(ground.rows(f"{nas} AND {more}")) == count, more
    masked = f"SELECT displayName, state FROM {T} WHERE {W} AND readMask = 'displayName'"
    assert ground.rows(f"{masked} AND displayName = 'b'") == [("b", None)]


def test_a_set_may_be_empty(ground: Ground) -> None:
    """`IN` over a subquery that gives nothing, written in the statement or in a view."""
    empty = f"SELECT name FROM {T} WHERE {W} AND displayName IN (SELECT 'x' WHERE 0)"
    assert ground.rows(empty) == []
    assert ground.ask(f"CREATE VIEW e AS {empty}", "SELECT * FROM e").rows == []
    assert ground.rows(f"SELECT name FROM {T} WHERE {W} AND customJobsId IN (SELECT 'x' WHERE 0)") == []


def test_or_gives_each_row_once(ground: Ground) -> None:
    """Whichever side of it a row comes by, and by however many."""
    both = "locationsId='us-central1'"
    for where, count in (
        (f"{W} AND (displayName = 'a' OR state = 'JOB_STATE_SUCCEEDED')", 1),
        (f"{W} AND (displayName = 'b' OR state = 'JOB_STATE_FAILED')", 2),
        (f"(projectsId='p1' AND {both}) OR (projectsId='p2' AND {both} AND displayName = 'a')", 4),
        (
            f"{W} AND ((customJobsId = '1' AND state <> 'x') OR (customJobsId = '2' AND state <> 'y') "
            "OR displayName = 'b')",
            2,
        ),
        (f"{W} AND ((customJobsId = '1' AND state <> 'x') OR (customJobsId = '2' AND state <> 'y'))", 2),
    ):
        assert len(ground.rows(f"SELECT name FROM {T} WHERE {where}")) == count, where
        assert ground.one(f"SELECT count(*) FROM {T} WHERE {where}") == count, where
    nas = "google.aiplatform.nas_trial_details"
    assert len(ground.rows(f"SELECT name FROM {nas} WHERE {W} AND (nasJobsId='9' OR nasJobsId='9')")) == 2
    history = "SELECT why FROM trainyard.history WHERE projectsId='p1' AND (jobsId='1' OR job LIKE '%/2' OR jobsId='2')"
    assert len(ground.rows(history)) == 2
