"""A worker's side of claimed trials, against answers written down."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from trainyard.cli import claims
from trainyard.cli.claims import Claims, Heartbeat, find, job_of, join, target_of
from trainyard.cli.connection import Target
from trainyard.cli.problems import Problem, Refused, Unreachable

NAME = "projects/1/locations/us-central1/nasJobs/7"
TRIAL = {"trial": {"id": "3", "parameters": "{}", "decisions": [1]}}


def job(number: int, **more: Any) -> dict[str, Any]:
    """A claimed search as the list shows it."""
    return {"name": NAME[:-1] + str(number), "displayName": "mine", "state": "JOB_STATE_RUNNING", **more}


@pytest.fixture
def worker(stand_in: Any) -> Claims:
    return Claims(stand_in.target, NAME, "w1")


def test_a_worker_waits_for_a_trial(stand_in: Any, worker: Claims) -> None:
    """While none is free it asks again; each call says who asks."""
    answers = iter([{"wait": 0.001}, {"wait": 0.001}, TRIAL])
    stand_in.answer = lambda asked: (200, next(answers))
    found = worker.claim()
    assert found is not None
    assert (found.number, found.parameters) == (3, "{}")
    assert [asked.body for asked in stand_in.asked] == [{"worker": "w1"}] * 3
    assert stand_in.asked[0].path == f"/trainyard/v1/{NAME}:claim"


def test_a_search_that_is_over_has_no_trials(stand_in: Any, worker: Claims) -> None:
    """None, and not a wait for ever."""
    stand_in.answer = lambda asked: (200, {"done": "JOB_STATE_SUCCEEDED"})
    assert worker.claim() is None


def test_a_report_is_what_was_told(stand_in: Any, worker: Claims) -> None:
    """The trial's own address, the worker, and the fields; the state comes back. finish has no worker's trial."""
    stand_in.answer = lambda asked: (200, {"state": "ACTIVE"})
    assert worker.report(3, metrics={"m": 1.0}, stepCount=2) == "ACTIVE"
    assert stand_in.asked[-1].path == f"/trainyard/v1/{NAME}/nasTrialDetails/3:report"
    assert stand_in.asked[-1].body == {"worker": "w1", "metrics": {"m": 1.0}, "stepCount": 2}
    worker.finish()
    assert stand_in.asked[-1].path == f"/trainyard/v1/{NAME}:finish"


def test_a_service_that_is_away_is_asked_again(stand_in: Any, worker: Claims) -> None:
    """UNAVAILABLE is no refusal; what is one is told at once."""
    away = {"error": {"message": "starting", "status": "UNAVAILABLE"}}
    answers = iter([(503, away), (200, TRIAL), (400, {"error": {"message": "no", "status": "FAILED_PRECONDITION"}})])
    stand_in.answer = lambda asked: next(answers)
    assert worker.claim() is not None
    with pytest.raises(Refused, match="no"):
        worker.report(3)


def test_patience_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody at all: Unreachable once it has run out."""
    monkeypatch.setattr(claims, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(Unreachable):
        Claims(Target("http://127.0.0.1:9", "p", "r"), NAME, "w").claim()


def test_the_first_to_come_makes_the_search(stand_in: Any) -> None:
    """Where there is none it is made, as told, and found again by its name and label."""
    lists = iter([[], [job(7)]])
    stand_in.answer = lambda asked: (200, job(7) if asked.verb == "POST" else {"nasJobs": next(lists)})
    body = job_of("mine", "space", "m", {"trainyard-seed": "1"}, (5, 10))
    assert join(stand_in.target, "mine", lambda: body) == NAME
    posted = next(asked.body for asked in stand_in.asked if asked.verb == "POST")
    assert posted["labels"] == {"trainyard-trials": "claimed", "trainyard-seed": "1"}
    trial_spec = posted["nasJobSpec"]["multiTrialAlgorithmSpec"]["searchTrialSpec"]
    assert (trial_spec["maxTrialCount"], trial_spec["maxParallelTrialCount"]) == (5, 5)
    assert "labels.trainyard-trials%3Dclaimed" in stand_in.asked[0].path


def test_of_two_that_were_made_the_older_one_is_it(stand_in: Any) -> None:
    """Whoever made the younger one takes it away again."""
    lists = iter([[], [job(9), job(7)]])

    def answer(asked: Any) -> Any:
        if asked.verb == "GET" and asked.path.partition("?")[0].endswith("/nasJobs"):
            return 200, {"nasJobs": next(lists)}
        return 200, job(9, state="JOB_STATE_CANCELLED")

    stand_in.answer = answer
    assert join(stand_in.target, "mine", lambda: {}) == NAME
    said = [(asked.verb, asked.path.rpartition("/")[2]) for asked in stand_in.asked]
    assert said[-3:] == [("POST", "9:cancel"), ("GET", "9"), ("DELETE", "9")]


def test_a_search_is_found_by_name_or_id(stand_in: Any) -> None:
    """Its display name first, then whatever the command line takes; else one sentence."""
    stand_in.answer = lambda asked: (200, {"nasJobs": [job(7)]})
    assert find(stand_in.target, "mine") == NAME
    stand_in.answer = lambda asked: (200, {})
    assert find(stand_in.target, "8").endswith("/nasJobs/8")
    with pytest.raises(Problem, match="no job called"):
        find(stand_in.target, "other")


def test_the_environment_says_where_the_service_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the caller does."""
    monkeypatch.setenv("TRAINYARD_ENDPOINT", "http://there:1/")
    monkeypatch.setenv("TRAINYARD_TOKEN", "secret")
    assert target_of().endpoint == "http://there:1"
    assert target_of("http://here:2", "p", "r") == Target("http://here:2", "p", "r", "secret")


def test_a_heartbeat_speaks_while_somebody_holds_it(
    stand_in: Any, worker: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its trial, until that is over or nobody holds on to it; a trial that is to stop is known from it."""
    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 0.01)
    stand_in.answer = lambda asked: (200, {"state": "ACTIVE"})
    held = [Heartbeat(worker, stand_in.target, "w1")]
    held[0].number = 3
    _until(lambda: len(stand_in.asked) > 2)
    assert stand_in.asked[-1].body == {"worker": "w1"}
    assert not held[0].is_over
    stand_in.answer = lambda asked: (200, {"state": "STOPPING"})
    _until(lambda: held[0].is_over)
    held[0].number = 0
    _until(lambda: not held[0].is_over)
    stand_in.answer = lambda asked: (400, {"error": {"message": "somebody else's", "status": "FAILED_PRECONDITION"}})
    held[0].number = 4
    _until(lambda: held[0].is_over)
    held.clear()
    _until(lambda: not any(thread.name == "trainyard heartbeat" for thread in threading.enumerate()))


def _until(is_so: Any) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.002)
