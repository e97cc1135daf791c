"""The page docs/sql.md: tables, columns and methods from the operation book, between text that a person wrote."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from trainyard.edges.sql.own_tables import own_tables
from trainyard.edges.sql.resources import Resource, resources

OWN_HEAD = """### Schema trainyard

What happened to the jobs of a project. `projectsId` is required; `locationsId` and `jobsId` narrow, and `job` is the
name that a job's own table has as `name`.
"""
TEXT = Path(__file__).with_suffix(".md")
"""What a person wrote; the tables come where `{tables}` stands."""


def sql_page() -> str:
    """docs/sql.md."""
    tables = [*map(_of_api, resources().values()), OWN_HEAD, *map(_of_ours, own_tables())]
    return TEXT.read_text("utf-8").replace("{tables}", "\n".join(tables))


def _of_api(resource: Resource) -> str:
    methods = "".join(
        f"| {method.name} | {method.verb} | {', '.join(method.required)} | {', '.join(method.optional)} |\n"
        for method in resource.methods
    )
    return (
        f"### {resource.full_name}\n\n{_sentence(resource.doc)}\n\n"
        f"| method | statement | required | optional |\n|---|---|---|---|\n{methods}\n" + _columns(resource)
    )


def _of_ours(resource: Resource) -> str:
    return f"#### {resource.full_name}\n\n{_sentence(resource.doc)}\n\n" + _columns(resource)


def _columns(resource: Resource) -> str:
    rows: Iterable[str] = (
        f"| {column.name} | {column.type} | {_sentence(column.doc)} |" for column in resource.columns
    )
    return "| column | type | |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def _sentence(doc: str) -> str:
    """The first sentence, in one line, with nothing that a table would stumble over."""
    line = " ".join(doc.split()).removeprefix("Output only. ").removeprefix("Required. ").removeprefix("Optional. ")
    return re.split(r"(?<=[a-z)`])\. (?=[A-Z])", line)[0].rstrip(".").replace("|", "\\|")
