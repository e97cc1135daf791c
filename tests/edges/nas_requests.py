"""NasJob requests in the fewest words: search spaces, trial programs in shell, and jobs of them."""

from __future__ import annotations

import json
import time
from typing import Any

from edge_server import Answer, Api

SPACE = "pyglove.generators.geno.Template"
CHOICES = "pyglove.generators.geno.Choices"
METRIC = "AP50"
REPORT = 'printf \'{"%s": "%s", "global_step": "5"}\\n\' "$CLOUD_ML_HP_METRIC_TAG" "VALUE" > "$CLOUD_ML_HP_METRIC_FILE"'


def choice(location: str, *literals: Any, **more: Any) -> dict[str, Any]:
    """One decision; `more` are further fields of its JSON."""
    candidates = [{"_type": SPACE, "index": index} for index in range(len(literals))]
    return {"_type": CHOICES, "location": location, "candidates": candidates, "literal_values": list(literals)} | more


def space(*choices: Any) -> str:
    """A searchSpaceSpec."""
    return json.dumps({"_type": SPACE, "elements": list(choices)})


TWELVE = space(choice("a", "8", "16", "32"), choice("b", "'w'", "'x'", "'y'", "'z'"))


def reporting(value: str = "$CLOUD_ML_TRIAL_ID") -> str:
    """A shell script that reports a value; by default, its trial's number."""
    return REPORT.replace("VALUE", value)


def spec(script: str, output: str = "", **more: Any) -> dict[str, Any]:
    """A CustomJobSpec of one replica that runs a shell script; its flags are $1, $2."""
    pool = {
        "machineSpec": {"machineType": "n1-standard-4"},
        "replicaCount": 1,
        "containerSpec": {"imageUri": "host", "command": ["sh", "-c", script, "trainer"]},
    }
    place = {"baseOutputDirectory": {"outputUriPrefix": output}} if output else {}
    return {"workerPoolSpecs": [pool], **place, **more}


def nas(script: str = "", trials: int = 3, at_once: int = 2, **more: Any) -> dict[str, Any]:
    """A search. `more`: `failed`, `algorithm`, `goal`, `searched` (its space), `output`, `scheduling`, `train`

    (frequency, how many of the best, and perhaps a script), and fields of the NasJob itself.
    """
    script = script or reporting()
    scheduling = more.pop("scheduling", None)
    job_spec = spec(script, more.pop("output", ""), **({"scheduling": scheduling} if scheduling else {}))
    search = {"searchTrialJobSpec": job_spec, "maxTrialCount": trials, "maxParallelTrialCount": at_once}
    if (failed := more.pop("failed", None)) is not None:
        search["maxFailedTrialCount"] = failed
    algorithm: dict[str, Any] = {"metric": {"metricId": METRIC}, "searchTrialSpec": search}
    if (goal := more.pop("goal", None)) is not None:
        algorithm["metric"]["goal"] = goal
    if (chosen := more.pop("algorithm", None)) is not None:
        algorithm["multiTrialAlgorithm"] = chosen
    if (train := more.pop("train", None)) is not None:
        frequency, best, *rest = train
        trained = spec(*(rest or [reporting()]))
        algorithm["trainTrialSpec"] = {
            "trainTrialJobSpec": trained,
            "maxParallelTrialCount": best,
            "frequency": frequency,
        }
    body = {"displayName": "a search", "nasJobSpec": {"searchSpaceSpec": more.pop("searched", TWELVE)}}
    body["nasJobSpec"]["multiTrialAlgorithmSpec"] = algorithm
    return body | more


def create(api: Api, body: Any, version: str = "v1") -> Answer:
    """POST …/nasJobs."""
    return api.call("POST", f"{api.parent}/nasJobs", body, version=version)


def made(api: Api, body: Any) -> dict[str, Any]:
    """A search that must be accepted."""
    answer = create(api, body)
    assert answer.status == 200, answer.body
    return answer.json


def ended(api: Api, body: Any, seconds: float = 60.0) -> dict[str, Any]:
    """A search, once it has ended."""
    return api.wait(made(api, body)["name"], seconds=seconds)


def refused(api: Api, body: Any) -> dict[str, str]:
    """The faults of a request that must be refused, by field."""
    answer = create(api, body)
    assert answer.status == 400, answer.body
    return {each["field"]: each["description"] for each in answer.violations}


def search_trials(job: dict[str, Any]) -> list[dict[str, Any]]:
    """What the search has tried."""
    found: list[dict[str, Any]] = job["nasJobOutput"]["multiTrialJobOutput"].get("searchTrials", [])
    return found


def train_trials(job: dict[str, Any]) -> list[dict[str, Any]]:
    """What it has trained."""
    found: list[dict[str, Any]] = job["nasJobOutput"]["multiTrialJobOutput"].get("trainTrials", [])
    return found


def states(job: dict[str, Any]) -> list[str]:
    """The states of the search trials, in order."""
    return [trial["state"] for trial in search_trials(job)]


def measured(trial: dict[str, Any]) -> dict[str, float]:
    """The final measurement's values by metric."""
    return {metric["metricId"]: metric["value"] for metric in trial["finalMeasurement"]["metrics"]}


def parameters(api: Api, job: dict[str, Any], number: int | str) -> str:
    """What a search trial tries."""
    text: str = api.get(f"{job['name']}/nasTrialDetails/{number}").json["parameters"]
    return text


def output_of(api: Api, job: dict[str, Any], task: str, stream: str = "stdout") -> str:
    """What a trial's replica wrote."""
    answer = api.call("GET", f"/trainyard/v1/{job['name']}/logs/{task}/workerpool0-0/{stream}")
    assert answer.status == 200, answer.body
    return answer.body.decode()


def told(api: Api, job: dict[str, Any], task: str = "service") -> str:
    """The service log of a search, or the lines of one of its tasks."""
    page = api.call("GET", f"/trainyard/v1/{job['name']}/logs?task={task}&size=10000").json
    return "\n".join(entry["text"] for entry in page["entries"])


def until(api: Api, job: dict[str, Any], number: int, seconds: float = 60.0) -> dict[str, Any]:
    """The search once so many of its trials run at the same time."""
    deadline = time.monotonic() + seconds
    while True:
        now = api.get(job["name"]).json
        if states(now).count("ACTIVE") >= number:
            return now
        assert time.monotonic() < deadline, now
        time.sleep(0.02)
