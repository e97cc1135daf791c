"""PostgreSQL's spellings in SQLite's: each one alone, together, and never inside a string."""

from __future__ import annotations

import re
import time

import apsw
import pytest

from trainyard.edges.sql.catalogue.objects import Surroundings, Table, TableColumn
from trainyard.edges.sql.catalogue.rewrite import needs_catalogue, rewrite
from trainyard.edges.sql.catalogue.virtual import install
from trainyard.edges.sql.errors import SqlError
from trainyard.edges.sql.functions import FUNCTIONS

TABLES = (Table("aiplatform", "jobs", (TableColumn("a", "text", "First."), TableColumn("b", "boolean")), doc="Jobs."),)


@pytest.fixture
def connection() -> apsw.Connection:
    """SQLite with the catalogue."""
    made = apsw.Connection(":memory:")
    for name, (function, count) in FUNCTIONS.items():
        made.create_scalar_function(name, function, count)
    install(made, Surroundings(lambda: TABLES, lambda: "me", lambda: "db", {"x": "y"}.get))
    return made


@pytest.mark.parametrize(
    "sql",
    ["SELECT 1", "SELECT 'a::int ~ pg_catalog.x' AS t", 'SELECT "x" FROM y', "INSERT INTO t VALUES ('ARRAY[1]')"],
)
def test_what_needs_nothing_stays_as_it_is(sql: str) -> None:
    """To the letter, blanks and all; strings are never looked into."""
    assert rewrite(sql).replace("  ", " ") == sql


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("SELECT '7'::int + 1", 8),
        ("SELECT ('1' || '2')::integer", 12),
        ("SELECT upper('x')::text", "X"),
        ("SELECT 5::double precision / 2", 2.5),
        ("SELECT '5'::numeric(10, 2) + 0", 5),
        ("SELECT '7'::character varying(3)::int", 7),
        ("SELECT 't'::bool", 1),
        ("SELECT 'off'::boolean", 0),
        ("SELECT CAST('yes' AS boolean)", 1),
        ("SELECT CASE WHEN 1 THEN '4' END::int + 1", 5),
        ("SELECT '{a,b}'::text[]", "{a,b}"),
        ("SELECT '{\"a\": 1}'::json ->> 'a'", 1),
        ("SELECT 'abc' ~ '^a'", 1),
        ("SELECT 'abc' !~ '^a'", 0),
        ("SELECT 'ABC' ~* '^a'", 1),
        ("SELECT 'ABC' !~* '^a'", 0),
        ("SELECT 'abc' ~~ 'a%'", 1),
        ("SELECT 'abc' !~~ 'a%'", 0),
        ("SELECT 'abc' ILIKE 'A%'", 1),
        ("SELECT 'abc' OPERATOR(pg_catalog.~) '^(abc)$' COLLATE pg_catalog.default", 1),
        ("SELECT 'a' COLLATE \"C\" = 'a'", 1),
        ("SELECT 'a' COLLATE NOCASE = 'A'", 1),
        ("SELECT ~5", -6),
        ("SELECT 2 = ANY (ARRAY[1, 2])", 1),
        ("SELECT 2 = ANY ('{1,2}'::int[])", 1),
        ("SELECT '2' = ANY ('{1,2}')", 1),
        ("SELECT 2 <> ALL (ARRAY[1, 2])", 0),
        ("SELECT 2 = ANY (SELECT 2)", 1),
        ("SELECT 3 = ANY (ARRAY[1, 2]::int[])", 0),
        ("SELECT ARRAY(SELECT a FROM (SELECT 1 AS a UNION SELECT 2))", "{1,2}"),
        ("SELECT (ARRAY['a', 'b'])[2]", "b"),
        ("SELECT array_to_string(ARRAY['a', NULL, 'c'], '-', '?')", "a-?-c"),
        ("SELECT array_length(ARRAY[1,2,3], 1)", 3),
        ("SELECT sum(x) FROM generate_series(1, 4) x", 10),
        ("SELECT group_concat(n, '') FROM unnest('{a,b}'::text[]) AS t(n)", "ab"),
        ("SELECT bool_and(v) || bool_or(v) FROM (SELECT 1 AS v UNION SELECT 0)", "01"),
        ("SELECT current_schema || '.' || current_catalog", "aiplatform.db"),
        ("SELECT current_user", "me"),
        ("SELECT current_setting('x')", "y"),
        ("SELECT pg_catalog.format_type(1009, NULL)", "text[]"),
        ("SELECT relname FROM pg_catalog.pg_class WHERE oid = 'aiplatform.jobs'::regclass", "jobs"),
        ("SELECT c.oid::regclass FROM pg_class c WHERE c.relname = 'jobs'", "jobs"),
        ("SELECT CAST('jobs' AS regclass) = (SELECT oid FROM pg_class WHERE relname = 'jobs')", 1),
        ("SELECT 'text'::regtype::oid", 25),
        ("SELECT 25::regtype", "text"),
        ("SELECT to_regclass('nothing') IS NULL", 1),
        ("SELECT obj_description('jobs'::regclass, 'pg_class')", "Jobs."),
        ("SELECT col_description('jobs'::regclass, 1)", "First."),
        ("SELECT has_table_privilege('jobs', 'INSERT')", 0),
        ("SELECT pg_get_userbyid(10)", "me"),
        ("SELECT quote_ident('aB') || quote_literal('it''s')", "\"aB\"'it''s'"),
        ("SELECT json_build_object('a', 1)", '{"a": 1}'),
        ("SELECT count(*) FROM pg_catalog.pg_get_keywords() WHERE word <> ALL ('{a}'::text[])", 0),
        ("SELECT 1 FROM (SELECT 1) a, LATERAL (SELECT 2) b", 1),
        ("SELECT data_type FROM \"information_schema.columns\" WHERE column_name = 'b'", "boolean"),
    ],
)
def test_spellings_mean_what_they_mean(connection: apsw.Connection, sql: str, value: object) -> None:
    """Rewritten and run by SQLite, they give what PostgreSQL gives."""
    assert connection.execute(rewrite(sql)).fetchone()[0] == value


