"""`POST /v1/sql`: lines as they come, errors before and within, and what the document says of it."""

from __future__ import annotations

import http.client
import json
import time
from pathlib import Path
from typing import Any

import pytest
from edge_server import Api, Server
from jsonschema import Draft202012Validator

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT {} FROM n"


class Sql:
    """Posts to a server."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def send(self, body: Any, **headers: str) -> http.client.HTTPResponse:
        """The answer's head; a dict goes as JSON, text as text."""
        kind = "application/json" if isinstance(body, dict) else "text/plain"
        data = json.dumps(body) if isinstance(body, dict) else body
        self.connection.request("POST", "/v1/sql", data.encode(), {"content-type": kind, **headers})
        return self.connection.getresponse()

    def lines(self, body: Any) -> list[dict[str, Any]]:
        """All lines of an answer."""
        answer = self.send(body)
        assert (answer.status, answer.headers["content-type"]) == (200, "application/x-ndjson"), answer.read()
        return [json.loads(line) for line in answer.read().splitlines()]


@pytest.fixture
def sql(server: Server) -> Sql:
    return Sql(server.port)


def test_rows_come_as_lines(sql: Sql) -> None:
    """Columns with kinds, a line a row, what was done; several statements one behind the other."""
    assert sql.lines({"sql": "SELECT 1 AS a, 'x' AS b; SELECT 2.5 AS c WHERE 0"}) == [
        {"columns": [{"name": "a", "kind": "bigint"}, {"name": "b", "kind": "text"}]},
        {"row": [1, "x"]},
        {"done": {"tag": "SELECT 1", "message": "", "notices": []}},
        {"columns": [{"name": "c", "kind": "double"}]},
        {"done": {"tag": "SELECT 0", "message": "", "notices": []}},
    ]
    assert sql.lines("SELECT 3 AS n")[1] == {"row": [3]}


def test_values_are_handed_in_and_rows_may_be_objects(sql: Sql, api: Api) -> None:
    """Parameters by number; rows by name; JSON nested where it is wished; truths as truths."""
    api.made(api_body())
    project = api.parent.split("/")[1]
    asked = {
        "sql": "SELECT labels, satisfiesPzi FROM custom_jobs WHERE projectsId = $1 AND locationsId = 'us-central1'",
        "parameters": [project],
        "rows": "objects",
    }
    plain = sql.lines(asked)[1]["row"]
    assert plain["labels"] == '{"team":"x"}'
    nested = sql.lines({**asked, "nested": True})[1]["row"]
    assert nested["labels"] == {"team": "x"}
    assert nested["satisfiesPzi"] in (False, None)
    unnamed = {"sql": "SELECT count(*) FROM custom_jobs", "project": project, "location": "us-central1"}
    assert sql.lines(unnamed)[1] == {"row": [1]}


def api_body() -> dict[str, Any]:
    """A job with a label."""
    pool = {"machineSpec": {"machineType": "n1-standard-4"}, "replicaCount": 1, "containerSpec": {"imageUri": "host"}}
    return {"displayName": "x", "labels": {"team": "x"}, "jobSpec": {"workerPoolSpecs": [pool]}}


def test_errors(sql: Sql) -> None:
    """The first statement's is an HTTP error with SQLSTATE and hint; a later one's is a line, and the last."""
    answer = sql.send({"sql": "SELECT nope"})
    error = json.loads(answer.read())["error"]
    assert (answer.status, error["details"][0]["metadata"]["sqlstate"]) == (400, "42703")
    assert error["details"][0]["metadata"]["hint"]
    lines = sql.lines({"sql": "SELECT 1; SELECT nope; SELECT 2"})
    assert [next(iter(line)) for line in lines] == ["columns", "row", "done", "error"]
    assert lines[-1]["error"]["sqlstate"] == "42703"
    went_on = sql.lines({"sql": "SELECT nope; SELECT 2", "goOn": True})
    assert [next(iter(line)) for line in went_on] == ["error", "columns", "row", "done"]
    refused = sql.send({"sql": "PRAGMA user_version"})
    assert (refused.status, json.loads(refused.read())["error"]["status"]) == (403, "PERMISSION_DENIED")


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "sql"),
        ({"sql": 1}, "sql"),
        ({"sql": "SELECT 1", "nonsense": 1}, "nonsense"),
        ({"sql": "SELECT $1", "parameters": [{}]}, "parameters"),
        ({"sql": "SELECT 1; SELECT 2", "parameters": [1]}, "parameters"),
        ({"sql": "SELECT 1", "rows": "columns"}, "rows"),
    ],
)
def test_bad_requests_name_the_field(sql: Sql, body: dict[str, Any], named: str) -> None:
    """400 with the field."""
    answer = sql.send(body)
    error = json.loads(answer.read())["error"]
    assert answer.status == 400
    assert error["details"][0]["fieldViolations"][0]["field"] == named


