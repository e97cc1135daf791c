"""Names of tables: StackQL's three-part ones and those of our own schemas become one quoted name that SQLite knows."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Final

from trainyard.edges.sql.errors import UNDEFINED, SqlError
from trainyard.edges.sql.lexer import Token
from trainyard.edges.sql.resources import PROVIDER, SERVICE, Resource, resources

OWN_SCHEMA: Final = "trainyard"
SCHEMAS: Final = frozenset({OWN_SCHEMA, "pg_catalog", "information_schema"})
"""Schemas whose tables are known to SQLite by their name with the dot in it."""


class Chain:
    """A dotted name: `parts` are its words, `end` is the index of the token behind it."""

    def __init__(self, tokens: Sequence[Token], start: int) -> None:
        """Read the chain that begins at `start`, where a name stands."""
        self.parts = [tokens[start].value]
        self.end = start + 1
        while self.end + 1 < len(tokens) and tokens[self.end].text == "." and tokens[self.end + 1].is_name:
            self.parts.append(tokens[self.end + 1].value)
            self.end += 2


def quoted(name: str) -> str:
    """The name as SQLite reads it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def resource_named(parts: Sequence[str], default_provider: str = "") -> Resource | None:
    """The resource that a chain begins with (`google.aiplatform.custom_jobs`); None where it begins with none.

    `aiplatform.custom_jobs` is one too, as clients of the catalogue write it. Raises SqlError on a service or resource
    that there is not.
    """
    lowered = [part.lower() for part in parts]
    if lowered[0] == SERVICE and (default_provider or (lowered[1:2] and lowered[1] in resources())):
        lowered = [default_provider or PROVIDER, *lowered]
    if lowered[0] != PROVIDER or len(lowered) < 3:
        return None
    found = resources().get(lowered[2]) if lowered[1] == SERVICE else None
    if found is None:
        asked = ".".join(lowered[:3])
        known = [resource.full_name for resource in resources().values()]
        near = difflib.get_close_matches(asked, known, 1, 0.4)
        raise SqlError(
            UNDEFINED,
            f"There is no table {asked} here.",
            hint=f"Did you mean {near[0]}?" if near else f"The tables are: {', '.join(known)}.",
        )
    return found


def table_name(parts: Sequence[str], default_provider: str = "") -> tuple[str, int] | None:
    """SQLite's name of the table that a chain begins with, and how many parts it takes; None for any other chain."""
    resource = resource_named(parts, default_provider)
    if resource is not None:
        return resource.full_name, 2 if parts[0].lower() == SERVICE else 3
    if len(parts) > 1 and parts[0].lower() in SCHEMAS:
        return f"{parts[0].lower()}.{parts[1].lower()}", 2
    return None
