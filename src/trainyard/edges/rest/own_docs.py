"""What openapi.json says of the routes under /trainyard/v1, which no book describes; own_routes.py serves them.

A test asks a server for each of these and holds its answer against the schema here.
"""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]


def _text(description: str) -> Json:
    return {"type": "string", "description": description}


def _time(description: str) -> Json:
    return {"type": "string", "format": "date-time", "description": description}


def _object(description: str, optional: tuple[str, ...] = (), **properties: Json) -> Json:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "description": description, "properties": properties, "required": required}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


OWN_SCHEMAS: Final[Json] = {
    "trainyard.Health": _object(
        "Whether the service is well.",
        status={"type": "string", "enum": ["ok", "degraded"], "description": "In one word."},
        problems=_list(_text("One sentence per thing that is not as it should be.")),
        version=_text("Of Trainyard."),
        startTime=_time("When this process came up."),
        instance=_text("Different after every start."),
        pid={"type": "integer", "description": "The service's process."},
    ),
    "trainyard.Change": {
        "type": "object",
        "description": "One change of state.",
        "properties": {
            "time": _time("When."),
            "from": {"type": ["string", "null"], "description": "The old state; null at the creation."},
            "to": _text("The new state."),
            "attempt": {"type": "integer", "description": "Which attempt it belongs to; 0 before the first."},
            "why": _text("The reason, for people."),
        },
        "required": ["time", "from", "to", "attempt", "why"],
    },
    "trainyard.Explanation": _object(
        "Why a job is as it is.",
        name=_text("The job."),
        displayName=_text("Its display name."),
        state=_text("Its state."),
        sentence=_text("What a person wants to hear first."),
        evidence=_list(_text("What the sentence rests on.")),
        progress={
            "type": ["object", "null"],
            "description": "While it runs, where its primary replica prints how far it is.",
            "properties": {
                "fraction": {"type": "number", "description": "From 0 to 1."},
                "percent": {"type": "integer", "description": "The same, from 0 to 100."},
                "secondsLeft": {"type": ["number", "null"], "description": "Where the program says so."},
                "line": _text("The line that says it."),
            },
        },
        queue={"type": ["object", "null"], "description": "Position, length and why, while it waits."},
        history=_list(_ref("trainyard.Change")),
        replicas=_list({"type": "object", "description": "How each incarnation of each replica ended."}),
    ),
    "trainyard.Metrics": _object(
        "The scalars of a job's event files.",
        source=_text("The directory that they are read from: AIP_TENSORBOARD_LOG_DIR."),
        series=_list(_ref("trainyard.Series")),
        damaged=_list(
            _object(
                "A file that could not be read to its end.", file=_text("Its address."), why=_text("What is wrong.")
            )
        ),
    ),
    "trainyard.Series": _object(
        "One tag of one run.",
        run=_text("The directory below the source, such as train; empty for the source itself."),
        tag=_text("The writer's name for it, such as loss."),
        count={"type": "integer", "description": "How many points were written."},
        points=_list(
            _object(
                "One point; evenly chosen ones where there are more than were asked for.",
                step={"type": "integer", "description": "The writer's step."},
                time=_time("By the writer's clock."),
                value={"type": ["number", "string"], "description": "The value, or NaN, Infinity, -Infinity."},
            )
        ),
    ),
    "trainyard.LogEntry": _object(
        "One line of output.",
        ("text", "payload"),
        time=_time("When it was written."),
        task=_text("workerpool0-0, or service."),
        attempt={"type": "integer", "description": "Which attempt wrote it."},
        stream=_text("stdout, stderr or service."),
        severity=_text("As Cloud Logging names it."),
        text=_text("The line."),
        payload={"type": "object", "description": "The line, where it is one JSON object."},
    ),
    "trainyard.Logs": _object(
        "A page of output.",
        entries=_list(_ref("trainyard.LogEntry")),
        cursor=_text("Where to go on; never expires."),
        complete={"type": "boolean", "description": "Whether the job has ended and this was the last of it."},
    ),
}


def _in_path(name: str, **schema: Any) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", **schema}}


_NAMED: Final = [
    _in_path("project", pattern="^[a-z][a-z0-9-]{0,62}$"),
    _in_path("location", pattern="^[a-z][a-z0-9-]{0,62}$"),
    _in_path("customJob", pattern="^[0-9]{1,18}$"),
]


def _query(name: str, description: str, **schema: Any) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _get(name: str, summary: str, parameters: list[Json], answer: Json) -> Json:
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


def _json(schema: str) -> Json:
    return {"application/json": {"schema": _ref(schema)}}


_JOB: Final = "/trainyard/v1/projects/{project}/locations/{location}/customJobs/{customJob}"
_LOG_QUERY: Final = [
    _query("cursor", "Where to go on.", type="string"),
    _query("task", "Only of this task, such as workerpool0-0.", type="string"),
    _query("size", "At most so many lines.", type="integer", minimum=0, maximum=999_999_999),
    _query(
        "follow",
        "Stream events until the job has ended: log per line, state per change, end.",
        type="boolean",
        default=False,
    ),
]
_LOGS_ANSWER: Final[Json] = {**_json("trainyard.Logs"), "text/event-stream": {"schema": {"type": "string"}}}

OWN_PATHS: Final[Json] = {
    "/trainyard/v1/health": _get("health", "Whether the service is well", [], _json("trainyard.Health")),
    f"{_JOB}:explain": _get("explain", "Why a job is as it is", _NAMED, _json("trainyard.Explanation")),
    f"{_JOB}:metrics": _get(
        "metrics",
        "The scalars that a job's programs write to AIP_TENSORBOARD_LOG_DIR",
        [
            *_NAMED,
            _query("tag", "Only of this tag.", type="string"),
            _query("points", "At most so many of a series.", type="integer", minimum=2, maximum=100_000, default=1000),
        ],
        _json("trainyard.Metrics"),
    ),
    f"{_JOB}/logs": _get("logs", "A job's output, by pages or followed", [*_NAMED, *_LOG_QUERY], _LOGS_ANSWER),
    f"{_JOB}/logs/{{task}}/{{stream}}": _get(
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
            _query(
                "attempt", "Of this attempt; the newest without it.", type="integer", minimum=0, maximum=999_999_999
            ),
        ],
        {"application/octet-stream": {}},
    ),
}