@pytest.mark.parametrize(
    "sql", ["SELECT 'nothing'::regclass", "SELECT 'nothing'::regtype", "SELECT current_setting('z')"]
)
def test_what_there_is_not_is_an_error(connection: apsw.Connection, sql: str) -> None:
    """As in PostgreSQL, not a NULL."""
    with pytest.raises(SqlError):
        connection.execute(rewrite(sql)).fetchall()


def test_the_schema_public_is_left_out() -> None:
    """Own tables have a name without a dot here."""
    assert rewrite("SELECT a FROM public.v, PUBLIC.w") == "SELECT a FROM v, w"


def test_who_asks_the_catalogue() -> None:
    """Only then must a session have it."""
    assert needs_catalogue("SELECT * FROM pg_class")
    assert needs_catalogue("SELECT version()")
    assert not needs_catalogue("SELECT name FROM google.aiplatform.custom_jobs WHERE name LIKE 'pg%'")


def test_long_statements_cost_little() -> None:
    """Without marks next to nothing; with very many of them a refusal, not an hour."""
    plain = "SELECT " + ", ".join(f"a{number}" for number in range(100_000))
    started = time.process_time()
    assert rewrite(plain) == plain
    assert time.process_time() - started < 0.5
    with pytest.raises(SqlError, match="too long"):
        rewrite("SELECT " + " || ".join(["x::text"] * 20_000))


def test_nonsense_is_left_to_sqlite() -> None:
    """Brackets that never close, operators without operands: no crash here."""
    for sql in (
        "SELECT ::int",
        "SELECT x::",
        "SELECT ARRAY[",
        "SELECT a = ANY (",
        "SELECT )::int",
        "OPERATOR(",
        "x[",
        "END::int",
    ):
        assert isinstance(rewrite(sql), str)
    assert re.search(r"REGEXP", rewrite("a ~ b"))
