"""psql, psycopg 3, asyncpg, SQLAlchemy and pandas, unmodified, against a real server."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from edge_server import Api, Server, running
from pg_client import sql_port

pytestmark = pytest.mark.clients
JOBS = "SELECT displayName, state FROM google.aiplatform.custom_jobs WHERE projectsId = {} AND locationsId = {}"
HERE = "\"projectsId\" = '{}' AND \"locationsId\" = 'us-central1'"
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def jobs(api: Api) -> Api:
    """Two jobs that have ended: a and b."""
    for name in ("a", "b"):
        api.wait(api.made(running("true", displayName=name, labels={"team": name * 2}))["name"])
    return api


@pytest.fixture
def psql(server: Server) -> Callable[..., subprocess.CompletedProcess[str]]:
    """psql with commands."""
    if shutil.which("psql") is None:
        pytest.skip("psql is not installed (Debian: postgresql-client)")
    where = {"PGHOST": "127.0.0.1", "PGPORT": str(sql_port(server)), "PGUSER": "me", "PGDATABASE": "google"}

    def run(*commands: str, **more: str) -> subprocess.CompletedProcess[str]:
        flags = [flag for command in commands for flag in ("-c", command)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")} | where | more
        command = ["psql", "-X", "-v", "ON_ERROR_STOP=1", *flags]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)

    return run


def test_case_76_psql(psql: Callable[..., subprocess.CompletedProcess[str]], jobs: Api, project: str) -> None:
    """Several statements of one string; an error has its code, its hint and an exit code."""
    done = psql("select 1 as one; select 2 as two", "-- a comment\nselect 'x;y' as three")
    assert done.returncode == 0, done.stderr
    assert [line.strip() for line in done.stdout.splitlines() if line.strip() in ("one", "two", "three", "x;y")] == [
        "one", "two", "three", "x;y",
    ]  # fmt: skip
    rows = psql("\\pset format unaligned", JOBS.format(f"'{project}'", "'us-central1'") + " ORDER BY displayName")
    assert "a|JOB_STATE_SUCCEEDED\nb|JOB_STATE_SUCCEEDED\n(2 rows)" in rows.stdout
    wrong = psql("\\set VERBOSITY verbose", "select name from custom_jobs")
    assert wrong.returncode == 1
    assert "cannot find matching operation" in wrong.stderr
    assert "projectsId = " in wrong.stderr.partition("HINT")[2]


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("\\d", "custom_jobs"),
        ("\\dt", "nas_trial_details"),
        ("\\dt trainyard.*", "history"),
        ("\\d google.aiplatform.custom_jobs", "satisfiesPzi   | boolean"),
        ("\\d+ custom_jobs", "The display name of the CustomJob."),
        ("\\dv", "psql_view"),
        ("\\d+ psql_view", "View definition:"),
        ("\\dn", "aiplatform"),
        ("\\l", "google"),
        ("\\du", "me"),
        ("\\df", "0 rows"),
        ("\\dT", "0 rows"),
        ("\\dp", "custom_jobs"),
        ("\\dx", "0 rows"),
        ("\\di", ""),
        ("\\ds", ""),
        ("\\dm", ""),
        ("\\dtvms *.*", "pg_catalog"),
        ("\\conninfo", "as user"),
    ],
)
def test_psql_looks_around(psql: Callable[..., subprocess.CompletedProcess[str]], command: str, shown: str) -> None:
    r"""\d and its like show what there is, descriptions included."""
    made = psql("CREATE OR REPLACE VIEW psql_view AS SELECT 1 AS a, 'x' AS b")
    assert made.returncode == 0, made.stderr
    done = psql(command)
    assert (done.returncode, done.stderr.replace("Did not find any relations.\n", "")) == (0, "")
    assert shown in done.stdout


def test_psql_reads_in_portions_and_stops(psql: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """FETCH_COUNT makes psql use a cursor; all rows come."""
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 1000) SELECT i FROM n"
    done = psql("\\set FETCH_COUNT 100", "\\pset format unaligned", "\\pset tuples_only", numbers)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "1000"


def test_case_77_psycopg(server: Server, jobs: Api, project: str) -> None:
    """Values of several types, prepared after some uses, errors as its own classes, cancel, server-side cursors."""
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(host="127.0.0.1", port=sql_port(server), user="me", dbname="google") as connection:
        found = connection.execute(JOBS.format("%s", "%s") + " AND displayName = ANY(%s) ORDER BY 1",
                                   [project, "us-central1", ["a", "b", "none"]]).fetchall()  # fmt: skip
        assert found == [("a", "JOB_STATE_SUCCEEDED"), ("b", "JOB_STATE_SUCCEEDED")]
        for number in range(8):  # from the sixth on it is prepared
            row = connection.execute("SELECT %s AS n, %s AS t, %s AS f, %s AS b", [number, "x", 1.5, None]).fetchone()
            assert row == (number, "x", 1.5, None)
        with pytest.raises(psycopg.errors.UndefinedColumn) as caught:
            connection.execute("SELECT nope")
        assert caught.value.diag.message_hint
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            connection.execute("SELECT 1")
        connection.rollback()
        with connection.cursor("portions") as cursor:
            cursor.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%s) SELECT i FROM n", [900]
            )
            assert [len(cursor.fetchmany(400)) for _ in range(3)] == [400, 400, 100]
        timer = threading.Timer(0.3, connection.cancel_safe)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute(ENDLESS)
        timer.join()
        connection.rollback()
        truths = f"SELECT satisfiesPzi FROM custom_jobs WHERE {HERE.format(project)} LIMIT 1"
        assert connection.execute(truths).fetchone() in [(None,), (False,)]


def test_case_77_asyncpg(server: Server, jobs: Api, project: str) -> None:
    """`$1` parameters, everything in binary, prepared statements, cursors, errors with their hints."""
    asyncpg = pytest.importorskip("asyncpg")

    async def story() -> None:
        connection = await asyncpg.connect(host="127.0.0.1", port=sql_port(server), user="me", database="google")
        sql = JOBS.format("$1", "$2") + " AND displayName = ANY($3::text[]) ORDER BY 1 LIMIT $4"
        rows = await connection.fetch(sql, project, "us-central1", ["a", "b"], 5)
        assert [tuple(row) for row in rows] == [("a", "JOB_STATE_SUCCEEDED"), ("b", "JOB_STATE_SUCCEEDED")]
        counted = await connection.fetchval(
            "SELECT count(*) FROM google.aiplatform.custom_jobs WHERE projectsId = $1 AND locationsId = $2",
            project, "us-central1",
        )  # fmt: skip
        assert counted == 2
        prepared = await connection.prepare("SELECT $1::int + 1 AS n")
        assert [await prepared.fetchval(number) for number in (1, 41)] == [2, 42]
        async with connection.transaction():
            numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<500) SELECT i FROM n"
            assert len([row async for row in connection.cursor(numbers, prefetch=60)]) == 500
        with pytest.raises(asyncpg.UndefinedColumnError) as caught:
            await connection.fetch("SELECT nope")
        assert caught.value.hint
        with pytest.raises(asyncio.TimeoutError):
            await connection.fetch(ENDLESS, timeout=0.5)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()

    asyncio.run(story())


@pytest.fixture
def engine(server: Server) -> Any:
    """SQLAlchemy's."""
    alchemy = pytest.importorskip("sqlalchemy")
    made = alchemy.create_engine(f"postgresql+psycopg://me@127.0.0.1:{sql_port(server)}/google")
    yield made
    made.dispose()


