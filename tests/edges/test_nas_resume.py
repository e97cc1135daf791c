"""Conformance cases C53 to C56 of NasJob: a search that goes on from another one's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from edge_server import Api
from nas_requests import METRIC, choice, create, ended, made, nas, parameters, refused, search_trials, space, until

ALGORITHM = "nas_job_spec.multi_trial_algorithm_spec"
FIELD = "nas_job_spec.resume_nas_job_id"
WIDE = space(*(choice(name, *range(10)) for name in "abcd"))
SEED = {"trainyard-seed": "11", "trainyard-searcher": "evolution"}


def number(job: dict[str, Any]) -> str:
    """The id of a job."""
    name: str = job["name"]
    return name.rpartition("/")[2]


def resuming(job: dict[str, Any] | str, **more: Any) -> dict[str, Any]:
    """A request that goes on from a job, with a number of trials and a directory of its own."""
    body = nas(**more)
    spec = body["nasJobSpec"]
    del spec["searchSpaceSpec"], spec["multiTrialAlgorithmSpec"]["metric"]
    spec["resumeNasJobId"] = job if isinstance(job, str) else number(job)
    return body


def tried(api: Api, job: dict[str, Any]) -> list[str]:
    """The parameters of every search trial."""
    return [parameters(api, job, trial["id"]) for trial in search_trials(job)]


def test_case_c53_a_resumed_search_knows_what_was_learned(api: Api) -> None:
    """Ten trials and then ten are the twenty of one search; ids begin at 1 again, the directory is the new one."""
    whole = ended(api, nas(trials=20, at_once=1, searched=WIDE, labels=SEED))
    first = ended(api, nas(trials=10, at_once=1, searched=WIDE, labels=SEED))
    more = resuming(first, trials=10, at_once=1, labels=SEED, output="gs://resumed/nas/search")
    second = ended(api, more)
    assert [trial["id"] for trial in search_trials(second)] == [str(each) for each in range(1, 11)]
    assert tried(api, first) + tried(api, second) == tried(api, whole)
    assert tried(api, second) != tried(api, first)
    spec = second["nasJobSpec"]
    assert spec["resumeNasJobId"] == number(first)
    assert spec["searchSpaceSpec"] == WIDE
    assert spec["multiTrialAlgorithmSpec"]["metric"]["metricId"] == METRIC
    search = spec["multiTrialAlgorithmSpec"]["searchTrialSpec"]
    assert search["searchTrialJobSpec"]["baseOutputDirectory"]["outputUriPrefix"] == "gs://resumed/nas/search/"


def test_case_c53_a_failed_and_a_cancelled_search_can_be_resumed(api: Api) -> None:
    """A grid goes on behind what was tried; trials that the cancel cut short are tried again."""
    grid = {"searched": WIDE, "algorithm": "GRID_SEARCH"}
    failed = ended(api, nas("exit 1", trials=9, at_once=1, failed=2, **grid))
    assert failed["state"] == "JOB_STATE_FAILED"
    after = ended(api, resuming(failed, trials=2, at_once=1))
    assert tried(api, failed)[-1] != tried(api, after)[0]
    assert [json.loads(each)["d"].partition("/")[0] for each in tried(api, after)] == ["2", "3"]
    running = until(api, made(api, nas("while :; do sleep 0.1; done", trials=9, at_once=2, **grid)), 2)
    api.call("POST", f"{running['name']}:cancel", {})
    cancelled = api.wait(running["name"])
    assert [json.loads(each)["d"].partition("/")[0] for each in tried(api, cancelled)] == ["0", "1"]
    again = ended(api, resuming(cancelled, trials=3, at_once=1))
    assert [json.loads(each)["d"].partition("/")[0] for each in tried(api, again)] == ["0", "1", "2"]


def test_case_c53_it_outlives_the_one_before(api: Api) -> None:
    """What was learned is the new job's own: the one before can be deleted."""
    grid = {"searched": WIDE, "algorithm": "GRID_SEARCH"}
    first = ended(api, nas(trials=3, at_once=1, **grid))
    second = made(api, resuming(first, trials=3, at_once=1))
    assert api.call("DELETE", first["name"]).json["done"]
    assert [json.loads(each)["d"][0] for each in tried(api, api.wait(second["name"]))] == ["3", "4", "5"]


def test_case_c54_what_comes_from_the_one_before_is_not_given_again(api: Api) -> None:
    """Search space, algorithm, metric: each is refused under its name, all at once."""
    body = nas(algorithm="GRID_SEARCH")
    body["nasJobSpec"]["resumeNasJobId"] = number(ended(api, nas(trials=1)))
    assert set(refused(api, body)) == {
        "nas_job_spec.search_space_spec",
        f"{ALGORITHM}.multi_trial_algorithm",
        f"{ALGORITHM}.metric",
    }


def test_case_c55_who_cannot_be_resumed(api: Api) -> None:
    """A resume of a resume, another location's, a running one, none at all."""
    first = ended(api, nas(trials=1))
    second = ended(api, resuming(first, trials=1))
    assert "resumed once only" in refused(api, resuming(second))[FIELD]
    elsewhere = first["name"].replace("us-central1", "europe-west4")
    assert "same project and location" in refused(api, resuming(elsewhere))[FIELD]
    assert create(api, resuming(first["name"], trials=1)).status == 200  # the full name is as good as the id
    assert create(api, resuming("1234567")).status == 404
    assert list(refused(api, resuming("not-a-number"))) == [FIELD]
    running = made(api, nas("while :; do sleep 0.1; done"))
    answer = create(api, resuming(running))
    assert (answer.status, answer.error["status"]) == (400, "FAILED_PRECONDITION")
    api.call("POST", f"{running['name']}:cancel", {})


@pytest.mark.parametrize("with_train", [False, True])
def test_case_c56_the_public_clients_own_request(api: Api, with_train: bool) -> None:
    """Explicit nulls, and resume_nas_job_id in snake case beside camel case, as its search_resume sends them."""
    first = ended(api, nas(trials=2, labels={"search_space": ""}, train=(2, 1)))
    before = first["nasJobSpec"]["multiTrialAlgorithmSpec"]
    search = before["searchTrialSpec"] | {
        "maxTrialCount": 2,
        "maxParallelTrialCount": 1,
        "maxFailedTrialCount": 1,
    }
    search["searchTrialJobSpec"]["baseOutputDirectory"] = {"outputUriPrefix": "gs://c56/again/nas/search"}
    algorithm = {"multiTrialAlgorithm": None, "metric": None, "searchTrialSpec": search}
    if with_train:
        algorithm["trainTrialSpec"] = before["trainTrialSpec"]
    body = {
        "displayName": "again",
        "labels": first["labels"],
        "nasJobSpec": {
            "resume_nas_job_id": number(first),
            "searchSpaceSpec": None,
            "multiTrialAlgorithmSpec": algorithm,
        },
    }
    job = ended(api, body)
    assert job["state"] == "JOB_STATE_SUCCEEDED"
    assert len(search_trials(job)) == 2
    assert job["labels"] == {"search_space": ""}
