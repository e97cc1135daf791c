"""Conformance cases C41 to C52 of NasJob: places and numbers, failures and time, training, and what details tell."""

from __future__ import annotations

import json
import time
from itertools import product

import pytest
from edge_server import BUSY_SECONDS, Api
from nas_requests import (
    METRIC,
    choice,
    create,
    ended,
    made,
    measured,
    nas,
    output_of,
    parameters,
    reporting,
    search_trials,
    space,
    states,
    told,
    train_trials,
    until,
)

WAITING = "while :; do sleep 0.1; done"


def test_case_c41_never_more_than_allowed_at_once(api: Api, tmp_path) -> None:
    """Each trial writes how many run beside it: never more than three, and a place is filled while others still run."""
    script = (
        f"mkdir {tmp_path}/$CLOUD_ML_TRIAL_ID; ls {tmp_path} | wc -l; "
        f'[ "$CLOUD_ML_TRIAL_ID" != 1 ] || sleep 1; sleep 0.1; {reporting()}; rmdir {tmp_path}/$CLOUD_ML_TRIAL_ID'
    )
    job = ended(api, nas(script, trials=10, at_once=3))
    beside = [int(output_of(api, job, f"search-{number}")) for number in range(1, 11)]
    assert max(beside) == 3
    ends = {trial["id"]: trial["endTime"] for trial in search_trials(job)}
    assert sum(end < ends["1"] for end in ends.values()) >= 3  # refilled one by one, not in lockstep


def test_case_c42_exactly_as_many_as_asked_numbered_without_gaps(api: Api) -> None:
    """Whatever fails or reports nothing in between."""
    script = f'case "$CLOUD_ML_TRIAL_ID" in 2|5) exit 1;; 3) exit 0;; esac; {reporting()}'
    job = ended(api, nas(script, trials=9, at_once=4, failed=5))
    assert [trial["id"] for trial in search_trials(job)] == [str(number) for number in range(1, 10)]
    assert states(job).count("SUCCEEDED") == 6


def test_case_c43_too_many_failures_end_the_job(api: Api) -> None:
    """At the third: FAILED, the error names the count, and what still runs is stopped."""
    script = f'[ "$CLOUD_ML_TRIAL_ID" -gt 1 ] || {{ {WAITING}; }}; exit 3'
    job = ended(api, nas(script, trials=20, at_once=2, failed=3))
    assert job["state"] == "JOB_STATE_FAILED"
    assert "3 trials failed, which reaches maxFailedTrialCount (3)" in job["error"]["message"]
    assert states(job) == ["INFEASIBLE"] * 4


@pytest.mark.parametrize(("trials", "tried"), [(2, 2), (6, 3), (12, 4)])
def test_case_c43_zero_means_a_third(api: Api, trials: int, tried: int) -> None:
    """Documented: a third of maxTrialCount, at least three, at most all of them."""
    job = ended(api, nas("exit 1", trials=trials, at_once=1, failed=0))
    assert job["state"] == "JOB_STATE_FAILED"
    assert len(search_trials(job)) == tried


def test_case_c44_a_grid_ends_when_it_is_exhausted(api: Api) -> None:
    """Twenty points, thirty trials allowed: twenty are tried, row-major, none twice, and the job SUCCEEDED."""
    searched = space(choice("a", 1, 2, 3, 4), choice("b", 1, 2, 3, 4, 5))
    job = ended(api, nas(trials=30, at_once=4, algorithm="GRID_SEARCH", searched=searched))
    assert job["state"] == "JOB_STATE_SUCCEEDED"
    found = [json.loads(parameters(api, job, trial["id"])) for trial in search_trials(job)]
    assert [(each["a"], each["b"]) for each in found] == [
        (f"{a}/4 ({a + 1})", f"{b}/5 ({b + 1})") for a, b in product(range(4), range(5))
    ]


def test_case_c45_the_timeout_is_the_whole_jobs(api: Api) -> None:
    """scheduling.timeout of the search trials bounds the job: CANCELLED, as if it were cancelled then (docs/nas.md)."""
    began = time.monotonic()
    job = ended(api, nas(WAITING, trials=9, at_once=2, scheduling={"timeout": "2s"}))
    assert 2 <= time.monotonic() - began < 15 + BUSY_SECONDS
    assert (job["state"], job["error"]["message"]) == ("JOB_STATE_CANCELLED", "CANCELED")
    assert states(job) == ["INFEASIBLE"] * 2
    assert "ran into its timeout of 2 s" in told(api, job)


