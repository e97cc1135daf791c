"""Workers take the trials of a search over HTTP, and anybody with the right may ask a search to finish."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from edge_server import Answer, Api
from nas_requests import METRIC, ended, made, measured, nas, reporting, search_trials, states, told, train_trials, until

CLAIMED = {"labels": {"trainyard-trials": "claimed", "trainyard-seed": "1"}}


def post(api: Api, job: dict[str, Any], action: str, **body: Any) -> Answer:
    return api.call("POST", f"/trainyard/v1/{job['name']}{action}", body)


def claimed(api: Api, job: dict[str, Any], worker: str) -> dict[str, Any]:
    """A trial for this worker, which there must be soon."""
    for _ in range(500):
        answer = post(api, job, ":claim", worker=worker)
        assert answer.status == 200, answer.body
        if "trial" in answer.json:
            trial: dict[str, Any] = answer.json["trial"]
            return trial
    raise AssertionError(answer.json)


def test_workers_try_everything_there_is(api: Api) -> None:
    """Each trial goes to one worker; measured, infeasible; then there is no more, and the job has succeeded."""
    job = made(api, nas(trials=4, at_once=2, **CLAIMED))
    seen = []
    for turn in range(4):
        worker = f"w{turn % 2}"
        trial = claimed(api, job, worker)
        assert claimed(api, job, worker)["id"] == trial["id"]
        seen.append(trial["id"])
        assert len(trial["decisions"]) == 2
        told_it = {"infeasible": "too wide"} if turn == 1 else {"metrics": {METRIC: turn, "k": 2.5}, "stepCount": 7}
        for _ in range(2):
            answer = post(api, job, f"/nasTrialDetails/{trial['id']}:report", worker=worker, **told_it)
            assert answer.status == 200, answer.body
    final = api.wait(job["name"])
    assert (final["state"], sorted(seen)) == ("JOB_STATE_SUCCEEDED", ["1", "2", "3", "4"])
    assert sorted(states(final)) == ["INFEASIBLE", "SUCCEEDED", "SUCCEEDED", "SUCCEEDED"]
    best = next(each for each in search_trials(final) if each["id"] == seen[3])
    assert measured(best) == {METRIC: 3.0, "k": 2.5}
    assert "too wide" in told(api, job)
    assert post(api, job, ":claim", worker="w0").json == {"done": "JOB_STATE_SUCCEEDED"}


def test_no_more_are_open_than_may_be(api: Api) -> None:
    """A third worker waits while two trials are open and held."""
    job = made(api, nas(trials=9, at_once=2, **CLAIMED))
    first, second = claimed(api, job, "a"), claimed(api, job, "b")
    assert first["id"] != second["id"]
    assert post(api, job, ":claim", worker="c").json.keys() == {"wait"}
    assert post(api, job, f"/nasTrialDetails/{first['id']}:report", worker="a").json == {"state": "ACTIVE"}
    refused = post(api, job, f"/nasTrialDetails/{first['id']}:report", worker="b", metrics={METRIC: 1})
    assert refused.status == 400
    assert "does not hold trial" in refused.json["error"]["message"]


@pytest.mark.parametrize(
    ("action", "body", "words"),
    [
        (":claim", {}, "worker must name the caller"),
        (":claim", {"worker": "w", "x": 1}, "no field 'x'"),
        ("/nasTrialDetails/1:report", {"worker": "w", "metrics": {METRIC: "nan"}}, "not a finite number"),
        ("/nasTrialDetails/1:report", {"worker": "w", "metrics": {"other": 1}}, "judges by"),
        ("/nasTrialDetails/1:report", {"worker": "w", "metrics": {METRIC: 1}, "infeasible": "x"}, "not both"),
        (":finish", {"now": True}, "no field 'now'"),
    ],
)
def test_what_a_worker_says_wrong_is_named(api: Api, action: str, body: dict[str, Any], words: str) -> None:
    """400 with a sentence about the field."""
    job = made(api, nas(trials=2, **CLAIMED))
    answer = post(api, job, action, **body)
    assert answer.status == 400, answer.body
    assert words in answer.body.decode()


def test_a_finish_lets_what_is_claimed_be_told(api: Api) -> None:
    """Nothing new is given out, what nobody took is dropped, the claimed trial counts, the job succeeds."""
    job = made(api, nas(trials=50, at_once=3, **CLAIMED))
    trial = claimed(api, job, "a")
    assert post(api, job, ":finish").json == {"state": "JOB_STATE_RUNNING"}
    assert post(api, job, ":claim", worker="b").json.keys() == {"wait"}
    assert claimed(api, job, "a") == trial
    assert post(api, job, f"/nasTrialDetails/{trial['id']}:report", worker="a", metrics={METRIC: 1}).status == 200
    final = api.wait(job["name"])
    assert final["state"] == "JOB_STATE_SUCCEEDED"
    assert states(final).count("SUCCEEDED") == 1
    assert len(states(final)) <= 3


def test_a_finish_of_programs_waits_for_them_and_trains_the_best(api: Api, tmp_path: Path) -> None:
    """No trial is stopped and none begins; the best of those that were tried is trained."""
    script = f"while [ ! -e {tmp_path}/gate ]; do sleep 0.05; done; {reporting()}"
    job = made(api, nas(script, trials=50, at_once=2, train=(50, 1)))
    until(api, job, 2)
    assert post(api, job, ":finish").status == 200
    (tmp_path / "gate").touch()
    final = api.wait(job["name"])
    assert final["state"] == "JOB_STATE_SUCCEEDED"
    assert set(states(final)) == {"SUCCEEDED"}
    assert 2 <= len(states(final)) <= 4
    assert len(train_trials(final)) == 1
    assert "asked to finish" in told(api, job)
    assert "Finish asked at" in api.call("GET", f"/trainyard/v1/{job['name']}:explain").body.decode()


def test_a_finish_of_what_has_ended_changes_nothing(api: Api) -> None:
    """The answer is its state."""
    job = ended(api, nas(trials=1))
    assert post(api, job, ":finish").json == {"state": "JOB_STATE_SUCCEEDED"}
    assert api.get(job["name"]).json == job
