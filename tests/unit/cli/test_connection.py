"""One request, one answer, and every fault as a sentence."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from trainyard.cli.connection import Connection, Target, refusal
from trainyard.cli.problems import Problem, Refused, Unreachable, Usage
from trainyard.cli.service_api import ServiceApi, job_id, short_state


def test_nobody_listening_is_said_with_what_to_do() -> None:
    """An endpoint without a service gives one sentence, two remedies and exit code 3."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(Unreachable) as problem:
        Connection(Target(endpoint, "p", "r")).call("GET", "x")
    assert "nobody listens" in problem.value.sentence
    assert problem.value.exit_code == 3
    assert len(problem.value.details) == 2


@pytest.mark.parametrize("endpoint", ["127.0.0.1:80", "ftp://h", "http://", "http://h:port"])
def test_what_is_no_address_is_refused(endpoint: str) -> None:
    """An address that can't be one is refused before anything is sent."""
    with pytest.raises(Usage):
        Connection(Target(endpoint, "p", "r"))


def test_a_prefix_a_token_and_a_body_are_sent(stand_in: Any) -> None:
    """The endpoint's path prefix, the bearer token and JSON bodies reach the service."""
    stand_in.answer = lambda asked: (200, {"name": "n"})
    target = Target(stand_in.endpoint + "/vertex/", "p", "r", token="secret")
    assert ServiceApi(target).create({"displayName": "d"}) == {"name": "n"}
    asked = stand_in.asked[0]
    assert (asked.verb, asked.path) == ("POST", "/vertex/v1/projects/p/locations/r/customJobs")
    assert asked.headers["Authorization"] == "Bearer secret"
    assert asked.body == {"displayName": "d"}


def test_a_closed_idle_connection_is_opened_again_for_reading_only(stand_in: Any) -> None:
    """A GET over a connection that was closed meanwhile is repeated; a POST never is."""
    answers = iter([(200, {}), "hang up", (200, {"again": True}), "hang up"])

    def answer(asked: Any) -> Any:
        made = next(answers)
        return (lambda handler: None) if made == "hang up" else made

    stand_in.answer = answer
    connection = Connection(stand_in.target)
    connection.call("GET", "a")
    assert connection.call("GET", "a") == {"again": True}
    with pytest.raises(Unreachable):
        connection.call("POST", "a", body={})
    assert len(stand_in.asked) == 4


def test_what_does_not_speak_json_is_no_service_of_ours(stand_in: Any) -> None:
    """An answer that is no JSON, or no object, is said to come from somebody else."""
    stand_in.answer = lambda asked: (200, b"<html>")
    with pytest.raises(Problem, match="no Trainyard"):
        ServiceApi(stand_in.target).get("projects/p/locations/r/customJobs/1")
    stand_in.answer = lambda asked: (200, [])
    with pytest.raises(Problem, match="no JSON object"):
        ServiceApi(stand_in.target).get("projects/p/locations/r/customJobs/1")


def test_faults_are_listed_one_a_line() -> None:
    """Field violations come out one a line; the message that only repeats them does not."""
    message = "List of found errors:\t1.Field: a; Message: x\t2.Field: b; Message: y\t "
    violations = [{"field": "a", "description": "x"}, {"field": "b", "description": "y"}]
    error = {"message": message, "status": "INVALID_ARGUMENT", "details": [{"fieldViolations": violations}]}
    told = refusal(400, "Bad", _json({"error": error}))
    assert told.sentence == "the service found 2 faults:"
    assert told.details == ("a: x", "b: y")
    assert refusal(400, "Bad", _json({"error": {**error, "details": []}})).details == ("a: x", "b: y")


def test_a_message_of_its_own_is_kept() -> None:
    """A plain error is its message; one that is no Status at all is its HTTP status."""
    told = refusal(
        404, "Not Found", _json({"error": {"message": "The CustomJob does not exist.", "status": "NOT_FOUND"}})
    )
    assert (told.sentence, told.details, told.status) == ("The CustomJob does not exist.", (), "NOT_FOUND")
    assert refusal(502, "Bad Gateway", b"<html>").sentence == "the service answered 502 Bad Gateway"
    doubled = {"message": "m", "details": [{"fieldViolations": [{"field": "f", "description": "m"}]}]}
    assert refusal(400, "Bad", _json({"error": doubled})).details == ()


def test_pages_are_fetched_as_they_are_wanted(stand_in: Any) -> None:
    """A list goes on by page token and stops asking when nobody reads on."""
    pages = [
        (200, {"customJobs": [{"name": "a/1"}, {"name": "a/2"}], "nextPageToken": "t"}),
        (200, {"customJobs": [{"name": "a/3"}]}),
    ]
    stand_in.answer = lambda asked: pages[len(stand_in.asked) - 1]
    jobs = ServiceApi(stand_in.target).jobs("state=x", 2)
    assert [job_id(next(jobs)), job_id(next(jobs))] == ["1", "2"]
    assert len(stand_in.asked) == 1
    assert [job_id(job) for job in jobs] == ["3"]
    assert "pageToken=t" in stand_in.asked[1].path
    assert "filter=state%3Dx" in stand_in.asked[1].path


def test_a_job_is_known_by_id_name_address_or_unique_display_name(stand_in: Any) -> None:
    """Whatever names one job is resolved; a display name only when a single job has it."""
    api = ServiceApi(stand_in.target)
    full = "projects/1/locations/l/customJobs/7"
    assert api.name_of("7") == "projects/demo/locations/us-central1/customJobs/7"
    assert api.name_of(full) == full
    assert api.name_of(f"{stand_in.endpoint}/v1/{full}") == full
    assert stand_in.asked == []
    found = [{"name": full, "displayName": "mine"}]
    stand_in.answer = lambda asked: (200, {"customJobs": found})
    assert api.name_of("mine") == full
    found.append({"name": "projects/1/locations/l/customJobs/8", "displayName": "mine", "state": "JOB_STATE_FAILED"})
    with pytest.raises(Problem) as several:
        api.name_of("mine")
    assert "8  FAILED" in several.value.details[1]
    found.clear()
    with pytest.raises(Problem, match="no job called"):
        api.name_of("mine")
    for wrong in ("projects/1/customJobs/7", "", "a/b"):
        with pytest.raises(Usage):
            api.name_of(wrong)


def test_the_last_cursor_is_behind_the_last_line(stand_in: Any) -> None:
    """Skipping what is there reads whole pages until one is not full."""
    pages = [(200, {"entries": [{}] * 10_000, "cursor": "a"}), (200, {"entries": [{}], "cursor": "b"})]
    stand_in.answer = lambda asked: pages[len(stand_in.asked) - 1]
    assert ServiceApi(stand_in.target).last_cursor("n", "workerpool0-0") == "b"
    assert "cursor=a" in stand_in.asked[1].path
    assert "task=workerpool0-0" in stand_in.asked[1].path


def test_a_state_is_shown_without_its_prefix() -> None:
    """JOB_STATE_RUNNING is RUNNING to people."""
    assert short_state({"state": "JOB_STATE_RUNNING"}) == "RUNNING"
    assert short_state({}) == ""


def test_a_refusal_is_raised(stand_in: Any) -> None:
    """A status of 400 or more is a Refused with the canonical status."""
    stand_in.answer = lambda asked: (403, {"error": {"message": "no", "status": "PERMISSION_DENIED"}})
    with pytest.raises(Refused) as refused:
        ServiceApi(stand_in.target).health()
    assert refused.value.status == "PERMISSION_DENIED"


def _json(value: object) -> bytes:
    import json

    return json.dumps(value).encode()