def test_case_c48_the_best_of_a_window_is_trained_before_the_end(api: Api) -> None:
    """Ten trials, frequency ten, one of the best: trained with the best trial's parameters, then SUCCEEDED."""
    train = 'echo "$1"; ' + reporting("99")
    job = ended(api, nas(trials=10, at_once=3, train=(10, 1, train)))
    assert job["state"] == "JOB_STATE_SUCCEEDED"
    (trained,) = train_trials(job)
    assert (trained["id"], trained["state"], measured(trained)) == ("1", "SUCCEEDED", {METRIC: 99.0})
    assert output_of(api, job, "train-1") == f"--nas_params_str={parameters(api, job, 10)}\n"
    assert trained["endTime"] <= job["endTime"]


def test_case_c49_windows_close_at_their_frequency_and_train_nothing_twice(api: Api) -> None:
    """Frequency five, two of the best, twelve trials: windows at five and ten, four different architectures at most."""
    searched = space(choice("a", *range(12)))
    grid = {"searched": searched, "algorithm": "GRID_SEARCH"}
    job = ended(api, nas(trials=12, at_once=1, train=(5, 2, 'echo "$1"; ' + reporting()), **grid))
    trained = [output_of(api, job, f"train-{trial['id']}").split("=", 1)[1] for trial in train_trials(job)]
    assert [json.loads(each)["a"].partition("/")[0] for each in trained] == ["4", "3", "9", "8"]
    falling = nas(reporting("$((20 - CLOUD_ML_TRIAL_ID))"), trials=12, at_once=1, train=(5, 2), **grid)
    assert len(train_trials(ended(api, falling))) == 2  # the best of the second window were the best of the first


def test_case_c50_train_trials_are_numbered_and_placed_on_their_own(api: Api) -> None:
    """Ids from 1, directories of their own; a detail has a trainTrial exactly where that search trial was trained."""
    script = 'echo "$CLOUD_ML_TRIAL_ID $AIP_MODEL_DIR $2"; ' + reporting()
    body = nas(trials=4, at_once=1, train=(2, 1, script), algorithm="GRID_SEARCH")  # four different architectures
    trained = body["nasJobSpec"]["multiTrialAlgorithmSpec"]["trainTrialSpec"]["trainTrialJobSpec"]
    trained["baseOutputDirectory"] = {"outputUriPrefix": "gs://t50/nas/train/"}
    job = ended(api, body)
    assert [trial["id"] for trial in train_trials(job)] == ["1", "2"]
    assert output_of(api, job, "train-2") == "2 gs://t50/nas/train/2/model/ --job-dir=gs://t50/nas/train/2\n"
    details = api.get(f"{job['name']}/nasTrialDetails").json["nasTrialDetails"]
    assert {each["searchTrial"]["id"]: each.get("trainTrial", {}).get("id") for each in details} == {
        "1": None,
        "2": "1",
        "3": None,
        "4": "2",
    }
    explained = api.call("GET", f"/trainyard/v1/{job['name']}/nasTrialDetails/4:explain?stage=train").json
    assert (explained["state"], explained["replicas"][0]["exitCode"]) == ("JOB_STATE_SUCCEEDED", 0)


def test_case_c51_failing_train_trials_cost_nothing(api: Api) -> None:
    """They are INFEASIBLE, and do not count in maxFailedTrialCount."""
    job = ended(api, nas(trials=4, failed=1, train=(1, 1, "exit 1")))
    assert job["state"] == "JOB_STATE_SUCCEEDED"
    assert {trial["state"] for trial in train_trials(job)} == {"INFEASIBLE"}


