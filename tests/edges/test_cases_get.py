"""Conformance cases 31 to 39: reading a job, names, errors, system parameters, over the wire."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest
from edge_server import Api, Server, running

from trainyard.core.names import project_number

NAP = running("sleep", "30")


def cancelled(api: Api, name: str) -> None:
    assert api.call("POST", f"{name}:cancel", {}).status == 200


def test_case_31_a_job_reads_back_as_created(api: Api) -> None:
    """GET …/customJobs/{id} equals what was created, with the same timestamps until the state changes."""
    made = api.made(NAP)
    read = api.get(made["name"]).json
    assert {**read, "state": 0, "updateTime": 0, "startTime": 0} == {
        **made,
        "state": 0,
        "updateTime": 0,
        "startTime": 0,
    }
    assert read["createTime"] == made["createTime"]
    if read["state"] == made["state"]:
        assert read == made
    cancelled(api, made["name"])


def test_case_32_projects_go_by_id_and_number(api: Api, project: str) -> None:
    """GET by project number when created by id gives the same job; another project gives 404."""
    made = api.made()
    number = project_number(project)
    tail = made["name"].split("/", 2)[2]
    assert made["name"].split("/")[1] == number
    by_id = api.get(f"projects/{project}/{tail}").json
    assert by_id["name"] == api.get(f"projects/{number}/{tail}").json["name"] == made["name"]
    assert api.get(f"projects/{project}x/{tail}").status == 404


def test_case_33_unknown_jobs_are_not_found(api: Api) -> None:
    """GET of an unknown numeric id is a 404 with `error.status` NOT_FOUND and a JSON body."""
    answer = api.get(f"{api.parent}/customJobs/123")
    assert (answer.status, answer.error["code"], answer.error["status"]) == (404, 404, "NOT_FOUND")
    assert answer.error["message"] == "The CustomJob does not exist."
    assert answer.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize("last", ["abc", "-1", "9" * 30, "%00", "%2F", "1%20", "%D9%A1", "%FF", "a:b", "1:x"])
def test_case_34_what_is_no_id_is_refused(api: Api, last: str) -> None:
    """GET `customJobs/abc` is a 400 or 404, never a 500."""
    answer = api.get(f"{api.parent}/customJobs/{last}")
    assert answer.status in (400, 404, 405)
    assert answer.error["code"] == answer.status


def test_case_35_locations_are_kept_apart(api: Api) -> None:
    """GET in another location is a 404."""
    made = api.made()
    assert api.get(made["name"].replace("us-central1", "europe-west4")).status == 404


@pytest.mark.parametrize("query", ["?fields=name,state", "?$fields=name,state", "?%24fields=name%2Cstate"])
def test_case_36_fields_pick_parts(api: Api, query: str) -> None:
    """`?fields=name,state` returns just those; `$fields` is the same."""
    made = api.made()
    assert api.get(made["name"], query).json.keys() == {"name", "state"}


def test_case_36_the_field_mask_header(api: Api) -> None:
    """The header `X-Goog-FieldMask: name,state` returns just those."""
    made = api.made()
    answer = api.call("GET", made["name"], headers={"X-Goog-FieldMask": "name,state"})
    assert answer.json.keys() == {"name", "state"}


def test_case_36_nested_fields_and_faults(api: Api) -> None:
    """Masks go inwards, and a field that is not there is refused by name before anything is done."""
    made = api.made()
    deep = api.get(made["name"], "?fields=jobSpec(workerPoolSpecs/replicaCount)").json
    assert deep == {"jobSpec": {"workerPoolSpecs": [{"replicaCount": "1"}]}}
    answer = api.create(query="?fields=nope")
    assert answer.status == 400
    assert "nope" in answer.error["message"]
    assert len(api.list().json["customJobs"]) == 1


def test_case_37_pretty_unless_told_otherwise(api: Api) -> None:
    """`prettyPrint=false` gives compact JSON; the default is pretty."""
    made = api.made()
    assert api.get(made["name"]).body.startswith(b'{\n  "name": ')
    for query in ("?prettyPrint=false", "?$prettyPrint=false"):
        compact = api.get(made["name"], query).body
        assert compact.startswith(b'{"name":"')
        assert b"\n" not in compact
    assert api.get(made["name"], "?prettyPrint=perhaps").status == 400


def test_alt_proto_gives_the_wire_bytes(api: Api) -> None:
    """`alt=proto` answers with the message itself; other forms are refused."""
    from trainyard.contract.pool import message_class

    made = api.made()
    answer = api.get(made["name"], "?alt=proto")
    assert answer.headers["content-type"] == "application/x-protobuf"
    job = message_class("google.cloud.aiplatform.v1.CustomJob").FromString(answer.body)
    assert job.name == made["name"]  # type: ignore[attr-defined]  # a CustomJob
    assert api.get(made["name"], "?alt=media").status == 400
    assert api.get(made["name"], "?callback=f").status == 400


def test_case_38_credentials_are_asked_for(tmp_path: Path) -> None:
    """No Authorization header when auth is on is a 401 UNAUTHENTICATED; so is a wrong one; the first token gets in."""
    with Server(tmp_path / "data", "--auth") as server:
        api = Api(server.port)
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": "Basic eA=="},
        ):
            answer = api.call("GET", f"{api.parent}/customJobs", headers=headers)
            assert (answer.status, answer.error["status"]) == (401, "UNAUTHENTICATED")
            assert answer.headers["www-authenticate"].startswith("Bearer")
        wrong = api.call("GET", f"{api.parent}/customJobs", headers={"X-Goog-Api-Key": "wrong"})
        assert (wrong.status, wrong.error["message"]) == (400, "API key not valid. Please pass a valid API key.")
        token = server.stderr().split("shown only now: ")[1].split()[0]
        for headers in ({"Authorization": f"Bearer {token}"}, {"X-Goog-Api-Key": token}):
            assert api.call("GET", f"{api.parent}/customJobs", headers=headers).status == 200
        assert api.list(f"?key={token}").status == 200
        assert api.call("GET", "/trainyard/v1/health").status == 200
        made = api.call("POST", f"{api.parent}/customJobs", NAP, {"X-Goog-Api-Key": token}).json
        api.call("POST", f"{made['name']}:cancel", {}, {"X-Goog-Api-Key": token})
        api.close()


@pytest.mark.parametrize("verb", ["PATCH", "PUT", "DELETE", "OPTIONS"])
def test_case_39_no_method_beyond_those_that_exist(api: Api, verb: str) -> None:
    """A wrong method (PATCH) is a 405 that says what there is; no update method exists."""
    answer = api.call(verb, f"{api.parent}/customJobs", {})
    assert (answer.status, answer.error["code"]) == (405, 405)
    assert answer.headers["allow"] == "GET, POST, HEAD"


@pytest.mark.parametrize(
    "path", ["/v2/x", "/v1", "/nothing", "/v1/projects/p", "/v1beta2/projects/p/locations/l/customJobs"]
)
def test_unknown_paths_are_not_found(api: Api, path: str) -> None:
    """An unknown path is a 404 in JSON."""
    answer = api.call("GET", path)
    assert (answer.status, answer.error["status"]) == (404, "NOT_FOUND")


def test_head_is_get_without_a_body(api: Api) -> None:
    """HEAD gives GET's head and no body."""
    made = api.made()
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)
    connection.request("HEAD", f"/v1/{made['name']}")
    head = connection.getresponse()
    assert head.status == 200
    assert int(head.getheader("content-length") or 0) > 100
    assert head.read() == b""
    connection.close()


