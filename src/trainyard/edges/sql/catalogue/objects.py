"""What a session has that the catalogue tells of: schemas, tables, their columns; each with a number that stays.

A number (oid) is made from the name, so that it is the same in every session and after every restart, and two tables
asked for on two connections are joined rightly.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

DATABASE: Final = "google"
VISIBLE: Final = ("aiplatform", "trainyard", "public")
PG_CATALOG: Final = 11
FIRST_OID: Final = 16_384
USER_OID: Final = 10
DATABASE_OID: Final = 5


@dataclass(frozen=True, slots=True)
class TypeOf:
    """One of PostgreSQL's types: `length` in bytes, -1 where it varies."""

    oid: int
    name: str
    shown: str
    length: int
    category: str
    array: int


TYPES: Final = (
    TypeOf(16, "bool", "boolean", 1, "B", 1000),
    TypeOf(17, "bytea", "bytea", -1, "U", 1001),
    TypeOf(18, "char", '"char"', 1, "Z", 1002),
    TypeOf(19, "name", "name", 64, "S", 1003),
    TypeOf(20, "int8", "bigint", 8, "N", 1016),
    TypeOf(21, "int2", "smallint", 2, "N", 1005),
    TypeOf(23, "int4", "integer", 4, "N", 1007),
    TypeOf(25, "text", "text", -1, "S", 1009),
    TypeOf(26, "oid", "oid", 4, "N", 1028),
    TypeOf(114, "json", "json", -1, "U", 199),
    TypeOf(700, "float4", "real", 4, "N", 1021),
    TypeOf(701, "float8", "double precision", 8, "N", 1022),
    TypeOf(1042, "bpchar", "character", -1, "S", 1014),
    TypeOf(1043, "varchar", "character varying", -1, "S", 1015),
    TypeOf(1114, "timestamp", "timestamp without time zone", 8, "D", 1115),
    TypeOf(1184, "timestamptz", "timestamp with time zone", 8, "D", 1185),
    TypeOf(1700, "numeric", "numeric", -1, "N", 1231),
    TypeOf(2205, "regclass", "regclass", 4, "N", 2210),
    TypeOf(2206, "regtype", "regtype", 4, "N", 2211),
    TypeOf(2950, "uuid", "uuid", 16, "U", 2951),
    TypeOf(3802, "jsonb", "jsonb", -1, "U", 3807),
)
BY_OID: Final[Mapping[int, TypeOf]] = {each.oid: each for each in TYPES}
OF_KIND: Final[Mapping[str, int]] = {"text": 25, "json": 25, "boolean": 16, "bigint": 20, "double": 701, "bytes": 17}


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of a table; `kind` as session.Column has it, `doc` a sentence for people."""

    name: str
    kind: str
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view; `schema` is one of VISIBLE, or of the catalogue's own. `definition`: a view's SQL."""

    schema: str
    name: str
    columns: tuple[TableColumn, ...]
    view: bool = False
    doc: str = ""
    definition: str = ""
    insertable: bool = False

    @property
    def oid(self) -> int:
        """Its number."""
        return oid_of(f"{self.schema}.{self.name}")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a session knows of its client, besides the tables that it sees now."""

    tables: Callable[[], Sequence[Table]]
    user: Callable[[], str]
    database: Callable[[], str]
    setting: Callable[[str], str | None]


_KNOWN: Final = {
    "pg_catalog.pg_type": 1247,
    "pg_catalog.pg_attribute": 1249,
    "pg_catalog.pg_proc": 1255,
    "pg_catalog.pg_class": 1259,
    "pg_catalog.pg_database": 1262,
    "pg_catalog.pg_constraint": 2606,
    "pg_catalog.pg_namespace": 2615,
}
"""Numbers that clients know by heart."""


def oid_of(name: str) -> int:
    """The number of whatever has this name."""
    return _KNOWN.get(name) or FIRST_OID + zlib.crc32(name.encode()) % (2**31 - FIRST_OID)


def schema_oid(schema: str) -> int:
    """The number of a schema."""
    return PG_CATALOG if schema == "pg_catalog" else oid_of(f"{schema}.")