def test_case_c52_details_are_the_measured_ones_best_first(api: Api) -> None:
    """By the goal, equal ones by id; parameters as the trial got them; a running one is read by its id only."""
    script = (
        'echo "$1"; case "$CLOUD_ML_TRIAL_ID" in 2) exit 0;; 3) exit 1;; 6) while :; do sleep 0.1; done;; esac; '
        + reporting("$((CLOUD_ML_TRIAL_ID / 4))")
    )
    job = until(api, made(api, nas(script, trials=6, at_once=1, failed=3)), 1)
    while len(search_trials(job)) < 6 or states(job)[-1] != "ACTIVE":
        job = api.get(job["name"]).json
        time.sleep(0.02)
    details = api.get(f"{job['name']}/nasTrialDetails").json["nasTrialDetails"]
    assert [each["searchTrial"]["id"] for each in details] == ["4", "5", "1"]
    for each in details:
        number = each["searchTrial"]["id"]
        assert each["name"] == f"{job['name']}/nasTrialDetails/{number}"
        assert f"--nas_params_str={each['parameters']}\n" == output_of(api, job, f"search-{number}")
    assert api.get(f"{job['name']}/nasTrialDetails/6").json["searchTrial"]["state"] == "ACTIVE"
    assert api.get(f"{job['name']}/nasTrialDetails/7").status == 404
    assert api.get(f"{job['name']}/nasTrialDetails/x").status == 400
    page = api.get(f"{job['name']}/nasTrialDetails?pageSize=2").json
    assert [each["searchTrial"]["id"] for each in page["nasTrialDetails"]] == ["4", "5"]
    rest = api.get(f"{job['name']}/nasTrialDetails?pageSize=2&pageToken={page['nextPageToken']}").json
    assert [each["searchTrial"]["id"] for each in rest["nasTrialDetails"]] == ["1"]
    assert "nextPageToken" not in rest
    assert len(api.get(f"{job['name']}/nasTrialDetails?pageSize=0").json["nasTrialDetails"]) == 3
    assert api.get(f"{job['name']}/nasTrialDetails?pageSize=-3").status == 400
    api.call("POST", f"{job['name']}:cancel", {})


def test_logs_of_all_trials_are_the_jobs(api: Api) -> None:
    """One reading of a search gives the service log and every trial's lines once, from cursor to cursor."""
    script = 'echo "one $CLOUD_ML_TRIAL_ID"; echo "two $CLOUD_ML_TRIAL_ID"; ' + reporting()
    job = ended(api, nas(script, trials=7, train=(7, 1, script)))
    seen, cursor, complete = [], "", False
    while not complete:
        page = api.call("GET", f"/trainyard/v1/{job['name']}/logs?size=3&cursor={cursor}").json
        seen += [(entry["task"], entry["text"]) for entry in page["entries"]]
        cursor, complete = page["cursor"], page["complete"]
    wanted = [(f"search-{n}/workerpool0-0", f"{word} {n}") for n in range(1, 8) for word in ("one", "two")]
    wanted += [("train-1/workerpool0-0", "one 1"), ("train-1/workerpool0-0", "two 1")]
    assert sorted(each for each in seen if each[0] != "service") == sorted(wanted)
    assert sum(task == "service" and "SUCCEEDED" in text for task, text in seen) == 8
    assert told(api, job, "search-3") == "one 3\ntwo 3"
    assert told(api, job, "train-1/workerpool0-0") == "one 1\ntwo 1"
    assert api.call("GET", f"/trainyard/v1/{job['name']}/logs?task=search-3/nowhere").status == 400
    filter_ = f'resource.labels.job_id="{job["name"].split("/")[-1]}" AND logName:"search-5"'
    names = {"resourceNames": [api.parent.rpartition("/locations")[0]], "filter": filter_}
    entries = api.call("POST", "/v2/entries:list", names).json["entries"]
    assert [entry["textPayload"] for entry in entries] == ["one 5", "two 5"]
    assert entries[0]["labels"]["ml.googleapis.com/trial_id"] == "5"


def test_the_job_of_a_trial_has_no_name_of_its_own(api: Api) -> None:
    """Nothing reaches it but through its search."""
    job = ended(api, nas(trials=1, at_once=1))
    number = int(job["name"].split("/")[-1])
    for path in (f"{api.parent}/nasTrials", f"{api.parent}/nasTrials/{number + 1}"):
        assert api.get(path).status == 404
    logs = api.call("GET", f"/trainyard/v1/{api.parent}/nasTrials/{number + 1}/logs")
    assert logs.status == 404
    assert create(api, nas()).status == 200


def test_an_explanation_says_how_the_open_trials_are(api: Api) -> None:
    """How many run; and of one that finds no room, what it waits for."""
    job = until(api, made(api, nas(WAITING, trials=9, at_once=2)), 2)
    explained = api.call("GET", f"/trainyard/v1/{job['name']}:explain").json
    assert explained["evidence"] == ["Open trials: 2 ACTIVE."]
    api.call("POST", f"{job['name']}:cancel", {})
    ended_job = api.wait(job["name"])
    assert not any(
        "Open" in each for each in api.call("GET", f"/trainyard/v1/{ended_job['name']}:explain").json["evidence"]
    )
