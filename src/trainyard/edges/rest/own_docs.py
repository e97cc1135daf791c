"""What openapi.json says of the routes under /trainyard/v1, which no book describes; own_routes.py serves them.

A test asks a server for each of these and holds its answer against the schema here.
"""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]


def text(description: str) -> Json:
    """A string."""
    return {"type": "string", "description": description}


def _time(description: str) -> Json:
    return {"type": "string", "format": "date-time", "description": description}


def described(description: str, optional: tuple[str, ...] = (), **properties: Json) -> Json:
    """An object with these properties, all required but the optional ones."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "description": description, "properties": properties, "required": required}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


def _value(kind: str, description: str) -> Json:
    return {"type": kind, "description": description}


_USED: Final[Json] = {
    "cpuCores": _value("number", "Cores kept busy."),
    "diskReadBytesPerSecond": _value("number", "From disks."),
    "diskWriteBytesPerSecond": _value("number", "To disks."),
    "memoryBytes": _value("integer", "Resident memory."),
    "processes": _value("integer", "How many there were."),
    "gpuPercent": _value("integer", "Of its GPUs, 100 for each."),
    "gpuMemoryBytes": _value("integer", "In use on its GPUs."),
}

OWN_SCHEMAS: Final[Json] = {
    "trainyard.Health": described(
        "Whether the service is well.",
        status={"type": "string", "enum": ["ok", "degraded"], "description": "In one word."},
        problems=_list(text("One sentence per thing that is not as it should be.")),
        version=text("Of Trainyard."),
        startTime=_time("When this process came up."),
        instance=text("Different after every start."),
        pid={"type": "integer", "description": "The service's process."},
        sqlPort={"type": ["integer", "null"], "description": "Where it speaks PostgreSQL's protocol; null: nowhere."},
    ),
    "trainyard.Change": {
        "type": "object",
        "description": "One change of state.",
        "properties": {
            "time": _time("When."),
            "from": {"type": ["string", "null"], "description": "The old state; null at the creation."},
            "to": text("The new state."),
            "attempt": {"type": "integer", "description": "Which attempt it belongs to; 0 before the first."},
            "why": text("The reason, for people."),
        },
        "required": ["time", "from", "to", "attempt", "why"],
    },
    "trainyard.Explanation": described(
        "Why a job is as it is.",
        name=text("The job."),
        displayName=text("Its display name."),
        state=text("Its state."),
        sentence=text("What a person wants to hear first."),
        evidence=_list(text("What the sentence rests on.")),
        progress={
            "type": ["object", "null"],
            "description": "While it runs, where its primary replica prints how far it is.",
            "properties": {
                "fraction": {"type": "number", "description": "From 0 to 1."},
                "percent": {"type": "integer", "description": "The same, from 0 to 100."},
                "secondsLeft": {"type": ["number", "null"], "description": "As of that line."},
                "secondsLeftBy": {
                    "type": ["string", "null"],
                    "description": "Who says so: the program, or its pace so far.",
                },
                "line": text("The line that says it."),
            },
        },
        tracking={
            "type": ["object", "null"],
            "description": "Where the job names an experiment.",
            "properties": {
                "experiment": text("Its name."),
                "run": text("The name of the job's run in it."),
                "where": text("The MLflow that it is written to; empty where it is recorded with the job only."),
                "runId": text("Of the run there; empty while there is none."),
            },
        },
        queue={"type": ["object", "null"], "description": "Position, length and why, while it waits."},
        history=_list(_ref("trainyard.Change")),
        replicas=_list({"type": "object", "description": "How each incarnation of each replica ended."}),
    ),
    "trainyard.Metrics": described(
        "The scalars of a job's event files.",
        source=text("The directory that they are read from: AIP_TENSORBOARD_LOG_DIR."),
        series=_list(_ref("trainyard.Series")),
        damaged=_list(
            described(
                "A file that could not be read to its end.", file=text("Its address."), why=text("What is wrong.")
            )
        ),
    ),
    "trainyard.Series": described(
        "One tag of one run.",
        run=text("The directory below the source, such as train; empty for the source itself."),
        tag=text("The writer's name for it, such as loss."),
        count={"type": "integer", "description": "How many points were written."},
        points=_list(
            described(
                "One point; evenly chosen ones where there are more than were asked for.",
                step={"type": "integer", "description": "The writer's step."},
                time=_time("By the writer's clock."),
                value={"type": ["number", "string"], "description": "The value, or NaN, Infinity, -Infinity."},
            )
        ),
    ),
    "trainyard.Usage": described(
        "What a job's replicas used over time.",
        replicas=_list(_ref("trainyard.ReplicaUsage")),
    ),
    "trainyard.ReplicaUsage": described(
        "One incarnation of a replica. Processes that have ended count.",
        task=text("The replica, such as workerpool0-0."),
        attempt=_value("integer", "The attempt, from 1."),
        incarnation=_value("integer", "How often it was restarted in place before."),
        samples=_value("integer", "How many were taken."),
        cpuSeconds=_value("number", "CPU time up to the newest sample."),
        diskReadBytes=_value("integer", "Read from disks up to then."),
        diskWriteBytes=_value("integer", "Written to disks up to then."),
        newest={"anyOf": [_ref("trainyard.UsagePoint"), {"type": "null"}]},
        peak={
            "type": ["object", "null"],
            "description": "The largest value of each that a sample has shown.",
            "properties": _USED,
        },
        points=_list(_ref("trainyard.UsagePoint")),
    ),
    "trainyard.UsagePoint": described(
        "The means since the point before, and what was in use at the time; GPU values only where there are GPUs.",
        ("gpuPercent", "gpuMemoryBytes"),
        time=_time("When."),
        **_USED,
    ),
    "trainyard.LogEntry": described(
        "One line of output.",
        ("text", "payload"),
        time=_time("When it was written."),
        task=text("workerpool0-0, or service."),
        attempt={"type": "integer", "description": "Which attempt wrote it."},
        stream=text("stdout, stderr or service."),
        severity=text("As Cloud Logging names it."),
        text=text("The line."),
        payload={"type": "object", "description": "The line, where it is one JSON object."},
    ),
    "trainyard.Logs": described(
        "A page of output.",
        entries=_list(_ref("trainyard.LogEntry")),
        cursor=text("Where to go on; never expires."),
        complete={"type": "boolean", "description": "Whether the job has ended and this was the last of it."},
    ),
}


def in_path(name: str, **schema: Any) -> Json:
    """A parameter in the path."""
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", **schema}}


_NAMED: Final = [
    in_path("project", pattern="^[a-z][a-z0-9-]{0,62}$"),
    in_path("location", pattern="^[a-z][a-z0-9-]{0,62}$"),
    in_path("customJob", pattern="^[0-9]{1,18}$"),
]


def query(name: str, description: str, **schema: Any) -> Json:
    """A parameter of the query."""
    return {"name": name, "in": "query", "description": description, "schema": schema}


def get(name: str, summary: str, parameters: list[Json], answer: Json) -> Json:
    """A path that can be read."""
    return {
        "get": {
            "operationId": f"trainyard.{name}",
            "tags": ["Trainyard"],
            "summary": summary,
            "parameters": parameters,
            "responses": {
                "200": {"description": "As asked.", "content": answer},
                "default": {"$ref": "#/components/responses/Error"},
            },
        }
    }


def json_of(schema: str) -> Json:
    """An answer in JSON."""
    return {"application/json": {"schema": _ref(schema)}}


_JOB: Final = "/trainyard/v1/projects/{project}/locations/{location}/customJobs/{customJob}"
LOG_QUERY: Final = [
    query("cursor", "Where to go on.", type="string"),
    query("task", "Only of this task, such as workerpool0-0.", type="string"),
    query("size", "At most so many lines.", type="integer", minimum=0, maximum=999_999_999),
    query(
        "follow",
        "Stream events until the job has ended: log per line, state per change, end.",
        type="boolean",
        default=False,
    ),
]
_ATTEMPT: Final = query(
    "attempt", "Of this attempt; the newest without it.", type="integer", minimum=0, maximum=999_999_999
)
LOGS_ANSWER: Final[Json] = {**json_of("trainyard.Logs"), "text/event-stream": {"schema": {"type": "string"}}}

OWN_PATHS: Final[Json] = {
    "/trainyard/v1/health": get("health", "Whether the service is well", [], json_of("trainyard.Health")),
    f"{_JOB}:explain": get("explain", "Why a job is as it is", _NAMED, json_of("trainyard.Explanation")),
    f"{_JOB}:metrics": get(
        "metrics",
        "The scalars that a job's programs write to AIP_TENSORBOARD_LOG_DIR",
        [
            *_NAMED,
            query("tag", "Only of this tag.", type="string"),
            query("points", "At most so many of a series.", type="integer", minimum=2, maximum=100_000, default=1000),
        ],
        json_of("trainyard.Metrics"),
    ),
    f"{_JOB}:usage": get(
        "usage",
        "CPU, memory, disk and GPU that a job's replicas used over time",
        [
            *_NAMED,
            query("task", "Only of this replica.", type="string"),
            _ATTEMPT,
            query("points", "At most so many of a replica.", type="integer", minimum=2, maximum=100_000, default=1000),
        ],
        json_of("trainyard.Usage"),
    ),
    f"{_JOB}/logs": get("logs", "A job's output, by pages or followed", [*_NAMED, *LOG_QUERY], LOGS_ANSWER),
    f"{_JOB}/logs/{{task}}/{{stream}}": get(
        "rawLogs",
        "The exact bytes of a replica's stream; a Range header is honoured",
        [
            *_NAMED,
            {"name": "task", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}},
            {
                "name": "stream",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "enum": ["stdout", "stderr"]},
            },
            _ATTEMPT,
        ],
        {"application/octet-stream": {}},
    ),
    f"{_JOB}/shells/{{replica}}": get(
        "shell",
        "A shell in a replica of a running job, as a WebSocket; how to open it where the request asks for none",
        [
            *_NAMED,
            {"name": "replica", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}},
            query("rows", "Of the caller's terminal.", type="integer", minimum=1, maximum=65535, default=24),
            query("columns", "Of the caller's terminal.", type="integer", minimum=1, maximum=65535, default=80),
            query("term", "Its name in terminfo.", type="string", default="xterm-256color"),
            query("stage", "Of a trial.", type="string", enum=["search", "train"], default="search"),
        ],
        {"text/plain": {}},
    ),
}
