"""Conformance: the cases of reading, by their numbers. Statements are StackQL's own wherever it has one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainyard.core.errors import Unavailable
from trainyard.service.access import Caller

from .ground import Ground, T, W

FIELDS = """name,
createTime,
displayName,
encryptionSpec,
endTime,
error,
jobSpec,
labels,
satisfiesPzi,
satisfiesPzs,
startTime,
state,
updateTime,
webAccessUris"""
NAS_FIELDS = """name,
createTime,
displayName,
enableRestrictedImageTraining,
encryptionSpec,
endTime,
error,
labels,
nasJobOutput,
nasJobSpec,
satisfiesPzi,
satisfiesPzs,
startTime,
state,
updateTime"""


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def ids(rows: list[tuple[Any, ...]]) -> list[str]:
    """The ids at the end of names."""
    return [row[0].rpartition("/")[2] for row in rows]


def test_case_01_the_documented_select_of_custom_jobs(ground: Ground) -> None:
    """Three rows, fourteen columns in the order in which they were written."""
    told = ground.ask(
        f"SELECT\n{FIELDS}\nFROM google.aiplatform.custom_jobs\n"
        "WHERE locationsId = 'us-central1'\nAND projectsId = 'p1'; "
    )
    assert len(told.rows) == 3
    assert told.names == FIELDS.split(",\n")
    assert told.tag == "SELECT 3"


def test_case_02_the_documented_select_of_nas_jobs(ground: Ground) -> None:
    """One row, fifteen columns."""
    told = ground.ask(
        f"SELECT\n{NAS_FIELDS}\nFROM google.aiplatform.nas_jobs\n"
        "WHERE locationsId = 'us-central1'\nAND projectsId = 'p1';"
    )
    assert (len(told.rows), len(told.names)) == (1, 15)


def test_case_03_comments_after_each_parameter(ground: Ground) -> None:
    """`-- required` ends with its line."""
    rows = ground.rows(
        f"SELECT name\nFROM {T}\nWHERE projectsId = 'p1' -- required\nAND locationsId = 'us-central1' -- required\n;"
    )
    assert len(rows) == 3


def test_case_04_an_id_makes_it_a_get(ground: Ground) -> None:
    """One call, of `get`, and one row."""
    statement = f"SELECT name FROM {T} WHERE {W} AND customJobsId='2'"
    assert ids(ground.rows(statement)) == ["2"]
    (scan, _) = ground.ask(f"EXPLAIN ANALYZE {statement}").dicts
    assert (scan["call"], scan["calls"], scan["rows"]) == ("get", 1, 1)


@pytest.mark.parametrize("id_", ["99", "nonsense", "-1", "99999999999999999999", ""])
def test_case_05_a_job_that_is_not_there_is_no_row(ground: Ground, id_: str) -> None:
    """No rows and no error."""
    assert ground.rows(f"SELECT name FROM {T} WHERE {W} AND customJobsId='{id_}'") == []


def test_case_06_missing_parameters_are_named(ground: Ground) -> None:
    """StackQL's sentence, with both parameters and where to read on."""
    error = ground.refused(f"SELECT name FROM {T}")
    for words in ("cannot find matching operation", f"SHOW METHODS IN {T}", "projectsId", "locationsId"):
        assert words in error.message
    assert "projectsId = '…' AND locationsId = '…'" in error.hint


def test_case_07_only_equality_gives_a_parameter(ground: Ground) -> None:
    """LIKE on one of them: that one is missing."""
    error = ground.refused(f"SELECT name FROM {T} WHERE projectsId LIKE 'p%' AND locationsId='us-central1'")
    assert "cannot find matching operation" in error.message
    assert error.message.endswith("missing: projectsId")


def test_case_08_in_fans_out(ground: Ground) -> None:
    """One list call for each value, rows of both."""
    statement = f"SELECT name FROM {T} WHERE projectsId IN ('p1','p2') AND locationsId='us-central1'"
    assert sorted(ids(ground.rows(statement))) == ["1", "2", "3", "4"]
    assert ground.ask(f"EXPLAIN ANALYZE {statement}").dicts[0]["calls"] == 2


