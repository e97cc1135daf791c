"""Jobs that really run: made, awaited, told of and ended in SQL alone; views outlive the server."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

import pytest
from edge_server import Server, running

T = "google.aiplatform.custom_jobs"
W = "projectsId = 'p1' AND locationsId = 'us-central1'"


def ask(server: Server, statement: str) -> list[list[Any]]:
    """The rows of a statement, over HTTP; the test fails where it is refused."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("POST", "/v1/sql", statement.encode(), {"content-type": "text/plain"})
    answer = connection.getresponse()
    lines = [json.loads(line) for line in answer.read().splitlines()]
    connection.close()
    assert answer.status == 200, lines
    assert "error" not in lines[-1], lines
    return [line["row"] for line in lines if "row" in line]


def made(server: Server, name: str, *command: str, hint: str = "") -> list[Any]:
    """A job of this command: its id and state, as RETURNING tells them."""
    spec = json.dumps(running(*command)["jobSpec"]).replace("'", "''")
    into = f"INSERT {hint} INTO {T}(projectsId, locationsId, displayName, jobSpec)"
    (row,) = ask(server, f"{into} SELECT 'p1', 'us-central1', '{name}', '{spec}' RETURNING customJobsId, state")
    return row


def test_a_job_s_whole_life_in_sql(tmp_path: Path) -> None:
    """Made and awaited, its attempts, ends and lines told, cloned, cancelled, deleted; a view stays over a restart."""
    with Server(tmp_path) as server:
        id_, state = made(server, "loud", "sh", "-c", "echo one; echo two >&2; exit 3", hint="/*+ AWAIT */")
        assert state == "JOB_STATE_FAILED"
        ((cause, code, host),) = ask(
            server, "SELECT cause, exitCode, host FROM trainyard.replicas WHERE projectsId = 'p1'"
        )
        assert (cause, code) == ("exited", 3)
        assert host
        lines = f"SELECT l.text FROM {T} j JOIN trainyard.logs l ON l.job = j.name WHERE {W} AND l.task <> 'service'"
        assert sorted(ask(server, lines)) == [["one"], ["two"]]
        (attempt,) = ask(
            server, f"SELECT attempt, outcome FROM trainyard.attempts WHERE projectsId = 'p1' AND jobsId = '{id_}'"
        )
        assert attempt == [1, "JOB_STATE_FAILED"]
        states = f"SELECT toState FROM trainyard.history WHERE projectsId = 'p1' AND jobsId = '{id_}'"
        assert [state for (state,) in ask(server, states)][0::3] == ["JOB_STATE_QUEUED", "JOB_STATE_FAILED"]
        long, _ = made(server, "long", "sleep", "600")
        ask(
            server, f"EXEC /*+ AWAIT */ {T}.cancel @projectsId='p1', @locationsId='us-central1', @customJobsId='{long}'"
        )
        assert ask(server, f"SELECT state FROM {T} WHERE {W} AND customJobsId = '{long}'") == [["JOB_STATE_CANCELLED"]]
        ask(server, f"DELETE FROM {T} WHERE {W} AND customJobsId IN ('{id_}', '{long}') AND state = 'JOB_STATE_FAILED'")
        ask(server, f"CREATE VIEW left_over AS SELECT displayName FROM {T} WHERE {W}")
        assert ask(server, "SELECT * FROM left_over") == [["long"]]
    with Server(tmp_path) as again:
        assert ask(again, "SELECT * FROM left_over") == [["long"]]


@pytest.mark.parametrize(
    "statement", ["SELECT 1", f"SELECT count(*) FROM {T} WHERE projectsId = '-' AND locationsId = '-'"]
)
def test_an_idle_server_grows_little_by_its_first_statement(tmp_path: Path, statement: str) -> None:
    """The engine comes with the first question, and is small."""
    with Server(tmp_path) as server:
        before = server.memory_bytes()
        ask(server, statement)
        assert server.memory_bytes() - before < 40_000_000
