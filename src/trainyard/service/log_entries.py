"""One line of a job's output as Cloud Logging shows it: resource, labels, names and times as clients expect them.

Entries are ordered by time, then insert id; both are the same at every reading. gcloud compares times as text, which is
right only where every time has as many digits: so every entry's time ends in one nanosecond, which proto3 JSON has to
write out ("…:05.123456001Z").
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trainyard.core.jobs import Change
from trainyard.core.log_query_tree import LEVELS
from trainyard.service.rendering import message

if TYPE_CHECKING:
    from trainyard.core.jobs import Job
    from trainyard.store import LogLine

RESOURCE_TYPE = "ml_job"
NANOSECONDS = 1_000_000_000
DEEPEST = 25  # levels of a payload; below, JSON as text: one level is three messages, and clients read a hundred
_LIFTED = {
    "logging.googleapis.com/trace": ("trace", str),
    "logging.googleapis.com/spanId": ("spanId", str),
    "logging.googleapis.com/trace_sampled": ("traceSampled", bool),
}
"""Keys of a structured line that are the entry's own ("Structured logging", special fields in the message)."""

Key = tuple[int, str]


def key_of(job: Job, line: LogLine) -> Key:
    """Where the entry stands among all: time in nanoseconds, insert id."""
    return line.time_us * 1000 + 1, f"{job.id}-{line.mark}"


def entry_of(job: Job, line: LogLine, project: str, history: tuple[Change, ...]) -> dict[str, Any]:
    """The entry as its JSON shows it, but for times, which are nanoseconds. `project` as the caller writes it."""
    time_ns, insert_id = key_of(job, line)
    labels = {
        "ml.googleapis.com/endpoint": "",
        "ml.googleapis.com/job_id/log_area": "root",
        "ml.googleapis.com/job_state": _state_at(line.time_us, history),
        "ml.googleapis.com/tpu_worker_id": "",
        "ml.googleapis.com/trial_id": trial_of(line.task),
        "trainyard/stream": line.stream,
    }
    if line.attempt:
        labels["trainyard/attempt"] = str(line.attempt)
    entry: dict[str, Any] = {
        "logName": f"projects/{project}/logs/{line.task}",
        "resource": {
            "type": RESOURCE_TYPE,
            "labels": {"project_id": project, "job_id": str(job.id), "task_name": line.task},
        },
        "timestamp": time_ns,
        "receiveTimestamp": time_ns,
        "severity": line.severity.value,
        "insertId": insert_id,
        "labels": labels,
    }
    if line.payload is None:
        entry["textPayload"] = line.text
    else:
        entry["jsonPayload"] = _lift(line.payload, entry)
    return entry


def trial_of(task: str) -> str:
    """The trial's number in a task such as `search-3/workerpool0-0`; empty where it is no trial's."""
    return task.partition("/")[0].rpartition("-")[2] if "/" in task else ""


def _lift(payload: Mapping[str, object], entry: dict[str, Any]) -> dict[str, Any]:
    """The payload without what belongs to the entry, which is put there."""
    rest = dict(payload)
    for key, (field, kind) in _LIFTED.items():
        if isinstance(rest.get(key), kind):
            entry[field] = rest.pop(key)
    given = rest.get("logging.googleapis.com/labels")
    if isinstance(given, dict) and all(isinstance(value, str) for value in given.values()):
        entry["labels"].update(given)
        del rest["logging.googleapis.com/labels"]
    return rest


def _state_at(time_us: int, history: tuple[Change, ...]) -> str:
    """The job's state when the line was written, such as RUNNING."""
    state = next((change.target for change in reversed(history) if change.time_us <= time_us), None)
    return (state or history[0].target).api_name.removeprefix("JOB_STATE_") if history else ""


def fill(entry: Mapping[str, Any], target: Any) -> None:
    """Write the entry into a google.logging.v2.LogEntry."""
    target.log_name, target.insert_id = entry["logName"], entry["insertId"]
    target.severity = LEVELS[entry["severity"]]
    target.resource.type = entry["resource"]["type"]
    target.resource.labels.update(entry["resource"]["labels"])
    target.labels.update(entry["labels"])
    for stamp, name in ((target.timestamp, "timestamp"), (target.receive_timestamp, "receiveTimestamp")):
        stamp.seconds, stamp.nanos = divmod(entry[name], NANOSECONDS)
    target.trace, target.span_id = entry.get("trace", ""), entry.get("spanId", "")
    target.trace_sampled = entry.get("traceSampled", False)
    if "textPayload" in entry:
        target.text_payload = entry["textPayload"]
    else:
        _put_struct(entry["jsonPayload"], target.json_payload)


def _put_struct(values: Mapping[str, Any], target: Any, depth: int = 1) -> None:
    target.SetInParent()
    for key, value in values.items():
        _put_value(value, target.fields[key], depth)


def _put_value(value: Any, target: Any, depth: int) -> None:
    if value is None:
        target.null_value = 0
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int | float):
        target.number_value = value
    elif isinstance(value, str):
        target.string_value = value
    elif depth == DEEPEST:
        target.string_value = json.dumps(value)
    elif isinstance(value, Mapping):
        _put_struct(value, target.struct_value, depth + 1)
    else:
        target.list_value.SetInParent()
        for each in value:
            _put_value(each, target.list_value.values.add(), depth + 1)


def log_entry(entry: Mapping[str, Any]) -> Any:
    """The entry as a message."""
    made = message("google.logging.v2.LogEntry")
    fill(entry, made)
    return made
