"""The catalogue's tables as SQLite's virtual tables: their rows are made when a statement walks them, never kept."""

from __future__ import annotations

from typing import Any

from trainyard.edges.sql.catalogue import functions
from trainyard.edges.sql.catalogue.contents import Row, rows_of
from trainyard.edges.sql.catalogue.objects import Surroundings
from trainyard.edges.sql.catalogue.shapes import Shape, shapes


def install(connection: Any, around: Surroundings) -> None:
    """Give an apsw connection the catalogue, tables and functions."""
    for shape in shapes().values():
        connection.create_module(shape.name, Module(shape, around), eponymous_only=True, read_only=True)
    functions.register(connection, around)


class Module:
    """Makes one of the tables."""

    def __init__(self, shape: Shape, around: Surroundings) -> None:
        """Of this shape, telling of these surroundings."""
        self.shape = shape
        self.around = around

    def Connect(self, *_: Any) -> tuple[str, Table]:  # noqa: N802 - apsw's name
        """The table is there without being made."""
        return self.shape.declaration, Table(self)

    Create = Connect


class Table:
    """Plans nothing: SQLite compares for itself."""

    def __init__(self, module: Module) -> None:
        """One table of this module."""
        self._module = module

    def BestIndex(self, *_: Any) -> None:  # noqa: N802 - apsw's name
        """Every read is of all rows."""

    def Open(self) -> Cursor:  # noqa: N802 - apsw's name
        """One more cursor."""
        return Cursor(self._module)

    def Disconnect(self) -> None:  # noqa: N802 - apsw's name
        """Nothing is held."""

    Destroy = Disconnect


class Cursor:
    """Walks the rows; started again for each row of an outer table, it walks the same ones."""

    def __init__(self, module: Module) -> None:
        """Make the rows now, once."""
        self._rows: list[Row] = rows_of(module.shape.name, module.around)
        self._at = 0

    def Filter(self, *_: Any) -> None:  # noqa: N802 - apsw's name
        """From the first row."""
        self._at = 0

    def Next(self) -> None:  # noqa: N802 - apsw's name
        """One further."""
        self._at += 1

    def Eof(self) -> bool:  # noqa: N802 - apsw's name
        """Whether all have been seen."""
        return self._at >= len(self._rows)

    def Column(self, number: int) -> object:  # noqa: N802 - apsw's name
        """One value; -1 is the row's number."""
        return self._at if number < 0 else self._rows[self._at][number]

    def Rowid(self) -> int:  # noqa: N802 - apsw's name
        """The row's place."""
        return self._at

    def Close(self) -> None:  # noqa: N802 - apsw's name
        """Nothing is held."""
