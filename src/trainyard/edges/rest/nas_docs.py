"""What openapi.json says of searches' own routes under /trainyard/v1: logs, explanations of trials, claims."""

from __future__ import annotations

from typing import Any, Final

from trainyard.edges.rest.own_docs import LOG_QUERY, LOGS_ANSWER, described, get, in_path, json_of, query, text

Json = dict[str, Any]

_NAMED: Final = [
    in_path("project", pattern="^[a-z][a-z0-9-]{0,62}$"),
    in_path("location", pattern="^[a-z][a-z0-9-]{0,62}$"),
    in_path("nasJob", pattern="^[0-9]{1,18}$"),
]
_TRIAL: Final = in_path("nasTrialDetail", pattern="^[0-9]{1,9}$")
_STAGE: Final = query("stage", "search, or train for the training of this search trial.", type="string")
_JOB: Final = "/trainyard/v1/projects/{project}/locations/{location}/nasJobs/{nasJob}"
_TRIALS: Final = f"{_JOB}/nasTrialDetails/{{nasTrialDetail}}"

NAS_SCHEMAS: Final[Json] = {
    "trainyard.Claim": described(
        "Which trial is a worker's now; one of the three.",
        ("trial", "wait", "done"),
        trial=described(
            "The trial.",
            id=text("Its number."),
            parameters=text("What to try, as --nas_params_str has it."),
            decisions={"type": "array", "items": {"type": "integer"}, "description": "The same as options' numbers."},
        ),
        wait={"type": "number", "description": "None is free; ask again after so many seconds."},
        done=text("The job's final state."),
    ),
    "trainyard.SearchState": described("What a search is now.", state=text("Its state.")),
    "trainyard.TrialState": described("What a trial is now.", state=text("ACTIVE, STOPPING, SUCCEEDED or INFEASIBLE.")),
}


def _post(name: str, summary: str, parameters: list[Json], schema: str) -> Json:
    method: Json = get(name, summary, parameters, json_of(schema))["get"]
    body = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
    return {"post": {**method, "requestBody": body}}


NAS_PATHS: Final[Json] = {
    f"{_JOB}:explain": get("explainSearch", "Why a search is as it is", _NAMED, json_of("trainyard.Explanation")),
    f"{_JOB}/logs": get("searchLogs", "The output of a search and its trials", [*_NAMED, *LOG_QUERY], LOGS_ANSWER),
    f"{_JOB}:claim": _post("claimTrial", "Give a worker a trial (docs/nas.md)", _NAMED, "trainyard.Claim"),
    f"{_JOB}:finish": _post(
        "finishSearch", "Begin nothing more, and end once all that was begun has", _NAMED, "trainyard.SearchState"
    ),
    f"{_TRIALS}:explain": get(
        "explainTrial", "Why a trial is as it is", [*_NAMED, _TRIAL, _STAGE], json_of("trainyard.Explanation")
    ),
    f"{_TRIALS}:report": _post(
        "reportTrial", "Take what a worker says of its trial", [*_NAMED, _TRIAL], "trainyard.TrialState"
    ),
}
