"""Conformance: the cases of SHOW, DESCRIBE, EXPLAIN, refusals and limits, by their numbers."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path

import pytest

from trainyard.edges.sql.errors import SqlError
from trainyard.edges.sql.session import SqlEngine
from trainyard.service.access import Caller

from .ground import Ground, T, W, pools


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def test_case_64_show_methods(ground: Ground) -> None:
    """All five, with verbs and parameters."""
    told = ground.ask(f"SHOW METHODS IN {T}")
    assert told.names == ["MethodName", "RequiredParams", "SQLVerb"]
    three, two = "customJobsId, locationsId, projectsId", "locationsId, projectsId"
    assert told.rows == [
        ("get", three, "SELECT"),
        ("list", two, "SELECT"),
        ("create", two, "INSERT"),
        ("delete", three, "DELETE"),
        ("cancel", three, "EXEC"),
    ]
    assert ground.ask(f"SHOW EXTENDED METHODS IN {T}").names[-1] == "description"


def test_case_65_show_resources(ground: Ground) -> None:
    """Those whose name is like this."""
    told = ground.ask("SHOW RESOURCES IN google.aiplatform LIKE '%nas%'")
    assert [row[0] for row in told.rows] == ["nas_jobs", "nas_trial_details"]
    assert told.names == ["name", "id"]


def test_case_66_describe(ground: Ground) -> None:
    """Fourteen fields; EXTENDED says what they are."""
    told = ground.ask(f"DESCRIBE {T}")
    assert (len(told.rows), told.names) == (14, ["name", "type"])
    types = dict(told.rows)
    assert (types["jobSpec"], types["satisfiesPzi"], types["createTime"]) == ("object", "boolean", "string")
    extended = ground.ask(f"DESCRIBE EXTENDED {T}")
    assert extended.names == ["name", "type", "description"]
    assert all(row[2] for row in extended.rows)


def test_case_67_describe_method(ground: Ground) -> None:
    """What it takes and what it gives."""
    told = ground.ask(f"DESCRIBE METHOD {T}.create")
    assert told.names == ["name", "type", "param_type", "shape"]
    kinds = {row[0]: row[2] for row in told.rows}
    assert (kinds["projectsId"], kinds["locationsId"], kinds["name"]) == ("input_required", "input_required", "output")
    assert kinds["data__jobSpec"] == "input_required"
    for row in told.rows:
        assert json.loads(row[3])["type"] == row[1]


@pytest.mark.parametrize("required", ["", "/*+ REQUIRED */"])
def test_case_68_69_show_insert(ground: Ground, required: str) -> None:
    """A statement that runs once it is filled in; with REQUIRED it has fewer columns."""
    text = ground.ask(f"SHOW INSERT {required} INTO {T}").rows[0][0]
    head, _, statement = text.partition(">>>\n")
    assert head.startswith("<<<jsonnet\n{")
    values = {
        "projectsId": "p1",
        "locationsId": "us-central1",
        "displayName": "filled",
        "jobSpec": json.dumps(pools("n1-standard-4")),
    }
    names = re.findall(r"\{\{ \.values\.(\w+) \}\}", statement)
    assert ("labels" in names) == (not required)
    ground.ask(re.sub(r"\{\{ \.values\.(\w+) \}\}", lambda found: values.get(found[1], ""), statement))
    assert ground.names()[-1] == "filled"


def test_case_70_providers_and_versions(ground: Ground) -> None:
    """One provider: this server."""
    version = r"v?\d+\.\d+\.\d+.*"
    told = ground.ask("SHOW PROVIDERS")
    assert told.names == ["name", "version"]
    assert told.rows[0][0] == "google"
    assert re.fullmatch(
        r"google provider, version '.+' successfully installed", ground.ask("REGISTRY PULL google").message
    )
    assert ground.ask("REGISTRY LIST google").names == ["provider", "versions"]
    assert ground.ask("REGISTRY LIST").names == ["provider", "version"]
    assert re.fullmatch(version, ground.one("SHOW VERSION"))
    assert ground.ask("SHOW SERVICES IN google").rows[0][1] == "aiplatform"


def test_case_71_explain(ground: Ground) -> None:
    """The calls of the service; a statement that cannot run is refused like without EXPLAIN."""
    told = ground.ask(f"EXPLAIN SELECT displayName FROM {T} WHERE {W} AND state='JOB_STATE_FAILED'")
    assert told.message == "Execution plan generated successfully"
    (step,) = told.dicts
    assert (step["table"], step["call"], step["looked_for"]) == (T, "list", "state")
    assert ground.calls == []
    assert "cannot find matching operation" in ground.refused(f"EXPLAIN SELECT name FROM {T}").message
    measured = ground.ask(f"EXPLAIN ANALYZE SELECT displayName FROM {T} WHERE {W}").dicts
    assert (measured[0]["calls"], measured[0]["rows"], measured[-1]["rows"]) == (1, 3, 3)


@pytest.mark.parametrize("blank", ["'{{ locationsId }}'", "'{{ .locationsId }}'", "{{ locationsId }}"])
def test_case_75_a_blank_that_was_not_filled_in(ground: Ground, blank: str) -> None:
    """The engine itself names it, whatever face it comes through; within a longer text it may stand."""
    error = ground.refused(f"SELECT name FROM {T} WHERE projectsId='p1' AND locationsId={blank}")
    assert error.message == "syntax error: {{ locationsId }} has not been filled in."
    assert "--var" in error.hint
    assert ground.one("SELECT 'echo {{ x }}'") == "echo {{ x }}"


def test_case_80_constants(ground: Ground) -> None:
    """Of the right kinds."""
    told = ground.ask("SELECT 'test' AS test_value, 1=1 AS e")
    assert (told.rows, told.names, told.kinds) == ([("test", 1)], ["test_value", "e"], ["text", "bigint"])


def test_case_81_an_empty_list(ground: Ground) -> None:
    """Columns, no rows, and nothing said."""
    told = ground.ask(f"SELECT name, state FROM {T} WHERE projectsId='p9' AND locationsId='us-central1'")
    assert (told.names, told.rows, told.message, told.notices) == (["name", "state"], [], "", ())


@pytest.mark.parametrize(
    "statement",
    [
        "ATTACH 'x.db' AS y",
        "PRAGMA journal_mode",
        "PRAGMA writable_schema=1",
        "SELECT * FROM pragma_database_list",
        "SELECT load_extension('evil.so')",
        "VACUUM INTO 'copy.db'",
        "SELECT readfile('/etc/passwd')",
        "CREATE VIRTUAL TABLE f USING fts5(x)",
        "CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1; END",
        "DETACH main",
        "NATIVEQUERY 'SELECT load_extension(1)'",
        "COPY x FROM '/etc/passwd'",
    ],
)
def test_case_82_no_way_out(ground: Ground, statement: str) -> None:
    """Files, other databases and settings of the engine are refused, and nothing is written."""
    error = ground.refused("CREATE TABLE x(a)", statement)
    assert error.sqlstate in ("42501", "0A000", "42601")
    if statement.startswith(("ATTACH", "PRAGMA", "VACUUM", "DETACH", "COPY")) or "load_extension(" in statement:
        assert error.sqlstate == "42501"
    assert not list(Path.cwd().glob("*.db"))


RUNAWAY = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def test_case_83_a_runaway_ends_at_its_time(tmp_path: Path) -> None:
    """With SQLSTATE 57014, and the session goes on."""
    ground = Ground(tmp_path, timeout_seconds=0.2)
    started = time.monotonic()
    error = ground.refused(RUNAWAY)
    assert (error.sqlstate, "statement timeout" in error.message) == ("57014", True)
    assert time.monotonic() - started < 20


def test_case_83_a_cancel_ends_it(ground: Ground) -> None:
    """Of a query that runs, and of one that waits; the session goes on."""

    async def story() -> None:
        engine = SqlEngine(ground.service, ground.data_dir, timeout_seconds=60)
        session = engine.session(Caller())
        await session.run("SELECT 1")
        for statement in (RUNAWAY, "SLEEP 60000"):
            running = asyncio.ensure_future(session.run(statement))
            await asyncio.sleep(0.1)
            while not running.done():  # before it has begun there is nothing to cancel
                session.cancel()
                await asyncio.wait({running}, timeout=0.1)
            with pytest.raises(SqlError) as told:
                await running
            assert (told.value.sqlstate, "user request" in told.value.message) == ("57014", True)
        assert [row async for row in (await session.run("SELECT 2")).rows] == [(2,)]
        await engine.close()

    asyncio.run(story())
