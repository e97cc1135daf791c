"""`trainyard sql` and `stackql` as programs: what they print where, how they end, how they fill in what is missing."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from edge_server import Api, Server, running
from terminal_person import BIN, Person, program

Done = subprocess.CompletedProcess[str]
WHERE = "WHERE projectsId = '{}' AND locationsId = 'us-central1'"


@pytest.fixture
def environment(server: Server, tmp_path: Path) -> dict[str, str]:
    """A user's shell, with the service's address."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRAINYARD_")}
    return kept | {"TRAINYARD_ENDPOINT": f"http://127.0.0.1:{server.port}", "HOME": str(tmp_path), "TERM": "dumb"}


@pytest.fixture
def sql(environment: dict[str, str]) -> Callable[..., Done]:
    """`trainyard sql …`."""
    return lambda *arguments, **more: program("trainyard", "sql", *arguments, environment=environment, **more)


@pytest.fixture
def stackql(environment: dict[str, str]) -> Callable[..., Done]:
    """`stackql …`."""
    return lambda *arguments, **more: program("stackql", *arguments, environment=environment, **more)


def test_case_72_no_rows_in_json(sql: Callable[..., Done], stackql: Callable[..., Done]) -> None:
    """`[]` for us, `null` without a newline for StackQL's tools; keys in alphabetical order there."""
    assert sql("-o", "json", "SELECT 1 AS a WHERE 1=0").stdout == "[]\n"
    assert stackql("exec", "SELECT 1 AS a WHERE 1=0", "--output", "json").stdout == "null"
    assert (
        stackql("exec", "SELECT 2 AS b, 1 AS a; SELECT 'x' AS c", "-o", "json").stdout == '[{"a":1,"b":2}][{"c":"x"}]'
    )
    assert json.loads(sql("-o", "json", "SELECT 2 AS b, NULL AS a").stdout) == [{"b": 2, "a": None}]


def test_case_73_formats(sql: Callable[..., Done], stackql: Callable[..., Done]) -> None:
    """csv with and without header, another delimiter, jsonl, text, both tables."""
    two = "SELECT 1 AS n, 'a,b' AS t UNION ALL SELECT 22, NULL ORDER BY 1"
    for run in (lambda *flags: sql(*flags, two), lambda *flags: stackql("exec", two, *flags)):
        assert run("--output", "csv").stdout == 'n,t\n1,"a,b"\n22,\n'
        assert run("--output", "csv", "-H").stdout == '1,"a,b"\n22,\n'
        assert run("-o", "csv", "-d", "|").stdout == "n|t\n1|a,b\n22|\n"
        assert run("-o", "jsonl").stdout == '{"n":1,"t":"a,b"}\n{"n":22,"t":null}\n'
        assert run("-o", "text").stdout == "n\tt\n1\ta,b\n22\tnull\n"
    assert sql(two).stdout == " n  t\n--  ----\n 1  a,b\n22  null\n"
    ruled = "|----|------|\n| n  |  t   |\n|----|------|\n|  1 | a,b  |\n|----|------|\n| 22 | null |\n|----|------|\n"
    assert stackql("exec", two).stdout == ruled
    long = stackql("exec", "SELECT 'a text of more than thirty characters, certainly' AS t").stdout.splitlines()
    assert max(map(len, long)) <= 34


def test_nested_output(sql: Callable[..., Done], api: Api, project: str) -> None:
    """--nested: objects as objects; without it as StackQL has them, as text."""
    api.made(running("true", labels={"team": "x"}))
    asked = f"SELECT labels FROM google.aiplatform.custom_jobs {WHERE.format(project)}"
    assert json.loads(sql("-o", "json", asked).stdout) == [{"labels": '{"team":"x"}'}]
    assert json.loads(sql("-o", "json", "--nested", asked).stdout) == [{"labels": {"team": "x"}}]


