"""Conformance cases C01 to C19 of NasJob: the resource, its methods, its fields."""

from __future__ import annotations

from typing import Any

import pytest
from edge_server import FINAL, Api
from nas_requests import create, ended, made, nas, refused, search_trials, states, told, until

ALGORITHM = "nas_job_spec.multi_trial_algorithm_spec"
WAITING = "while :; do sleep 0.1; done"


def test_case_c01_a_minimal_job_is_there_at_once(api: Api) -> None:
    """The answer is the NasJob itself: a numeric id, QUEUED or PENDING, its createTime."""
    job = made(api, nas())
    collection, number = job["name"].split("/")[-2:]
    assert collection == "nasJobs"
    assert int(number) > 0
    assert job["state"] in ("JOB_STATE_QUEUED", "JOB_STATE_PENDING")
    assert job["createTime"].endswith("Z")
    assert "nasJobOutput" not in job


def without(body: dict[str, Any], path: str) -> dict[str, Any]:
    *above, last = path.split(".")
    place = body
    for name in above:
        place = place[name]
    del place[last]
    return body


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("displayName", "display_name"),
        ("nasJobSpec", "nas_job_spec"),
        ("nasJobSpec.searchSpaceSpec", "nas_job_spec.search_space_spec"),
        ("nasJobSpec.multiTrialAlgorithmSpec", ALGORITHM),
        ("nasJobSpec.multiTrialAlgorithmSpec.metric", f"{ALGORITHM}.metric"),
        ("nasJobSpec.multiTrialAlgorithmSpec.metric.metricId", f"{ALGORITHM}.metric.metric_id"),
        ("nasJobSpec.multiTrialAlgorithmSpec.searchTrialSpec", f"{ALGORITHM}.search_trial_spec"),
        (
            "nasJobSpec.multiTrialAlgorithmSpec.searchTrialSpec.searchTrialJobSpec",
            f"{ALGORITHM}.search_trial_spec.search_trial_job_spec",
        ),
        (
            "nasJobSpec.multiTrialAlgorithmSpec.searchTrialSpec.maxTrialCount",
            f"{ALGORITHM}.search_trial_spec.max_trial_count",
        ),
        (
            "nasJobSpec.multiTrialAlgorithmSpec.searchTrialSpec.maxParallelTrialCount",
            f"{ALGORITHM}.search_trial_spec.max_parallel_trial_count",
        ),
        (
            "nasJobSpec.multiTrialAlgorithmSpec.trainTrialSpec.frequency",
            f"{ALGORITHM}.train_trial_spec.frequency",
        ),
        (
            "nasJobSpec.multiTrialAlgorithmSpec.trainTrialSpec.maxParallelTrialCount",
            f"{ALGORITHM}.train_trial_spec.max_parallel_trial_count",
        ),
        (
            "nasJobSpec.multiTrialAlgorithmSpec.trainTrialSpec.trainTrialJobSpec",
            f"{ALGORITHM}.train_trial_spec.train_trial_job_spec",
        ),
    ],
)
def test_case_c02_what_is_missing_is_named(api: Api, path: str, field: str) -> None:
    """Each required field that is left out is refused under its own name."""
    assert list(refused(api, without(nas(train=(3, 1)), path))) == [field]


def test_case_c02_every_fault_is_told_at_once(api: Api) -> None:
    """Several faults in one request: one answer names them all, those inside the trial's job spec too."""
    body = nas(trials=-1, at_once=0, failed=-2, train=(-1, 1), displayName="", labels={"trainyard-seed": "soon"})
    job_spec = body["nasJobSpec"]["multiTrialAlgorithmSpec"]["searchTrialSpec"]["searchTrialJobSpec"]
    job_spec["workerPoolSpecs"][0]["machineSpec"]["machineType"] = "abacus"
    search = f"{ALGORITHM}.search_trial_spec"
    assert set(refused(api, body)) == {
        "display_name",
        "labels",
        f"{search}.max_trial_count",
        f"{search}.max_parallel_trial_count",
        f"{search}.max_failed_trial_count",
        f"{search}.search_trial_job_spec.worker_pool_specs[0].machine_spec.machine_type",
        f"{ALGORITHM}.train_trial_spec.frequency",
    }


def test_case_c03_a_display_name_has_128_characters_at_most(api: Api) -> None:
    """128 are fine, 129 are refused."""
    assert made(api, nas(displayName="ü" * 128))["displayName"] == "ü" * 128
    assert list(refused(api, nas(displayName="x" * 129))) == ["display_name"]


def test_case_c04_a_label_may_be_empty(api: Api) -> None:
    """The public client always sends the label search_space, often with nothing in it; it is kept and shown."""
    job = made(api, nas(labels={"search_space": "", "team": "vision"}))
    assert job["labels"] == {"search_space": "", "team": "vision"}
    assert api.get(job["name"]).json["labels"] == {"search_space": "", "team": "vision"}


