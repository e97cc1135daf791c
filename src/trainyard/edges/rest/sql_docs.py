"""What openapi.json says of `POST /v1/sql`, which no book describes; the SQL edge serves it.

A test asks a server and holds the lines of its answers against the schema here.
"""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]

_SCALAR: Final[Json] = {"type": ["string", "number", "boolean", "null"]}


def _text(description: str) -> Json:
    return {"type": "string", "description": description}


def _line(name: str, schema: Json) -> Json:
    return {"type": "object", "required": [name], "additionalProperties": False, "properties": {name: schema}}


SQL_SCHEMAS: Final[Json] = {
    "trainyard.SqlRequest": {
        "type": "object",
        "description": "Statements to carry out; as text/plain or application/sql the body is the statements alone.",
        "required": ["sql"],
        "additionalProperties": False,
        "properties": {
            "sql": _text("One statement, or several with semicolons between them."),
            "parameters": {
                "type": "array",
                "items": _SCALAR,
                "description": "The values of $1, $2 … of a single statement; JSON goes as text.",
            },
            "project": _text("Stands in where a statement names no projectsId."),
            "location": _text("Stands in where a statement names no locationsId."),
            "rows": {
                "type": "string",
                "enum": ["arrays", "objects"],
                "default": "arrays",
                "description": "A row's values in the order of the columns, or by their names.",
            },
            "nested": {
                "type": "boolean",
                "default": False,
                "description": "Objects and lists as JSON, in place of text that is JSON.",
            },
            "goOn": {
                "type": "boolean",
                "default": False,
                "description": "Carry out the statements behind one that failed.",
            },
        },
    },
    "trainyard.SqlLine": {
        "description": "One line of the answer; which one, its only name says.",
        "oneOf": [
            _line(
                "columns",
                {
                    "type": "array",
                    "description": "Begins the answer to a statement that gives rows.",
                    "items": {
                        "type": "object",
                        "required": ["name", "kind"],
                        "properties": {
                            "name": _text("The column's name."),
                            "kind": {
                                "type": "string",
                                "enum": ["text", "bigint", "double", "boolean", "json", "bytes"],
                            },
                        },
                    },
                },
            ),
            _line("row", {"type": ["array", "object"], "description": "One row."}),
            _line(
                "done",
                {
                    "type": "object",
                    "description": "Ends a statement's answer, which is whole.",
                    "required": ["tag", "message", "notices"],
                    "properties": {
                        "tag": _text("What was done: SELECT 3, INSERT 0 1."),
                        "message": _text("What StackQL says on stderr; empty for rows alone."),
                        "notices": {"type": "array", "items": {"type": "string"}},
                    },
                },
            ),
            _line(
                "error",
                {
                    "type": "object",
                    "description": "Why a statement failed; rows that came of it do not count.",
                    "required": ["sqlstate", "message"],
                    "properties": {
                        "sqlstate": _text("PostgreSQL's five characters."),
                        "message": _text("A sentence."),
                        "hint": _text("What to do."),
                        "detail": _text("More of it."),
                        "position": {"type": "integer", "description": "Where in the statement, in characters from 1."},
                    },
                },
            ),
        ],
    },
}

SQL_PATHS: Final[Json] = {
    "/v1/sql": {
        "post": {
            "operationId": "trainyard.sql",
            "tags": ["Trainyard"],
            "summary": "Ask and change jobs in SQL; rows come as JSON lines while they are read",
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {"schema": {"$ref": "#/components/schemas/trainyard.SqlRequest"}},
                    "application/sql": {"schema": {"type": "string"}},
                    "text/plain": {"schema": {"type": "string"}},
                },
            },
            "responses": {
                "200": {
                    "description": "Lines; an answer without `done` behind its rows is not whole.",
                    "content": {"application/x-ndjson": {"schema": {"$ref": "#/components/schemas/trainyard.SqlLine"}}},
                },
                "default": {"$ref": "#/components/responses/Error"},
            },
        }
    }
}