def test_case_09_or_of_equals(ground: Ground) -> None:
    """The same as IN."""
    where = "(projectsId='p1' OR projectsId='p2') AND locationsId='us-central1'"
    assert len(ground.rows(f"SELECT name FROM {T} WHERE {where}")) == 4


def test_case_10_star_is_sorted_and_without_parameters(ground: Ground) -> None:
    """Only what an answer has, sorted byte by byte."""
    told = ground.ask(f"SELECT * FROM {T} WHERE {W} LIMIT 1")
    assert told.names == sorted(FIELDS.split(",\n"))
    assert len(told.rows) == 1


def test_case_11_parameters_can_be_selected(ground: Ground) -> None:
    """As they were given."""
    (row,) = ground.rows(f"SELECT projectsId, customJobsId, name FROM {T} WHERE {W} AND customJobsId='1'")
    assert row[:2] == ("p1", "1")
    assert row[2].endswith("/customJobs/1")


def test_case_12_ids_of_a_list(ground: Ground) -> None:
    """They are read from the names, newest first."""
    assert ground.rows(f"SELECT customJobsId FROM {T} WHERE {W}") == [("3",), ("2",), ("1",)]


def test_case_13_other_columns_filter(ground: Ground) -> None:
    """Row 3 only, and only it is read."""
    statement = f"SELECT name FROM {T} WHERE {W} AND state='JOB_STATE_FAILED'"
    assert ids(ground.rows(statement)) == ["3"]
    assert ground.ask(f"EXPLAIN ANALYZE {statement}").dicts[0]["rows"] == 1


def test_case_14_a_list_filter(ground: Ground) -> None:
    """AIP-160 text goes to the store, where it is understood or refused."""
    assert ids(ground.rows(f"SELECT name FROM {T} WHERE {W} AND filter='state=\"JOB_STATE_RUNNING\"'")) == ["2"]
    assert "Invalid filter at position 1" in ground.refused(f"SELECT name FROM {T} WHERE {W} AND filter='nope'").message


def test_case_15_page_size_is_taken_at_its_word(ground: Ground) -> None:
    """Three rows over three pages of the API."""
    assert len(ground.rows(f"SELECT name FROM {T} WHERE {W} AND pageSize=1")) == 3
    assert ground.calls == ["ListCustomJobs"] * 3


def test_case_16_no_page_is_left_out(ground: Ground) -> None:
    """2,500 jobs are counted, where StackQL stops at 2,000; read page by page they are as many."""
    ground.many(2500, "p5")
    here = "projectsId='p5' AND locationsId='us-central1'"
    assert ground.one(f"SELECT count(*) AS n FROM {T} WHERE {here}") == 2500
    assert len(ground.rows(f"SELECT name FROM {T} WHERE {here}")) == 2500
    assert ground.one(f"SELECT count(*) AS n FROM {T} WHERE {here} AND pageSize=100") == 2500
    assert len(ground.calls) == 25


def test_case_17_a_failing_page_fails_the_statement(ground: Ground) -> None:
    """No rows are shown as if they were all."""
    real, calls = ground.service.call, []

    async def second_fails(operation: Any, version: str, request: Any, caller: Caller) -> Any:
        calls.append(operation)
        if len(calls) == 2:
            raise Unavailable("The disk is gone.")
        return await real(operation, version, request, caller)

    ground.service.call = second_fails  # type: ignore[method-assign]  # what the store does when its disk goes
    error = ground.refused(f"SELECT name FROM {T} WHERE {W} AND pageSize=1")
    assert error.message.startswith("http response status code: 503")
    assert "The disk is gone." in error.message


def test_case_18_limit_stops_reading(ground: Ground) -> None:
    """Of 250 pages one is asked for."""
    ground.many(250, "p5")
    here = "projectsId='p5' AND locationsId='us-central1'"
    assert len(ground.rows(f"SELECT name FROM {T} WHERE {here} AND pageSize=1 LIMIT 1")) == 1
    assert len(ground.calls) == 1
    assert ground.one(f"SELECT EXISTS (SELECT 1 FROM {T} WHERE {here} AND pageSize=1)") == 1
    assert len(ground.calls) == 2