def test_case_c05_the_algorithm_is_rl_unless_grid_is_asked_for(api: Api) -> None:
    """0 and REINFORCEMENT_LEARNING search by reinforcement, GRID_SEARCH by grid; each is shown as it was given."""
    for given, shown, searcher in (
        (None, None, "reinforce"),
        (0, None, "reinforce"),
        ("REINFORCEMENT_LEARNING", "REINFORCEMENT_LEARNING", "reinforce"),
        ("GRID_SEARCH", "GRID_SEARCH", "grid_search"),
    ):
        job = ended(api, nas(trials=1, algorithm=given))
        assert job["nasJobSpec"]["multiTrialAlgorithmSpec"].get("multiTrialAlgorithm") == shown
        assert f"{searcher} looks for" in told(api, job)


def test_case_c05_a_label_chooses_an_extension(api: Api) -> None:
    """trainyard-searcher names one of ours; one that there is not is refused."""
    job = ended(api, nas(trials=1, labels={"trainyard-searcher": "evolution"}))
    assert "evolution looks for" in told(api, job)
    assert "not one of" in refused(api, nas(labels={"trainyard-searcher": "oracle"}))["labels"]


def test_case_c06_the_goal_is_maximize_unless_minimize_is_asked_for(api: Api) -> None:
    """MINIMIZE turns the ranking of the details round."""
    for goal, best in ((None, "3"), ("GOAL_TYPE_UNSPECIFIED", "3"), ("MAXIMIZE", "3"), ("MINIMIZE", "1")):
        job = ended(api, nas(goal=goal))
        details = api.get(f"{job['name']}/nasTrialDetails").json["nasTrialDetails"]
        assert details[0]["searchTrial"]["id"] == best


def test_case_c07_a_metric_has_no_white_space(api: Api) -> None:
    """A blank, a tab, a line end in metricId is refused; so is what no environment could hold."""
    for name in ("AP 50", "AP\t50", "AP\n", "AP\0", "x" * 1025):
        body = nas()
        body["nasJobSpec"]["multiTrialAlgorithmSpec"]["metric"]["metricId"] = name
        assert list(refused(api, body)) == [f"{ALGORITHM}.metric.metric_id"]


def snake(value: Any) -> Any:
    """The same JSON with the names of fields in snake case."""
    if isinstance(value, dict):
        return {"".join(f"_{c.lower()}" if c.isupper() else c for c in key): snake(each) for key, each in value.items()}
    return [snake(each) for each in value] if isinstance(value, list) else value


def test_case_c08_snake_case_and_camel_case_are_equal(api: Api) -> None:
    """The public client mixes both in one request."""
    one, other = made(api, nas(train=(2, 1))), made(api, snake(nas(train=(2, 1))))
    assert one["nasJobSpec"] == other["nasJobSpec"]


def test_case_c09_null_is_as_if_it_were_not_there(api: Api) -> None:
    """Explicit nulls are taken for absence, required or not."""
    body = nas(encryptionSpec=None, labels=None)
    body["nasJobSpec"]["resumeNasJobId"] = None
    body["nasJobSpec"]["multiTrialAlgorithmSpec"] |= {"trainTrialSpec": None, "multiTrialAlgorithm": None}
    assert made(api, body)["nasJobSpec"] == made(api, nas())["nasJobSpec"]
    assert list(refused(api, nas(displayName=None))) == ["display_name"]


def test_case_c10_output_only_fields_are_ignored(api: Api) -> None:
    """Whatever a client sends in them."""
    stamp = "2001-01-01T00:00:00Z"
    body = nas(
        name="projects/p/locations/l/nasJobs/1",
        state="JOB_STATE_FAILED",
        createTime=stamp,
        endTime=stamp,
        error={"code": 3, "message": "no"},
        nasJobOutput={"multiTrialJobOutput": {"searchTrials": [{"id": "9"}]}},
        satisfiesPzs=True,
    )
    job = made(api, body)
    assert job["state"] in ("JOB_STATE_QUEUED", "JOB_STATE_PENDING")
    assert not {"endTime", "error", "nasJobOutput", "satisfiesPzs"} & job.keys()
    assert job["createTime"] != stamp


def test_case_c11_both_versions_show_the_same_job(api: Api) -> None:
    """Made in v1beta1, read in both; the latency worker reads v1beta1 while the client wrote v1."""
    job = create(api, nas(), version="v1beta1").json
    done = api.wait(job["name"])
    assert api.call("GET", job["name"], version="v1beta1").json == done


def test_case_c12_a_list_leaves_the_output_out(api: Api) -> None:
    """Get has the trials, list does not."""
    job = ended(api, nas())
    assert len(search_trials(job)) == 3
    (listed,) = api.get(f"{api.parent}/nasJobs").json["nasJobs"]
    assert listed == {name: value for name, value in job.items() if name != "nasJobOutput"}


def names(api: Api, filter_: str) -> set[str]:
    from urllib.parse import quote

    answer = api.get(f"{api.parent}/nasJobs?filter={quote(filter_)}")
    assert answer.status == 200, answer.body
    return {job["displayName"] for job in answer.json.get("nasJobs", [])}


