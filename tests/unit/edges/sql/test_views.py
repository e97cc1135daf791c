"""Views, materialized views and tables of a caller's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .ground import Ground, T, W

QUERY = f"SELECT name, state FROM {T} WHERE {W}"


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def test_statements_of_definition(ground: Ground) -> None:
    """Each does what it says, with the tag that PostgreSQL has for it."""
    told = ground.ask_all(
        f"CREATE VIEW v AS {QUERY}",
        f"CREATE VIEW IF NOT EXISTS v AS {QUERY}",
        f"CREATE OR REPLACE VIEW v (n, s) AS {QUERY}",
        "SELECT n, s FROM v",
        f"CREATE TEMP VIEW short AS {QUERY}",
        f"CREATE TABLE t AS {QUERY}",
        "CREATE INDEX by_state ON t (state)",
        "ALTER TABLE t ADD COLUMN note TEXT",
        "INSERT INTO t (name, note) VALUES ('x', 'y') RETURNING note",
        "DESCRIBE t",
        "DROP INDEX by_state",
        "DROP TABLE t",
        "DROP VIEW IF EXISTS nope",
        "DROP VIEW v CASCADE",
    )
    assert [each.tag for each in told] == [
        "CREATE VIEW", "CREATE VIEW", "CREATE VIEW", "SELECT 3", "CREATE VIEW", "CREATE TABLE", "CREATE INDEX",
        "ALTER TABLE", "INSERT 0 1", "DESCRIBE 3", "DROP INDEX", "DROP TABLE", "DROP VIEW", "DROP VIEW",
    ]  # fmt: skip
    assert (told[3].names, told[8].rows, told[9].rows[-1]) == (["n", "s"], [("y",)], ("note", "text"))


def test_materialized_views_with_columns_are_replaced_and_dropped(ground: Ground) -> None:
    """Under their own column names; a failed REFRESH leaves what there was."""
    told = ground.ask_all(
        f"CREATE MATERIALIZED VIEW m (n, s) AS {QUERY}",
        "SELECT n FROM m",
        "CREATE OR REPLACE MATERIALIZED VIEW m AS SELECT 1 AS one UNION ALL SELECT 2",
        "SELECT one FROM m",
        "DROP MATERIALIZED VIEW m",
        "DROP MATERIALIZED VIEW IF EXISTS m",
    )
    assert (len(told[1].rows), told[3].rows) == (3, [(1,), (2,)])
    for statement in ("REFRESH MATERIALIZED VIEW m", "DROP MATERIALIZED VIEW m"):
        assert ground.refused(statement).sqlstate == "42P01"
    ground.ask("CREATE TABLE source AS SELECT 1 AS a", "CREATE MATERIALIZED VIEW broken AS SELECT a FROM source")
    ground.refused("DROP TABLE source", "REFRESH MATERIALIZED VIEW broken")
    assert ground.rows("SELECT a FROM broken") == [(1,)]


@pytest.mark.parametrize(
    ("own", "where", "count"),
    [
        ("projectsId='p1' AND locationsId IN ('us-central1')", "1", 3),
        ("j.projectsId='p1' AND j.locationsId='us-central1'", "projectsId='p2'", 1),
        (f"{W} AND state='JOB_STATE_SUCCEEDED'", "projectsId='-'", 2),
        (f"{W} UNION ALL SELECT name, projectsId FROM {T} WHERE {W}", "projectsId='p2'", 2),
        (f"{W} GROUP BY projectsId", "1", 1),
        (f"{W} AND EXISTS (SELECT 1 FROM trainyard.history h WHERE h.projectsId='p1' AND h.job = name)", "1", 3),
    ],
)
def test_ids_of_a_view_are_defaults(ground: Ground, own: str, where: str, count: int) -> None:
    """They hold where the reader gives none."""
    made = f"CREATE VIEW v AS SELECT name, projectsId FROM {T} j WHERE {own}"
    assert len(ground.ask(made, f"SELECT * FROM v WHERE {where}").rows) == count


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (f"CREATE VIEW v AS {QUERY} AND name = $1", "must not have parameters"),
        ('CREATE VIEW "google.aiplatform.custom_jobs" AS SELECT 1', "without a dot"),
        ("CREATE TABLE trainyard.mine (a)", "without a dot"),
        ("CREATE VIEW AS SELECT 1", "is expected"),
        ("CREATE FUNCTION f", "is not supported"),
        ("DROP DATABASE x", "is expected"),
        ("DROP VIEW v and more", "should end here"),
        ("CREATE VIEW v (1) AS SELECT 1", "a column's name is expected"),
    ],
)
def test_what_cannot_be_made(ground: Ground, statement: str, words: str) -> None:
    """Is refused with its reason."""
    assert words in ground.refused(statement).message


def test_nothing_of_it_is_loaded_before_somebody_asks() -> None:
    """The promise's module brings neither apsw nor RE2."""
    check = "import sys, trainyard.edges.sql.session; sys.exit('apsw' in sys.modules or 're2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