def test_case_74_templates(
    sql: Callable[..., Done], stackql: Callable[..., Done], tmp_path: Path, project: str
) -> None:
    """Data from Jsonnet with --var, inline data, Go's and the documentation's names; a dry run sends nothing."""
    (tmp_path / "v.jsonnet").write_text(
        "local region = 'us-central1';\n{ projectsId: std.extVar('project'), locationsId: region, // where\n"
        "  displayName: \"it's\", labels: { team: 'x' }, jobSpec: { workerPoolSpecs: [ { machineSpec: "
        "{ machineType: 'n1-standard-4' }, replicaCount: 1, containerSpec: { imageUri: 'host', command: ['true'],\n"
        "    args: ['say \"hi\"', 'a\\nb'] } } ] } }\n"
    )
    (tmp_path / "f.iql").write_text(
        "/*+ create */\nINSERT INTO google.aiplatform.custom_jobs (\nlocationsId,\nprojectsId,\ndisplayName,\nlabels,\n"
        "jobSpec\n)\nSELECT\n'{{ .locationsId }}',\n'{{ projectsId }}',\n'{{ displayName }}',\n'{{ labels }}',\n"
        "'{{ jobSpec }}'\n;\n"
    )
    flags = ("--iqldata", str(tmp_path / "v.jsonnet"), "--var", f"project={project}")
    dry = stackql("exec", "-i", str(tmp_path / "f.iql"), *flags, "--dryrun", "-o", "text")
    assert f"'us-central1',\n'{project}',\n'it''s'" in dry.stdout
    assert "{{" not in dry.stdout
    assert sql("-f", str(tmp_path / "f.iql"), *flags, "--dry-run").stdout == dry.stdout
    made = sql("-f", str(tmp_path / "f.iql"), *flags)
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "The operation was despatched successfully\n")
    found = json.loads(
        sql("-o", "json", "--nested", f"SELECT displayName, jobSpec FROM custom_jobs {WHERE.format(project)}").stdout
    )
    assert found[0]["displayName"] == "it's"
    assert found[0]["jobSpec"]["workerPoolSpecs"][0]["containerSpec"]["args"] == ['say "hi"', "a\nb"]
    inline = "<<<json { \"n\": 5 } >>> SELECT {{ .n }} AS n, '{{ v }}' AS v"
    assert sql("-o", "jsonl", "--var", "v=x", inline).stdout == '{"n":5,"v":"x"}\n'


def test_case_75_what_nothing_fills_is_named(sql: Callable[..., Done], stackql: Callable[..., Done]) -> None:
    """Every unfilled name, and how to give it; exit code 1, nothing sent."""
    asked = "SELECT name FROM custom_jobs WHERE locationsId = '{{ locationsId }}' AND projectsId = '{{ .p.id }}'"
    for done in (sql(asked), stackql("exec", asked)):
        assert done.returncode == 1
        assert done.stdout == ""
        assert "{{ locationsId }}" in done.stderr
        assert "{{ .p.id }}" in done.stderr
        assert "--var locationsId=" in done.stderr


def test_errors_end_with_1(sql: Callable[..., Done], stackql: Callable[..., Done]) -> None:
    """On stderr, with hint and SQLSTATE; ours stops there, StackQL's goes on with the next statement."""
    done = sql("SELECT 1 AS a; SELECT nope; SELECT 3 AS c", "-o", "jsonl")
    assert (done.returncode, done.stdout) == (1, '{"a":1}\n')
    assert "SQLSTATE: 42703" in done.stderr
    went_on = stackql("exec", "SELECT nope; SELECT 3 AS c", "-o", "jsonl")
    assert (went_on.returncode, went_on.stdout) == (1, '{"c":3}\n')
    assert went_on.stderr.startswith('column "nope" does not exist')
    missing = stackql("exec", "SELECT name FROM google.aiplatform.custom_jobs", "-o", "json")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr.startswith("cannot find matching operation")
    assert sql("-f", "/nonexistent").returncode == 2
    assert stackql("exec", "SELECT 1", "--nonsense").returncode == 1
    assert "trainyard serve" in stackql("srv").stderr


def test_case_81_an_empty_project_is_silent(
    sql: Callable[..., Done], stackql: Callable[..., Done], project: str
) -> None:
    """A header, no rows, and nothing on stderr."""
    asked = f"SELECT name, state FROM google.aiplatform.custom_jobs {WHERE.format(project)}"
    for done in (sql(asked, "-o", "csv"), stackql("exec", asked, "-o", "csv")):
        assert (done.returncode, done.stdout, done.stderr) == (0, "name,state\n", "")


