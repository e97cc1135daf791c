"""What a session has, in the catalogue's words: the API's tables, those of our own schema, the caller's own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Final

from trainyard.edges.sql.answers import kind_of
from trainyard.edges.sql.catalogue.objects import Surroundings, Table, TableColumn
from trainyard.edges.sql.catalogue.virtual import install
from trainyard.edges.sql.own_tables import own_tables
from trainyard.edges.sql.resources import SERVICE, Resource, resources

if TYPE_CHECKING:
    from trainyard.edges.sql.database import Database
    from trainyard.edges.sql.session import Client

OWN: Final = "public"
_MADE: Final = (
    "SELECT type, name, sql FROM main.sqlite_schema WHERE type IN ('table', 'view') "
    "AND name NOT LIKE 'sqlite%' AND name NOT LIKE 'trainyard %' ORDER BY name"
)
_COLUMNS: Final = "SELECT name, type FROM pragma_table_info(?)"


class Catalogue:
    """The catalogue of one session. What the caller has made is looked at before each statement that may ask for it."""

    def __init__(self, database: Database, client: Client) -> None:
        """Give the session's connection its tables and functions."""
        self._database = database
        self._made: tuple[Table, ...] = ()
        around = Surroundings(
            lambda: (*of_the_service(), *self._made),
            lambda: client.user,
            lambda: client.database,
            client.setting,
        )
        install(database.connection, around)

    def refresh(self) -> None:
        """Look at what there is now; not while a statement runs."""
        self._made = tuple(self._own())

    def _own(self) -> Iterator[Table]:
        for kind, name, definition in self._database.unguarded(_MADE):
            found = self._database.unguarded(_COLUMNS, (name,))
            columns = tuple(TableColumn(column, kind_of(declared) or "text") for column, declared in found)
            yield Table(OWN, name, columns, kind == "view", definition=definition or "", insertable=kind == "table")


@cache
def of_the_service() -> tuple[Table, ...]:
    """The tables that are there for everybody; what WHERE must give, or may, stands last."""
    return tuple(
        Table(
            schema,
            resource.name,
            tuple(_columns(resource)),
            doc=resource.doc,
            insertable=bool(resource.of_verb("INSERT")),
        )
        for schema, found in ((SERVICE, resources().values()), ("trainyard", own_tables()))
        for resource in found
    )


def _columns(resource: Resource) -> Iterator[TableColumn]:
    for column in resource.columns:
        yield TableColumn(column.name, column.kind, column.doc)
    required = min((set(method.required) for method in resource.of_verb("SELECT")), key=len, default=set())
    for name in resource.path:
        yield TableColumn(name, "text", "Required in WHERE." if name in required else "Narrows, in WHERE.")
