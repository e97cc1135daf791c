"""From an HTTP request to a message: routes, variables, query, body and system parameters."""

from __future__ import annotations

from typing import Any

import pytest

from trainyard.contract.codec import JsonFaults, render
from trainyard.contract.operations import operations
from trainyard.contract.pool import message_class
from trainyard.contract.system_parameters import SystemParameters, read_query, system_parameters
from trainyard.contract.transcoding import NoRoute, Router, WrongMethod, request_of

ROUTER = Router()
L = "projects/p/locations/l"


def call(verb: str, path: str, query: str = "", body: bytes = b"") -> tuple[str, str, Any]:
    match = ROUTER.match(verb, path)
    return match.operation.method, match.version, render(request_of(match, read_query(query), body))


def refused(verb: str, path: str, query: str = "", body: bytes = b"") -> list[tuple[str, str]]:
    with pytest.raises(JsonFaults) as caught:
        call(verb, path, query, body)
    return [(fault.field, fault.description) for fault in caught.value.faults]


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_the_five_methods_of_a_kind_are_routed(version: str) -> None:
    """Both versions, both kinds, by verb and path alone."""
    for kind, many, field in (("CustomJob", "customJobs", "customJob"), ("NasJob", "nasJobs", "nasJob")):
        parent, name = f"/{version}/{L}/{many}", f"{L}/{many}/7"
        body = b'{"displayName": "x"}'
        assert call("POST", parent, body=body) == (f"Create{kind}", version, {"parent": L, field: {"displayName": "x"}})
        assert call("GET", f"/{version}/{name}") == (f"Get{kind}", version, {"name": name})
        assert call("GET", parent, "pageSize=2") == (f"List{kind}s", version, {"parent": L, "pageSize": 2})
        assert call("DELETE", f"/{version}/{name}") == (f"Delete{kind}", version, {"name": name})
        assert call("POST", f"/{version}/{name}:cancel", body=b"{}") == (f"Cancel{kind}", version, {"name": name})


@pytest.mark.parametrize("version", ["ui", "v1", "v1beta1"])
@pytest.mark.parametrize("owner", ["", "/customJobs/7", "/nasJobs/7"])
def test_operations_are_routed_under_all_three_prefixes(version: str, owner: str) -> None:
    """The official REST client asks for operations at /ui, others at the version."""
    name = f"{L}{owner}/operations/9"
    assert call("GET", f"/{version}/{name}") == ("GetOperation", version, {"name": name})
    assert call("DELETE", f"/{version}/{name}") == ("DeleteOperation", version, {"name": name})
    assert call("POST", f"/{version}/{name}:cancel", body=b'""') == ("CancelOperation", version, {"name": name})
    assert call("POST", f"/{version}/{name}:wait", "timeout=5s") == (
        "WaitOperation", version, {"name": name, "timeout": "5s"})  # fmt: skip
    assert call("GET", f"/{version}/{L}{owner}/operations") == ("ListOperations", version, {"name": L + owner})


def test_locations_and_permissions_are_routed() -> None:
    """As the client binds them: permissions in the query or in the body."""
    assert call("GET", "/ui/projects/p/locations") == ("ListLocations", "ui", {"name": "projects/p"})
    assert call("GET", f"/v1/{L}") == ("GetLocation", "v1", {"name": L})
    resource = f"{L}/customJobs/7"
    wanted = {"resource": resource, "permissions": ["a", "b"]}
    path = f"/v1/{resource}:testIamPermissions"
    assert call("POST", path, "permissions=a&permissions=b")[2] == wanted
    assert call("POST", path, body=b'{"permissions": ["a", "b"]}')[2] == wanted
    assert call("POST", path, "permissions=b", b'{"permissions": ["a"]}')[2] == wanted


@pytest.mark.parametrize(
    "path",
    ["/", "", "/v1", f"/v2/{L}/customJobs", f"/v1/{L}/customJobs/", f"/v1/{L}/customJobs/7:explode",
     f"/v1/{L}/endpoints",
     f"/ui/{L}/customJobs", "/v1//locations/l/customJobs", "/v1/projects/p/locations/l/customJobs/7/x"],
)  # fmt: skip
def test_an_unknown_path_has_no_route(path: str) -> None:
    """Nothing is guessed from a path that nearly fits."""
    with pytest.raises(NoRoute):
        ROUTER.match("GET", path)


def test_a_known_path_with_another_verb_says_what_is_allowed() -> None:
    """Case 39 of the contract: there is no update."""
    with pytest.raises(WrongMethod) as caught:
        ROUTER.match("PATCH", f"/v1/{L}/customJobs/7")
    assert caught.value.allowed == ("DELETE", "GET")


def test_variables_are_decoded_once() -> None:
    """%2520 is the text %20; bytes that are no UTF-8 are refused, naming the field."""
    assert call("GET", "/v1/projects/a%2520b%20c/locations/l")[2] == {"name": "projects/a%20b c/locations/l"}
    ((field, _),) = refused("GET", "/v1/projects/%ff/locations/l")
    assert field == "name"


def test_query_parameters_fill_fields_in_either_spelling() -> None:
    """With the rules of JSON: masks, numbers, text."""
    query = "page_size=10&filter=state%3D%22X%22&readMask=name,displayName&$alt=json;enum-encoding=int&key=K"
    assert call("GET", f"/v1/{L}/customJobs", query)[2] == {
        "parent": L, "filter": 'state="X"', "pageSize": 10, "readMask": "name,displayName"}  # fmt: skip
    partial = call("GET", f"/v1/{L}/operations", "returnPartialSuccess=true")[2]
    assert partial == {"name": L, "returnPartialSuccess": True}
    inner = call("POST", f"/v1/{L}/x/1:getIamPolicy", "options.requestedPolicyVersion=3")[2]
    assert inner == {"resource": f"{L}/x/1", "options": {"requestedPolicyVersion": 3}}


