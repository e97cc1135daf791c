"""The OpenAPI document and the page that shows it: valid, whole, and true to what the server answers."""

from __future__ import annotations

import re
from typing import Any

import pytest
from edge_server import Api, running
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from trainyard.contract.operations import operations

POOL = {"name": "described", "resourcePools": [{"machineSpec": {"machineType": "n1-standard-4"}}]}


@pytest.fixture
def document(api: Api) -> dict[str, Any]:
    """What the server gives."""
    answer = api.call("GET", "/openapi.json")
    assert answer.headers["content-type"].startswith("application/json")
    return dict(answer.json)


def faults(document: dict[str, Any], schema: str, value: Any) -> list[str]:
    """What is wrong with a value by a schema of the document."""
    rooted = {"$ref": f"#/components/schemas/{schema}", "components": document["components"]}
    return [f"{each.json_path}: {each.message}" for each in Draft202012Validator(rooted).iter_errors(value)]


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    """By the published validator of OpenAPI 3.1."""
    assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_every_operation_is_in_it_once_a_version(document: dict[str, Any]) -> None:
    """All methods and bindings of the book but the ui prefix, under ids of their own, each field with its sentence."""
    ids = [method["operationId"] for path in document["paths"].values() for method in path.values()]
    assert len(ids) == len(set(ids))
    wanted = {f"{version}.{each.method}" for each in operations() for version in each.versions if version != "ui"}
    assert wanted == {each for each in ids if not re.search(r"\.\d+$|^trainyard\.", each)}
    job = document["components"]["schemas"]["v1.CustomJob"]
    assert job["required"] == ["displayName", "jobSpec"]
    assert job["properties"]["state"]["readOnly"]
    assert all(field.get("description") for field in job["properties"].values())
    spec = document["components"]["schemas"]
    assert "multihostGpuNodeCount" in spec["v1beta1.MachineSpec"]["properties"]
    assert "multihostGpuNodeCount" not in spec["v1.MachineSpec"]["properties"]


def test_every_path_is_served(api: Api, document: dict[str, Any]) -> None:
    """No path of the document is one that the server does not know."""
    for path, methods in document["paths"].items():
        real = re.sub(
            r"\{(\w+)\}", lambda found: {"stream": "stdout", "location": "us-central1"}.get(found[1], "1"), path
        )
        for verb in methods:
            answer = api.call(verb.upper(), real, {} if verb == "post" else None)
            assert answer.status not in (405, 500), (verb, path, answer.body)
            assert answer.status == 200 or "Nothing is at" not in answer.error["message"], (verb, path)


def test_answers_are_as_described(api: Api, project: str, document: dict[str, Any]) -> None:
    """Jobs, lists, operations, log entries, errors, and the routes that no book describes."""
    name = api.made(running("sh", "-c", "echo hello; echo '{\"loss\": 1}'"))["name"]
    job = api.wait(name)
    own = f"/trainyard/v1/{name}"
    page = api.call("POST", "/v2/entries:list", {"resourceNames": [f"projects/{project}"]})
    answers = {
        "v1.CustomJob": job,
        "v1beta1.CustomJob": api.call("GET", name, version="v1beta1").json,
        "v1.ListCustomJobsResponse": api.list().json,
        "logging.v2.ListLogEntriesResponse": page.json,
        "trainyard.Health": api.call("GET", "/trainyard/v1/health").json,
        "trainyard.Explanation": api.call("GET", f"{own}:explain").json,
        "trainyard.Logs": api.call("GET", f"{own}/logs").json,
        "trainyard.Usage": api.call("GET", f"{own}:usage").json,
        "trainyard.Pool": api.call("POST", "/trainyard/v1/pools", POOL).json,
        "trainyard.Pools": api.call("GET", "/trainyard/v1/pools").json,
        "Error": api.get(f"{name}9").json,
        "longrunning.Operation": api.call("DELETE", name).json,
    }
    assert {schema: faults(document, schema, value) for schema, value in answers.items()} == {
        key: [] for key in answers
    }
    assert api.call("DELETE", f"/trainyard/v1/pools/{POOL['name']}").json == {}
    assert len(answers["trainyard.Logs"]["entries"]) > 2
    assert faults(document, "v1.CustomJob", {"displayName": 1})


def test_the_page_is_whole_and_ours_alone(api: Api) -> None:
    """All that it refers to is served, with its type; its policy lets nothing in from elsewhere."""
    page = api.call("GET", "/docs/api")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    text = page.body.decode()
    assert "https://" not in text
    for asset in re.findall(r'(?:href|src)="(/docs[^"]+)"', text):
        answer = api.call("GET", asset)
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/")
        assert b"https://" not in answer.body
    assert api.call("HEAD", "/docs/api").body == b""
    assert api.call("POST", "/docs/api", {}).status == 405
    assert api.call("GET", "/docs/api/../api.js").status == 404
