"""Rows as StackQL's --output has them: table, json, jsonl, csv, text; its own spelling of each where it is asked for.

StackQL's JSON is one compact array with its keys in order of the alphabet and no newline behind it, `null` for no rows;
its table has a rule between all rows. Ours are for people: columns as they were asked for, `[]`, rules where they help.
"""

from __future__ import annotations

import csv
import json
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TextIO

from trainyard.cli.problems import Problem

FORMATS: Final = ("table", "json", "jsonl", "csv", "text", "pptext")
_WIDEST: Final = 30  # of StackQL's table, whose cells are broken there
_MOST_TABLE_ROWS: Final = 100_000
_NUMBERS: Final = frozenset({"bigint", "double"})


@dataclass(frozen=True, slots=True)
class Style:
    """How to print. `stackql`: in its own spelling; `header`: names of columns; `delimiter`: between csv's cells."""

    format: str = "table"
    stackql: bool = False
    header: bool = True
    delimiter: str = ","


Columns = Sequence[tuple[str, str]]
Rows = Iterable[Sequence[Any]]


def write(columns: Columns, rows: Rows, style: Style, out: TextIO | None = None) -> None:
    """Print one answer; rows are printed as they come, but for tables and for StackQL's array."""
    _WRITERS[style.format](columns, rows, style, out or sys.stdout)


def _json(columns: Columns, rows: Rows, style: Style, out: TextIO) -> None:
    names = [name for name, _ in columns]
    if style.stackql:
        found = [dict(sorted(zip(names, row, strict=True))) for row in rows]
        out.write(json.dumps(found, ensure_ascii=False, separators=(",", ":")) if found else "null")
        return
    begun = False
    for row in rows:
        out.write(",\n" if begun else "[\n")
        out.write(_object(names, row))
        begun = True
    out.write("\n]\n" if begun else "[]\n")


def _jsonl(columns: Columns, rows: Rows, style: Style, out: TextIO) -> None:
    names = [name for name, _ in columns]
    for row in rows:
        out.write(_object(names, row, sort=style.stackql) + "\n")
        out.flush()


def _object(names: Sequence[str], row: Sequence[Any], *, sort: bool = False) -> str:
    return json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False, separators=(",", ":"), sort_keys=sort)


def _csv(columns: Columns, rows: Rows, style: Style, out: TextIO) -> None:
    writer = csv.writer(out, delimiter=style.delimiter, lineterminator="\n")
    if style.header:
        writer.writerow([name for name, _ in columns])
    for row in rows:
        writer.writerow(["" if value is None else _shown(value) for value in row])


def _text(columns: Columns, rows: Rows, style: Style, out: TextIO) -> None:
    """Cells as they are, a tab between them; one cell a row is printed whole, lines and all."""
    if style.header and len(columns) > 1:
        out.write("\t".join(name for name, _ in columns) + "\n")
    for row in rows:
        out.write("\t".join("null" if value is None else _shown(value) for value in row) + "\n")


def _table(columns: Columns, rows: Rows, style: Style, out: TextIO) -> None:
    kept: list[list[list[str]]] = []
    for row in rows:
        if len(kept) == _MOST_TABLE_ROWS:
            raise Problem(
                f"a table of more than {_MOST_TABLE_ROWS} rows cannot be drawn",
                ["--output jsonl or csv prints any number"],
            )
        kept.append([_lines(value, style) for value in row])
    names = [[name] for name, _ in columns] if style.header else []
    widths = [
        max((len(line) for cells in ([names] if names else []) + kept for line in cells[at]), default=0)
        for at in range(len(columns))
    ]
    right = [kind in _NUMBERS for _, kind in columns]
    draw = _ruled if style.stackql else _open
    for line in draw(names, kept, widths, right):
        out.write(line + "\n")


def _ruled(names: list[list[str]], rows: list[list[list[str]]], widths: list[int], right: list[bool]) -> Iterator[str]:
    """StackQL's: a rule above, below and between all rows."""
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    yield rule
    for number, cells in enumerate(([names] if names else []) + rows):
        centre = number == 0 and bool(names)
        for line in _spread(cells, widths, right, centre=centre):
            yield "|" + "|".join(f" {each} " for each in line) + "|"
        yield rule


def _open(names: list[list[str]], rows: list[list[list[str]]], widths: list[int], right: list[bool]) -> Iterator[str]:
    """Ours: a rule below the header, two blanks between columns."""
    if names:
        yield "  ".join(_spread(names, widths, right, centre=False)[0]).rstrip()
        yield "  ".join("-" * width for width in widths)
    for cells in rows:
        for line in _spread(cells, widths, right, centre=False):
            yield "  ".join(line).rstrip()


def _spread(cells: list[list[str]], widths: list[int], right: list[bool], *, centre: bool) -> list[list[str]]:
    """A row as lines of padded cells."""
    lines = []
    for at in range(max(map(len, cells), default=0)):
        texts = [cell[at] if at < len(cell) else "" for cell in cells]
        lines.append([_padded(*each, centre=centre) for each in zip(texts, widths, right, strict=True)])
    return lines


def _padded(text: str, width: int, right: bool, *, centre: bool) -> str:
    if centre:
        return text.center(width)
    return text.rjust(width) if right else text.ljust(width)


def _lines(value: Any, style: Style) -> list[str]:
    text = "null" if value is None else _shown(value)
    if style.stackql:
        return [
            each for line in text.split("\n") for each in textwrap.wrap(line, _WIDEST, break_long_words=False) or [""]
        ]
    return text.split("\n")


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


_WRITERS: Final[Mapping[str, Callable[[Columns, Rows, Style, TextIO], None]]] = {
    "table": _table,
    "json": _json,
    "jsonl": _jsonl,
    "csv": _csv,
    "text": _text,
    "pptext": _text,
}
