"""Conformance cases C31 to C40 of NasJob: what a trial is given, and what is made of what it reports."""

from __future__ import annotations

import json
import re
import sys

import pytest
from edge_server import Api, Server
from nas_requests import METRIC, ended, measured, nas, output_of, parameters, reporting, search_trials, states, told

TELL = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ), os.path.isdir(sys.argv[-1])]))"
PREFIX = "gs://trials/exp/nas/search"


def lines(*reports: dict[str, str] | str) -> str:
    """A shell script that leaves these lines in the metric file."""
    text = "".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in reports)
    assert "'" not in text
    return f"printf %s '{text}' > \"$CLOUD_ML_HP_METRIC_FILE\""


def one(api: Api, script: str, **more: object) -> tuple[dict[str, object], str]:
    """The only trial of a search, and the service log."""
    job = ended(api, nas(script, trials=1, at_once=1, **more))
    assert job["state"] in ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED")
    return search_trials(job)[0], told(api, job)


def telling(api: Api, server: Server) -> list[tuple[list[str], dict[str, str]]]:
    """Arguments and environment of two trials with an argument and a variable of their own."""
    body = nas(trials=2, output=PREFIX)
    container = body["nasJobSpec"]["multiTrialAlgorithmSpec"]["searchTrialSpec"]["searchTrialJobSpec"][
        "workerPoolSpecs"
    ][0]["containerSpec"]
    container["command"] = [sys.executable, "-c", TELL]
    container["args"] = ["--epochs=3", "--mode", "search"]
    container["env"] = [{"name": "CLOUD_ML_TRIAL_ID", "value": "mine"}, {"name": "USER_SET", "value": "x"}]
    job = ended(api, body)
    found = [json.loads(output_of(api, job, f"search-{trial['id']}")) for trial in search_trials(job)]
    for number, (args, environment, _) in enumerate(found, 1):
        assert (server.data_dir / "buckets" / "trials" / "exp" / "nas" / "search" / str(number)).is_dir()
        assert args[-2] == f"--nas_params_str={parameters(api, job, number)}"
        assert environment["CLOUD_ML_JOB_ID"]
    return [(args, environment) for args, environment, _ in found]


def test_case_c31_arguments(api: Api, server: Server) -> None:
    """The user's own in their order, then --nas_params_str and --job-dir."""
    for number, (args, _) in enumerate(telling(api, server), 1):
        assert args[:3] == ["--epochs=3", "--mode", "search"]
        assert len(args) == 5
        assert args[-1] == f"--job-dir={PREFIX}/{number}"


def test_case_c32_environment_and_directories(api: Api, server: Server) -> None:
    """The trial's id, the metric's name and file, and AIP_* of a directory that is there, named as trainers expect."""
    for number, (_, environment) in enumerate(telling(api, server), 1):
        assert environment["CLOUD_ML_TRIAL_ID"] == str(number)
        assert environment["USER_SET"] == "x"
        assert environment["CLOUD_ML_HP_METRIC_TAG"] == METRIC
        assert environment["CLOUD_ML_HP_METRIC_FILE"].startswith("/")
        assert re.match(r".*nas/search/\d+", environment["AIP_MODEL_DIR"])
        assert environment["AIP_MODEL_DIR"] == f"{PREFIX}/{number}/model/"
        assert environment["AIP_CHECKPOINT_DIR"] == f"{PREFIX}/{number}/checkpoints/"
        assert environment["AIP_TENSORBOARD_LOG_DIR"] == f"{PREFIX}/{number}/logs/"


def test_case_c33_the_last_line_counts(api: Api) -> None:
    """Text is read as numbers, pairs become metrics, model_flops and a measured 0 are shown; global_step is kept."""
    first = {METRIC: "0.1", "global_step": "1"}
    last = {METRIC: "0.91", "global_step": "5", "model_flops": "0.0", "key_0": "latency", "value_0": "12.5"}
    trial, _ = one(api, lines(first, last))
    assert trial["state"] == "SUCCEEDED"
    assert measured(trial) == {METRIC: 0.91, "model_flops": 0.0, "latency": 12.5}
    assert trial["finalMeasurement"]["stepCount"] == "5"
    assert trial["finalMeasurement"]["elapsedDuration"].endswith("s")
    assert "." in trial["startTime"]
    assert "." in trial["endTime"]