def test_the_project_of_the_command_line_stands_in(sql: Callable[..., Done], api: Api, project: str) -> None:
    """As with every other command: --project and --region, where a statement names none."""
    api.made(running("true", displayName="mine"))
    done = sql("--project", project, "-o", "jsonl", "SELECT displayName FROM custom_jobs")
    assert done.stdout == '{"displayName":"mine"}\n', done.stderr


def test_statements_come_from_stdin_too(sql: Callable[..., Done], stackql: Callable[..., Done]) -> None:
    """Piped in, for both programs."""
    assert sql("-o", "csv", "-H", stdin="SELECT 1;\nSELECT 2;").stdout == "1\n2\n"
    assert stackql("exec", "-o", "csv", "-H", stdin="SELECT 3").stdout == "3\n"


def test_version_and_registry(stackql: Callable[..., Done]) -> None:
    """What pystackql reads out of --version; the registry's commands."""
    words = stackql("--version").stdout.split()
    assert (words[0], words[1][0], words[3]) == ("stackql", "v", "(trainyard)")
    assert "successfully installed" in stackql("registry", "pull", "google").stderr
    assert "google" in stackql("registry", "list", "-o", "csv").stdout


def test_nobody_answers(environment: dict[str, str]) -> None:
    """No service: a sentence and how to start one."""
    gone = environment | {"TRAINYARD_ENDPOINT": "http://127.0.0.1:9"}
    ours = program("trainyard", "sql", "SELECT 1", environment=gone)
    assert (ours.returncode, "trainyard serve" in ours.stderr) == (3, True)
    theirs = program("stackql", "exec", "SELECT 1", environment=gone)
    assert (theirs.returncode, "trainyard serve" in theirs.stderr) == (1, True)


def test_auth_is_taken_whole_or_in_pieces(stackql: Callable[..., Done]) -> None:
    """In one word before the statement, as people write it; cut by a shell behind it, as pystackql does."""
    whole = stackql("exec", "--auth", '{"google": {"type": "null_auth"}}', "SELECT 5", "-o", "csv", "-H")
    assert (whole.stdout, whole.stderr) == ("5\n", "")
    cut = stackql("exec", "SELECT 6", "--auth", "{google:", "{credentialsenvvar:", "X}}", "-o", "csv", "-H")
    assert (cut.stdout, cut.stderr) == ("6\n", "")


def test_another_stackql_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    """Asked for a provider that is not here, ours says where StackQL's own program is."""
    other = tmp_path / "other" / "stackql"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    both = environment | {"PATH": f"{BIN}:{other.parent}:/usr/bin:/bin"}
    done = program("stackql", "exec", "SELECT name FROM aws.s3.buckets", environment=both)
    assert done.returncode == 1
    assert done.stderr.startswith("There is no provider 'aws' here")
    assert str(other) in done.stderr


def test_the_shell(server: Server, environment: dict[str, str], tmp_path: Path) -> None:
    """Several lines make a statement; Tab completes; Ctrl-C stops one; \\d looks; the history is kept."""
    person = Person("sql", environment=environment)
    person.reads("trainyard> ")
    person.types("SELECT 40 + 2 AS\n")
    person.reads("...> ")
    person.types("answer;\n")
    person.reads("42")
    person.reads("trainyard> ")
    person.types("\\d aiplatform.nas_jo\t\n")
    person.reads("nas_jobs")
    person.reads("nasJobSpec")
    person.reads("trainyard> ")
    person.types("SELECT nope;\n")
    person.reads("does not exist")
    person.reads("trainyard> ")
    person.types("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT count(*) FROM n;\n")
    assert server.comes_to_work()  # else there would be nothing to stop
    person.types("\x03")
    person.reads("cancelled")
    person.types("\\o csv\n")
    person.types("SELECT 'still' || ' here' AS t;\n")
    person.reads("still here")
    person.types("\\q\n")
    assert person.ends() == 0
    history = (tmp_path / ".local/state/trainyard/sql_history").read_text()
    assert "answer;" in history