def test_query_parameters_that_fit_nowhere_are_refused_together() -> None:
    """Unknown, given twice, bound by the path, a message, or of the wrong type: each is named."""
    query = "x=1&parent=q&pageSize=1&pageSize=2&a.b=1&readMask.paths=a&pageToken.x=1"
    found = refused("GET", f"/v1/{L}/customJobs", query)
    assert [text.partition('"')[2].partition('"')[0] for _, text in found] == [
        "x", "parent", "pageSize", "a.b", "readMask.paths", "pageToken.x"]  # fmt: skip
    assert refused("GET", f"/v1/{L}/customJobs", "pageSize=many") == [
        ("page_size", "Invalid value at 'page_size' (TYPE_INT32), \"many\"")
    ]
    ((field, text),) = refused("GET", f"/v1/{L}/customJobs", "x=1")
    assert field == ""
    assert text == (
        'Invalid JSON payload received. Unknown name "x": Cannot bind query parameter. '
        "Field 'x' could not be found in request message."
    )
    assert refused("POST", f"/v1/{L}/customJobs", "customJob.displayName=a", b"{}")
    assert refused("GET", f"/v1/{L}/operations", "returnPartialSuccess=yes")
    assert refused("POST", f"/v1/{L}/x/1:getIamPolicy", "options=3")


@pytest.mark.parametrize("body", [b"", b" \n", b"{}", b'""', b"null"])
def test_an_empty_body_is_a_body_without_fields(body: bytes) -> None:
    """Clients cancel with `{}`, with nothing and with an empty string."""
    assert call("POST", f"/v1/{L}/customJobs/7:cancel", body=body)[2] == {"name": f"{L}/customJobs/7"}


def test_faults_of_body_and_query_come_together() -> None:
    """The body's paths stand below its field, the query's beside it."""
    found = refused("POST", f"/v1/{L}/customJobs", "x=1", b'{"displayName": 1}')
    assert [field for field, _ in found] == ["custom_job.display_name", ""]
    assert refused("POST", f"/v1/{L}/customJobs", body=b"{")[0][1].startswith("Invalid JSON payload received.")
    assert "takes no body" in refused("GET", f"/v1/{L}/customJobs/7", body=b'{"a": 1}')[0][1]
    assert "already says it" in refused("POST", f"/v1/{L}/customJobs/7:cancel", body=b'{"name": "other"}')[0][1]


def test_v1_refuses_what_only_v1beta1_has() -> None:
    """Case 24 of the contract."""
    body = b'{"jobSpec": {"workerPoolSpecs": [{"machineSpec": {"minGpuDriverVersion": "1"}}]}}'
    assert call("POST", f"/v1beta1/{L}/customJobs", body=body)[0] == "CreateCustomJob"
    ((field, text),) = refused("POST", f"/v1/{L}/customJobs", body=body)
    assert field == "custom_job.job_spec.worker_pool_specs[0].machine_spec"
    assert '"minGpuDriverVersion"' in text


def test_system_parameters_say_how_to_answer() -> None:
    """With and without the dollar sign, and by the header."""
    assert system_parameters(()) == SystemParameters()
    query = "$alt=json;enum-encoding=int&$prettyPrint=0&$fields=a(b,c)&key=K&oauth_token=T&$.xgafv=2"
    read = system_parameters(read_query(query))
    assert read == SystemParameters(enums_as_ints=True, pretty=False, fields="a(b,c)", key="K", access_token="T")
    assert system_parameters(read_query("alt=proto&access_token=A"), field_mask="name").fields == "name"
    assert system_parameters(read_query("fields=a"), field_mask="name").fields == "a"


@pytest.mark.parametrize(
    "query", ["alt=media", "alt=json;enum-encoding=hex", "prettyPrint=maybe", "$.xgafv=3", "callback=f", "alt="]
)
def test_forms_that_we_do_not_give_are_refused(query: str) -> None:
    """Each fault names its parameter."""
    with pytest.raises(JsonFaults) as caught:
        system_parameters(read_query(query))
    assert [fault.field.lstrip("$") for fault in caught.value.faults] == [query.lstrip("$").partition("=")[0]]


@pytest.mark.parametrize("raw", ["a=%ff", "&".join("a=1" for _ in range(1001))])
def test_a_query_that_is_no_query_is_refused(raw: str) -> None:
    """Bad UTF-8, or parameters without end."""
    with pytest.raises(JsonFaults, match="Invalid query string"):
        read_query(raw)


def test_every_operation_of_the_book_can_be_reached() -> None:
    """A path made from each template, in each version, comes back to its operation, and its messages exist."""
    for operation in operations():
        for rule in operation.rules:
            for version in operation.versions:
                path = rule.template.replace("**", "x/1").replace("*", "1")
                path = "".join(part.partition("=")[2] or part for part in path.replace("}", "{").split("{"))
                match = ROUTER.match(rule.verb, f"/{version}/{path}")
                assert match.operation is operation
                assert match.request_class.DESCRIPTOR.full_name.endswith(operation.request.rpartition(".")[2])
                message_class(operation.response.replace("{v}", "v1"))
                assert all(name in match.request_class.DESCRIPTOR.fields_by_name for name in match.variables)
