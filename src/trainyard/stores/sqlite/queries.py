"""The statements of queries.sql and trials.sql by name, read once; no other module holds fixed SQL."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files


def _read(text: str) -> Mapping[str, str]:
    _, *blocks = text.split("-- name: ")
    named = (block.partition("\n") for block in blocks)
    return {name.strip(): statement.strip() for name, _, statement in named}


SQL: Mapping[str, str] = {
    name: statement
    for file in ("queries.sql", "trials.sql")
    for name, statement in _read(files(__package__).joinpath(file).read_text("utf-8")).items()
}