def test_case_c34_a_report_just_before_the_exit_is_read(api: Api) -> None:
    """The file is read once the whole tree of processes is gone: what a child writes last counts."""
    trial, _ = one(api, f"({reporting('7')}) & wait; exit 0")
    assert measured(trial) == {METRIC: 7.0}


def test_case_c35_no_report_is_infeasible_and_no_failure(api: Api) -> None:
    """Exit 0 without a word: INFEASIBLE, however many; the job goes on to its end."""
    job = ended(api, nas("exit 0", trials=6, failed=1))
    assert job["state"] == "JOB_STATE_SUCCEEDED"
    assert states(job) == ["INFEASIBLE"] * 6
    assert "finalMeasurement" not in search_trials(job)[0]
    assert "The trainer wrote no metric file" in told(api, job)


def test_case_c36_a_failed_program_counts(api: Api) -> None:
    """Exit 1: INFEASIBLE, and one of the failures that the job may have."""
    job = ended(api, nas('[ "$CLOUD_ML_TRIAL_ID" != 2 ] || exit 1\n' + reporting(), trials=4, at_once=1, failed=2))
    assert job["state"] == "JOB_STATE_SUCCEEDED"
    assert states(job) == ["SUCCEEDED", "INFEASIBLE", "SUCCEEDED", "SUCCEEDED"]
    assert "1 of these failed" in api.call("GET", f"/trainyard/v1/{job['name']}:explain").json["sentence"]


def test_case_c37_a_failed_program_has_no_measurement(api: Api) -> None:
    """Reported, then exit 1: counted as failed, and what it reported is not used (docs/nas.md)."""
    trial, log = one(api, reporting("5") + "\nexit 1", failed=2)
    assert trial["state"] == "INFEASIBLE"
    assert "finalMeasurement" not in trial
    assert "exited with a non-zero status of 1" in log


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (lines({METRIC: "nan"}), "only a finite number counts"),
        (lines({METRIC: "inf"}), "only a finite number counts"),
        (lines({METRIC: "good"}), "is not a number"),
        (lines("garbage"), "is not JSON"),
        ("printf '\\377\\376\\n' > \"$CLOUD_ML_HP_METRIC_FILE\"", "is not JSON"),
        (': > "$CLOUD_ML_HP_METRIC_FILE"', "is empty"),
        ('mkdir "$CLOUD_ML_HP_METRIC_FILE"', "wrote no metric file"),
        ('head -c 3000000 /dev/zero > "$CLOUD_ML_HP_METRIC_FILE"', "no complete line"),
    ],
)
def test_case_c38_nonsense_is_infeasible_with_a_reason(api: Api, script: str, why: str) -> None:
    """Whatever a trainer leaves there hurts its own trial only, and the log says what was wrong."""
    job = ended(api, nas(f'[ "$CLOUD_ML_TRIAL_ID" = 1 ] || {{ {reporting()}; exit; }}\n{script}', trials=2, at_once=1))
    assert states(job) == ["INFEASIBLE", "SUCCEEDED"]
    assert why in told(api, job)


def test_case_c39_another_metric_is_infeasible(api: Api) -> None:
    """The sentence names what was reported and what was wanted."""
    trial, log = one(api, lines({"accuracy": "0.9", "global_step": "3"}))
    assert trial["state"] == "INFEASIBLE"
    assert f"reports 'accuracy', but not '{METRIC}'" in log


def test_case_c40_a_file_rewritten_all_the_time_is_read_once_it_rests(api: Api) -> None:
    """A hundred lines, rewritten over and over while the trial ends: the newest is taken."""
    program = (
        "import os, json\n"
        "path, tag = os.environ['CLOUD_ML_HP_METRIC_FILE'], os.environ['CLOUD_ML_HP_METRIC_TAG']\n"
        "for turn in range(300):\n"
        "    with open(path, 'w') as f:\n"
        "        f.writelines(json.dumps({tag: str(turn), 'global_step': str(n)}) + '\\n' for n in range(100))"
    )
    trial, _ = one(api, f'{sys.executable} -c "{program}"')
    assert measured(trial) == {METRIC: 299.0}
    assert trial["finalMeasurement"]["stepCount"] == "99"