def test_case_19_group_by(ground: Ground) -> None:
    """Three states, each once."""
    rows = ground.rows(f"SELECT state, count(*) AS n FROM {T} WHERE {W} GROUP BY state ORDER BY n DESC, state")
    assert rows == [("JOB_STATE_FAILED", 1), ("JOB_STATE_RUNNING", 1), ("JOB_STATE_SUCCEEDED", 1)]


def test_case_20_bare_columns_beside_group_by(ground: Ground) -> None:
    """Accepted, as SQLite does."""
    rows = ground.rows(f"SELECT displayName, state, count(*) c FROM {T} WHERE {W} GROUP BY state")
    assert sorted(rows) == [
        ("a", "JOB_STATE_SUCCEEDED", 1),
        ("b", "JOB_STATE_RUNNING", 1),
        ("it's", "JOB_STATE_FAILED", 1),
    ]


def test_case_21_json_extract(ground: Ground) -> None:
    """A text comes without quotes."""
    path = "$.workerPoolSpecs[0].machineSpec.machineType"
    assert (
        ground.one(f"SELECT json_extract(jobSpec,'{path}') FROM {T} WHERE {W} AND customJobsId='2'") == "a2-highgpu-1g"
    )


def test_case_22_arrows(ground: Ground) -> None:
    """With a path or a key."""
    assert ground.rows(f"SELECT labels->>'$.team', labels->>'team' FROM {T} WHERE {W} AND customJobsId='1'") == [
        ("x", "x")
    ]


def test_case_23_a_path_that_is_not_there(ground: Ground) -> None:
    """NULL."""
    assert ground.one(f"SELECT json_extract(labels,'$.nope') IS NULL FROM {T} WHERE {W} AND customJobsId='1'") == 1


def test_case_24_json_each(ground: Ground) -> None:
    """One row for each worker pool."""
    rows = ground.rows(f"SELECT json_each.value FROM {T}, json_each(jobSpec,'$.workerPoolSpecs') WHERE {W}")
    assert len(rows) == 3
    assert all('"machineType"' in row[0] for row in rows)


def test_case_25_split_part(ground: Ground) -> None:
    """A negative part counts from the end."""
    assert ground.rows(f"SELECT split_part(name,'/',-1) FROM {T} WHERE {W}") == [("3",), ("2",), ("1",)]


def test_case_26_json_equal(ground: Ground) -> None:
    """Job 1 has these labels."""
    rows = ground.rows(f"""SELECT customJobsId FROM {T} WHERE {W} AND json_equal(labels,'{{"team":"x"}}')""")
    assert rows == [("1",)]


def test_case_27_regular_expressions(ground: Ground) -> None:
    """Found anywhere, unless they are tied to an end."""
    assert ground.rows(f"SELECT customJobsId FROM {T} WHERE {W} AND regexp_like(displayName,'^a')") == [("1",)]
    assert ground.rows(f"SELECT customJobsId FROM {T} WHERE {W} AND displayName REGEXP 't.s'") == [("3",)]


@pytest.mark.parametrize("table", ["custom_jobs", "nas_jobs"])
def test_case_28_truths_have_names(ground: Ground, table: str) -> None:
    """`= false` and `= 'false'` give the same rows, `= true` and `= 'true'` too."""
    for column in ("satisfiesPzi",) if table == "custom_jobs" else ("satisfiesPzi", "enableRestrictedImageTraining"):
        for value in ("true", "false"):
            bare, quoted = (
                ground.rows(f"SELECT name FROM google.aiplatform.{table} WHERE {W} AND {column}={text}")
                for text in (value, f"'{value}'")
            )
            assert bare == quoted


JOIN = f"SELECT x.displayName, y.displayName FROM {T} x JOIN {T} y ON x.displayName = y.displayName WHERE"


def test_case_29_a_table_joined_with_itself(ground: Ground) -> None:
    """Both projects have a job `a`."""
    where = "x.projectsId='p1' AND x.locationsId='us-central1' AND y.projectsId='p2' AND y.locationsId='us-central1'"
    assert ground.rows(f"{JOIN} {where}") == [("a", "a")]