def test_what_is_no_request(sql: Sql, server: Server) -> None:
    """Not JSON, not UTF-8, not POST, a page of somebody else: each has its answer."""
    assert sql.send("[1", **{"content-type": "application/json"}).read().startswith(b"{")
    sql.connection.request("POST", "/v1/sql", b"\xff", {"content-type": "text/plain"})
    assert sql.connection.getresponse().read().find(b"UTF-8") > 0
    sql.connection.request("GET", "/v1/sql")
    answer = sql.connection.getresponse()
    assert (answer.status, answer.headers["allow"], bool(answer.read())) == (405, "POST", True)
    foreign = sql.send("SELECT 1", origin="https://evil.example")
    assert (foreign.status, bool(foreign.read())) == (403, True)


def test_rows_are_given_before_the_last_is_known(sql: Sql, server: Server) -> None:
    """An endless statement's first rows are here at once, and the memory they take is bounded."""
    before = server.memory_bytes()
    answer = sql.send({"sql": ENDLESS.format("i")})
    first = [json.loads(answer.readline()) for _ in range(1000)]
    assert first[-1] == {"row": [999]}
    time.sleep(0.5)
    assert server.memory_bytes() - before < 60_000_000
    sql.connection.close()
    other = Sql(server.port)
    assert other.lines("SELECT 1")[1] == {"row": [1]}


@pytest.mark.parametrize("rows", ["i", "count(*)"])
def test_who_leaves_ends_the_statement(tmp_path: Path, rows: str) -> None:
    """A client that hangs up, before the first row or behind it, leaves no work behind."""
    with Server(tmp_path / "data") as server:
        sql = Sql(server.port)
        sql.lines("SELECT 1")
        sql.connection.request("POST", "/v1/sql", ENDLESS.format(rows).encode(), {"content-type": "text/plain"})
        assert rows == "i" or server.comes_to_work()
        sql.connection.close()
        assert server.comes_to_rest()


def test_watch_is_a_stream(sql: Sql, api: Api) -> None:
    """WATCH SELECT gives what is there and then what becomes of it, as it happens."""
    project = api.parent.split("/")[1]
    where = f"projectsId = '{project}' AND locationsId = 'us-central1'"
    answer = sql.send({"sql": f"WATCH SELECT displayName, state FROM custom_jobs WHERE {where}"})
    assert answer.status == 200, answer.read()
    api.made({**api_body(), "displayName": "watched"})
    seen = [json.loads(answer.readline()) for _ in range(2)]
    assert "columns" in seen[0]
    assert "watched" in str(seen[1])
    sql.connection.close()


def test_the_document_is_true(sql: Sql, api: Api) -> None:
    """openapi.json describes the request and each line that comes back."""
    document = api.call("GET", "/openapi.json").json
    described = document["paths"]["/v1/sql"]["post"]
    assert "application/x-ndjson" in described["responses"]["200"]["content"]
    schema = {"$ref": "#/components/schemas/trainyard.SqlLine", "components": document["components"]}
    for line in sql.lines({"sql": "SELECT 1 AS a; SELECT nope", "goOn": True}):
        assert list(Draft202012Validator(schema).iter_errors(line)) == []
    asked = {"$ref": "#/components/schemas/trainyard.SqlRequest", "components": document["components"]}
    assert list(Draft202012Validator(asked).iter_errors({"sql": "SELECT 1", "parameters": ["x", 1, None]})) == []
    assert list(Draft202012Validator(asked).iter_errors({"parameters": []})) != []