def test_case_c13_filters(api: Api) -> None:
    """Name with wildcard, state, time, label, NOT and OR."""
    made(api, nas(WAITING, displayName="one", labels={"team": "a"}))
    ended(api, nas(trials=1, displayName="two", labels={"other": ""}))
    ended(api, nas(trials=1, displayName="three"))
    assert names(api, 'display_name:"t*"') == {"two", "three"}
    assert names(api, 'state="JOB_STATE_SUCCEEDED"') == {"two", "three"}
    assert names(api, "labels.team:*") == {"one"}
    assert names(api, "labels.team=a") == {"one"}
    assert names(api, 'NOT display_name="two"') == {"one", "three"}
    assert names(api, 'display_name="one" OR display_name="two"') == {"one", "two"}
    assert names(api, 'create_time>"2020-01-01T00:00:00Z" AND display_name!="one"') == {"two", "three"}


def test_case_c14_a_read_mask_cuts_a_list(api: Api) -> None:
    """Only what it names."""
    made(api, nas(displayName="masked"))
    (listed,) = api.get(f"{api.parent}/nasJobs?readMask=displayName,nasJobSpec.searchSpaceSpec").json["nasJobs"]
    assert set(listed) == {"displayName", "nasJobSpec"}
    assert set(listed["nasJobSpec"]) == {"searchSpaceSpec"}


def test_case_c15_paging_is_stable(api: Api) -> None:
    """Pages of two, newest first, while another job comes; 0 means the default, a negative size is refused."""
    jobs = [made(api, nas(trials=1, displayName=str(number)))["name"] for number in range(5)]
    seen, token = [], ""
    for turn in range(3):
        page = api.get(f"{api.parent}/nasJobs?pageSize=2&pageToken={token}").json
        seen += [job["name"] for job in page["nasJobs"]]
        token = page.get("nextPageToken", "")
        if turn == 0:
            made(api, nas(trials=1))
    assert seen == jobs[::-1]
    assert not token
    assert len(api.get(f"{api.parent}/nasJobs?pageSize=0").json["nasJobs"]) == 6
    assert api.get(f"{api.parent}/nasJobs?pageSize=-1").status == 400


def test_case_c16_delete(api: Api) -> None:
    """A running job is refused; an ended one goes, with an operation that is done, and its trials with it."""
    running = made(api, nas(WAITING))
    answer = api.call("DELETE", running["name"])
    assert (answer.status, answer.error["status"]) == (400, "FAILED_PRECONDITION")
    job = ended(api, nas())
    operation = api.call("DELETE", job["name"]).json
    assert operation["done"]
    assert operation["response"] == {"@type": "type.googleapis.com/google.protobuf.Empty"}
    assert api.get(operation["name"]).json["done"]
    assert api.get(job["name"]).status == 404
    assert api.get(f"{job['name']}/nasTrialDetails/1").status == 404
    assert api.get(f"{job['name']}/nasTrialDetails").status == 404
    assert api.call("GET", f"/trainyard/v1/{job['name']}/logs").status == 404


def test_case_c17_cancel_ends_every_trial(api: Api) -> None:
    """CANCELLING, then CANCELLED with code 1 and exactly the message that the public client looks for."""
    job = until(api, made(api, nas(WAITING, trials=9, at_once=3)), 3)
    assert api.call("POST", f"{job['name']}:cancel", {}).json == {}
    done = api.wait(job["name"])
    assert done["state"] == "JOB_STATE_CANCELLED"
    assert done["error"] == {"code": 1, "message": "CANCELED"}
    assert done["endTime"]
    assert states(done) == ["INFEASIBLE"] * 3
    assert all(trial["endTime"] for trial in search_trials(done))
    history = api.call("GET", f"/trainyard/v1/{job['name']}:explain").json["history"]
    assert [change["to"] for change in history][-2:] == ["JOB_STATE_CANCELLING", "JOB_STATE_CANCELLED"]


def test_case_c18_cancelling_an_ended_job_is_harmless(api: Api) -> None:
    """It stays as it is."""
    job = ended(api, nas())
    assert api.call("POST", f"{job['name']}:cancel", {}).json == {}
    assert api.get(job["name"]).json == job
    assert job["state"] in FINAL


def test_case_c19_what_has_no_meaning_here_is_kept_and_said(api: Api) -> None:
    """enableRestrictedImageTraining and encryptionSpec are shown again; the service log says what they don't do."""
    ring = f"/trainyard/v1/{api.parent}/keyRings/r/cryptoKeys"
    assert api.call("POST", ring, {"cryptoKeyId": "k"}).status == 200
    key = {"kmsKeyName": f"{api.parent}/keyRings/r/cryptoKeys/k"}
    for flag in (True, False):
        job = ended(api, nas(encryptionSpec=key, enableRestrictedImageTraining=flag))
        assert job["encryptionSpec"] == key
        assert job.get("enableRestrictedImageTraining", False) is flag
        assert "encryptionSpec has its effect in part" in told(api, job)
        assert ("enableRestrictedImageTraining has no effect here" in told(api, job)) is flag
    assert list(refused(api, nas(encryptionSpec={"kmsKeyName": "k"}))) == ["encryption_spec.kms_key_name"]
