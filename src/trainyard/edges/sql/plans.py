"""How a table of the API is read: the method that a WHERE clause means, and what of it is left to the store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from trainyard.edges.sql.errors import UNDEFINED, SqlError
from trainyard.edges.sql.resources import Method, Resource

DEFAULT: Final = "default "
"""Before the name of a path parameter: a hidden column that gives its value where nothing else does (views)."""

ROWS: Final = "__rows"
"""The hidden column that says how many jobs a row stands for; asking for it lets the table join equal rows."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One way to read. `used` are the columns that the statement looks at.

    `arguments` says what each value handed to Filter is: a parameter's name, or `=`, `<`, `>` and a column's. `keeps`:
    reading it often is a join, and no IN whose values come one by one.
    """

    table: str
    method: str
    arguments: tuple[str, ...]
    used: tuple[str, ...]
    keeps: bool = True

    def text(self) -> str:
        """For SQLite to carry to Filter, and for EXPLAIN."""
        return json.dumps([self.table, self.method, self.arguments, self.used, self.keeps])


@lru_cache(maxsize=512)
def plan_from(text: str) -> Plan:
    """The plan of such a text."""
    table, method, arguments, used, keeps = json.loads(text)
    return Plan(table, method, tuple(arguments), tuple(used), keeps)


def method_for(methods: Sequence[Method], given: frozenset[str]) -> Method | None:
    """The first method that has all that it requires and takes all that is given, else the first of the former."""
    able = [method for method in methods if given.issuperset(method.required)]
    options = given.intersection(name for method in methods for name in method.optional)
    return next((method for method in able if options.issubset(method.optional)), able[0] if able else None)


def missing(
    resource: Resource, methods: Sequence[Method], given: frozenset[str], verb: str = "select", hint: str = ""
) -> SqlError:
    """The error for a statement that no method can answer, in StackQL's words and with what to add."""
    name = resource.full_name
    needs = min(methods, key=lambda method: len(set(method.required) - given), default=None)
    lacking = [name for name in needs.required if name not in given] if needs else []
    if lacking:
        hint = "Add to WHERE: " + " AND ".join(f"{parameter} = '…'" for parameter in lacking) + "."
    return SqlError(
        UNDEFINED,
        "cannot find matching operation, possible causes include missing required parameters or an unsupported method "
        f"for the resource, to find required parameters for supported methods run SHOW METHODS IN {name}: "
        f"no appropriate method = '{verb}' for resource = '{resource.name}'"
        + (f"; missing: {', '.join(lacking)}" if lacking else ""),
        hint=hint,
    )


def hidden_columns(resource: Resource) -> tuple[str, ...]:
    """The hidden columns of a resource's table: ids, their defaults, optional parameters, the count."""
    defaults = (DEFAULT + name for name in resource.path)
    return tuple(dict.fromkeys((*resource.path, *defaults, *resource.optional, ROWS)))


def declaration(resource: Resource) -> str:
    """CREATE TABLE for the virtual table; hidden ones need their TEXT, or `HIDDEN` itself is taken for the type."""
    types: Mapping[str, str] = {"json": "JSONTEXT", "boolean": "BOOLEAN", "bigint": "BIGINT", "double": "DOUBLE"}
    shown = [f'"{column.name}" {types.get(column.kind, "TEXT")}' for column in resource.columns]
    hidden = [f'"{name}" {"BIGINT" if name == ROWS else "TEXT"} HIDDEN' for name in hidden_columns(resource)]
    return f"CREATE TABLE x({', '.join([*shown, *hidden])})"
