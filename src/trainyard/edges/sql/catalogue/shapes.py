"""The shapes of PostgreSQL 15's catalogue tables, read from shapes.txt: what clients select, filter and join by.

A line there is a table and its columns; a line that begins with a blank goes on. `:i` is a whole number, `:b` a truth,
`:d` a floating number, else text; `=x` is the value where nothing says otherwise, else NULL.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

_TYPES: Final[Mapping[str, str]] = {"i": "BIGINT", "b": "BOOLEAN", "d": "DOUBLE", "": "TEXT"}
_KINDS: Final[Mapping[str, str]] = {"i": "bigint", "b": "boolean", "d": "double", "": "text"}


@dataclass(frozen=True, slots=True)
class Shape:
    """One table: its columns as (name, type letter), and a row of their defaults."""

    name: str
    columns: tuple[tuple[str, str], ...]
    defaults: tuple[object, ...]

    @property
    def declaration(self) -> str:
        """CREATE TABLE for the virtual table."""
        return f"CREATE TABLE x({', '.join(f'{name} {_TYPES[letter]}' for name, letter in self.columns)})"

    def row(self, **values: object) -> tuple[object, ...]:
        """A row: these values, the defaults elsewhere. Raises ValueError on a column that there is not."""
        names = [name for name, _ in self.columns]
        row = list(self.defaults)
        for name, value in values.items():
            row[names.index(name)] = value
        return tuple(row)

    def kinds(self) -> Iterator[tuple[str, str]]:
        """Each column's name and kind."""
        for name, letter in self.columns:
            yield name, _KINDS[letter]


@cache
def shapes() -> Mapping[str, Shape]:
    """Every table by its name; those of the information schema with that before it."""
    lines: list[str] = []
    for line in files(__package__).joinpath("shapes.txt").read_text("utf-8").splitlines():
        if line.startswith(" "):
            lines[-1] += line
        else:
            lines.append(line)
    return {shape.name: shape for shape in map(_shape, lines)}


def _shape(line: str) -> Shape:
    name, *words = line.split()
    columns, defaults = [], list[object]()
    for word in words:
        column, equals, default = word.partition("=")
        column, _, letter = column.partition(":")
        columns.append((column, letter))
        defaults.append(None if not equals else int(default) if letter else default)
    return Shape(name, tuple(columns), tuple(defaults))