def test_a_method_may_be_overridden(api: Api) -> None:
    """`X-HTTP-Method-Override: GET` on a POST is a GET, as Google's front end has it."""
    made = api.made()
    answer = api.call("POST", made["name"], headers={"X-HTTP-Method-Override": "GET"})
    assert answer.json["name"] == made["name"]


def test_unknown_query_parameters_are_refused(api: Api) -> None:
    """A parameter that means nothing is refused, not skipped; the system's own are known."""
    assert api.list("?nope=1").status == 400
    assert api.list("?quotaUser=me&$.xgafv=2&uploadType=media&key=k&userProject=p").status == 200


def test_locations_are_served(api: Api) -> None:
    """GET …/locations and …/locations/{l} answer under v1, v1beta1 and ui."""
    project = api.parent.split("/locations")[0]
    for prefix in ("v1", "v1beta1", "ui"):
        found = api.call("GET", f"/{prefix}/{project}/locations").json["locations"]
        assert any(each["locationId"] == "us-central1" for each in found)
        one = api.call("GET", f"/{prefix}/{api.parent}").json
        assert one["locationId"] == "us-central1"


def test_permissions_can_be_tested(api: Api) -> None:
    """POST …:testIamPermissions answers with those of the asked permissions that the caller has."""
    made = api.made()
    asked = {"permissions": ["aiplatform.customJobs.get"]}
    answer = api.call("POST", f"{made['name']}:testIamPermissions", asked)
    assert answer.json == asked