def test_case_30_a_bare_parameter_is_for_every_table(ground: Ground) -> None:
    """`locationsId` without a table holds for both."""
    assert ground.rows(f"{JOIN} x.projectsId='p1' AND y.projectsId='p2' AND locationsId='us-central1'") == [("a", "a")]
    assert ground.rows(f"{JOIN} x.projectsId='p1' AND y.projectsId='p2' AND locationsId IN ('us-central1')") == [
        ("a", "a")
    ]


def test_case_31_a_join_feeds_parameters(ground: Ground) -> None:
    """The trials of each search."""
    rows = ground.rows(
        "SELECT n.displayName, d.name FROM google.aiplatform.nas_jobs n JOIN google.aiplatform.nas_trial_details d "
        f"ON d.nasJobsId=split_part(n.name,'/',-1) WHERE {W}"
    )
    assert sorted(row[1].rpartition("/")[2] for row in rows) == ["1", "2"]


def test_case_32_union_all(ground: Ground) -> None:
    """Rows of both."""
    other = W.replace("p1", "p2")
    assert len(ground.rows(f"SELECT name FROM {T} WHERE {W} UNION ALL SELECT name FROM {T} WHERE {other}")) == 4


def test_case_33_windows(ground: Ground) -> None:
    """Each job is the first of its state."""
    rows = ground.rows(f"SELECT rank() OVER (PARTITION BY state ORDER BY createTime) AS r FROM {T} WHERE {W}")
    assert rows == [(1,)] * 3


def test_case_34_chained_ctes(ground: Ground) -> None:
    """The second reads the first."""
    query = f"WITH one AS (SELECT state FROM {T} WHERE {W}), two AS (SELECT count(*) AS n FROM one) SELECT n FROM two"
    assert ground.one(query) == 3


def test_case_35_recursive_ctes(ground: Ground) -> None:
    """Numbers, and jobs by number."""
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5)"
    assert ground.one(f"{numbers} SELECT sum(i) FROM n") == 15
    rows = ground.rows(f"{numbers} SELECT displayName FROM n JOIN {T} j ON j.customJobsId = CAST(i AS TEXT) WHERE {W}")
    assert sorted(rows) == [("a",), ("b",), ("it's",)]


def test_case_36_a_view_is_open_to_other_parameters(ground: Ground) -> None:
    """Its own ids hold where its reader names no others."""
    made, own, other, both = ground.ask_all(
        f"CREATE VIEW v AS SELECT name, state, projectsId FROM {T} WHERE {W}",
        "SELECT projectsId, name FROM v ORDER BY name",
        "SELECT projectsId, name FROM v WHERE projectsId='p2'",
        "SELECT projectsId FROM v WHERE projectsId IN ('p1', 'p2')",
    )
    assert made.message == "DDL Execution Completed"
    assert [row[0] for row in own.rows] == ["p1"] * 3
    assert [(row[0], row[1].rpartition("/")[2]) for row in other.rows] == [("p2", "4")]
    assert len(both.rows) == 4


def test_case_37_materialized_views(ground: Ground) -> None:
    """They stay as they are until they are refreshed."""
    query = f"SELECT displayName FROM {T} WHERE {W}"
    assert len(ground.ask(f"CREATE MATERIALIZED VIEW mv AS {query}", "SELECT * FROM mv").rows) == 3
    into = f"INSERT INTO {T}(projectsId, locationsId, displayName, jobSpec)"
    ground.ask(f"{into} SELECT 'p1', 'us-central1', 'c', jobSpec FROM {T} WHERE {W} AND customJobsId='1'")
    assert len(ground.rows("SELECT * FROM mv")) == 3
    assert len(ground.ask("REFRESH MATERIALIZED VIEW mv", "SELECT * FROM mv").rows) == 4
    assert ground.ask("DROP MATERIALIZED VIEW mv").message == "DDL Execution Completed"
    assert ground.refused("SELECT * FROM mv").sqlstate == "42P01"


def test_case_38_views_of_views(ground: Ground) -> None:
    """Six deep."""
    views = [f"CREATE VIEW v{n} AS SELECT * FROM v{n - 1}" for n in range(1, 6)]
    told = ground.ask(f"CREATE VIEW v0 AS SELECT name FROM {T} WHERE {W}", *views, "SELECT * FROM v5")
    assert len(told.rows) == 3