def test_sqlalchemy_reflects_and_selects(engine: Any, jobs: Api, project: str) -> None:
    """Schemas, tables, columns with types and comments, views; a reflected table is selected from."""
    import sqlalchemy

    inspector = sqlalchemy.inspect(engine)
    assert {"aiplatform", "trainyard", "public"} <= set(inspector.get_schema_names())
    assert "custom_jobs" in inspector.get_table_names()
    assert "history" in inspector.get_table_names(schema="trainyard")
    columns = {column["name"]: column for column in inspector.get_columns("custom_jobs", schema="aiplatform")}
    assert isinstance(columns["satisfiesPzi"]["type"], sqlalchemy.Boolean)
    assert columns["displayName"]["comment"]
    assert inspector.get_table_comment("custom_jobs")["text"]
    assert inspector.get_pk_constraint("custom_jobs")["constrained_columns"] == []
    assert (inspector.get_indexes("custom_jobs"), inspector.get_foreign_keys("custom_jobs")) == ([], [])
    table = sqlalchemy.Table("custom_jobs", sqlalchemy.MetaData(), autoload_with=engine)
    place = (table.c.projectsId == project, table.c.locationsId == "us-central1")
    with engine.connect() as connection:
        chosen = sqlalchemy.select(table.c.displayName).where(*place, table.c.displayName.in_(["a", "b"]))
        assert sorted(connection.execute(chosen).scalars()) == ["a", "b"]
        assert (
            connection.execute(sqlalchemy.select(sqlalchemy.func.count()).select_from(table).where(*place)).scalar()
            == 2
        )


def test_pandas_reads(engine: Any, jobs: Api, project: str) -> None:
    """read_sql gives a frame with names and types, whole or in chunks, with parameters or without."""
    pandas = pytest.importorskip("pandas")
    import sqlalchemy

    sql = JOBS.format(":p", "'us-central1'") + " ORDER BY displayName"
    frame = pandas.read_sql(sqlalchemy.text(sql), engine, params={"p": project})
    assert list(frame.columns) == ["displayName", "state"]
    assert list(frame.displayName) == ["a", "b"]
    counted = f"SELECT state, count(*) AS n FROM custom_jobs WHERE {HERE.format(project)} GROUP BY 1"
    assert pandas.read_sql(counted, engine).n.dtype == "int64"
    with engine.connect().execution_options(stream_results=True) as connection:
        chunks = pandas.read_sql(JOBS.format(f"'{project}'", "'us-central1'"), connection, chunksize=1)
        assert [len(chunk) for chunk in chunks] == [1, 1]


BI = (Path(__file__).parent / "sql_of_bi_tools.sql").read_text().split(";\n")


@pytest.mark.parametrize("sql", BI, ids=range(len(BI)))
def test_the_catalogue_answers_bi_tools(server: Server, sql: str) -> None:
    """What JDBC, Metabase, Grafana and DBeaver ask when they connect is answered, by both protocols."""
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(host="127.0.0.1", port=sql_port(server), user="me", dbname="google") as connection:
        plain = connection.execute(sql).fetchall()
        assert connection.execute(sql, [], prepare=True).fetchall() == plain
        assert plain
