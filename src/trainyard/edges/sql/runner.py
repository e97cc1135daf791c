"""A session's statements, on its thread: each is known by its first word and answered whole or not at all."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Final

import apsw

from trainyard.core.errors import ApiError
from trainyard.edges.faults import unforeseen
from trainyard.edges.sql import describing
from trainyard.edges.sql.answers import Answer
from trainyard.edges.sql.catalogue.ours import Catalogue
from trainyard.edges.sql.catalogue.rewrite import needs_catalogue, rewrite
from trainyard.edges.sql.database import Database, file_of
from trainyard.edges.sql.errors import SYNTAX_ERROR, SqlError
from trainyard.edges.sql.faults import of_service, of_sqlite
from trainyard.edges.sql.lexer import Token, statement_tokens
from trainyard.edges.sql.lifting import LONGEST, lifted
from trainyard.edges.sql.own_tables import OwnSource, own_tables
from trainyard.edges.sql.resources import Resource, resources
from trainyard.edges.sql.session import Client
from trainyard.edges.sql.sources import CallSource, JobSource, Source
from trainyard.edges.sql.translate import Translator
from trainyard.edges.sql.virtual import Module
from trainyard.edges.sql.work import Door, Work

if TYPE_CHECKING:
    from trainyard.edges.sql.session import Description, Row

log = logging.getLogger("trainyard.sql")

_SUBQUERY: Final = re.compile(r"\bIN\s*(?:\(\s*(?:SELECT|WITH|VALUES)\b|[\"\w])", re.IGNORECASE)
"""An `IN` whose values are not written down: there may be none, and apsw 3.54 fails over an empty set."""
_EMPTY_SET: Final = "<NULL>"
_MOST_CHARACTERS: Final = 4 * 1024 * 1024  # of the rows that are on their way at a time
TO_DELETE: Final = "!delete"
"""Behind a table's name: the same table, to be read only with what its DELETE requires."""

Handler = Callable[["Runner", Sequence[Token], Sequence[Any]], Answer]

HANDLERS: Final[Mapping[str, str]] = {
    "SELECT": "queries:select",
    "VALUES": "queries:select",
    "WITH": "queries:select",
    "INSERT": "inserts:insert",
    "REPLACE": "inserts:insert",
    "DELETE": "deletes:delete",
    "UPDATE": "deletes:update",
    "EXEC": "execs:execute",
    "EXECUTE": "execs:execute",
    "SHOW": "shows:show",
    "DESCRIBE": "shows:describe",
    "DESC": "shows:describe",
    "REGISTRY": "shows:registry",
    "CREATE": "views:create",
    "DROP": "views:drop",
    "ALTER": "views:alter",
    "REFRESH": "views:refresh",
    "EXPLAIN": "explaining:explain",
    "WATCH": "watching:watch",
    "USE": "settings:use",
    "SET": "settings:set_",
    "RESET": "settings:reset",
    "BEGIN": "settings:begin",
    "START": "settings:begin",
    "COMMIT": "settings:commit",
    "END": "settings:commit",
    "ROLLBACK": "settings:rollback",
    "SAVEPOINT": "settings:savepoint",
    "RELEASE": "settings:savepoint",
    "SLEEP": "settings:sleep",
    "PURGE": "settings:nothing",
    "AUTH": "settings:nothing",
    "NATIVEQUERY": "queries:native",
    "ATTACH": "settings:forbidden",
    "DETACH": "settings:forbidden",
    "PRAGMA": "settings:forbidden",
    "VACUUM": "settings:forbidden",
    "ANALYZE": "settings:forbidden",
    "REINDEX": "settings:forbidden",
    "COPY": "settings:forbidden",
    "LOAD": "settings:forbidden",
}
"""By first word: `module:function` of this package, imported when it is first asked for."""


class Runner:
    """Answers statements. Everything here happens on one thread; only `interrupt` is called from others."""

    client = Client()
    """Who asks; a session says so before the first statement."""

    def __init__(self, door: Door, data_dir: Path, timeout_seconds: float, defaults: Mapping[str, str]) -> None:
        """`defaults`: values of path parameters that a statement does not name. Opens the caller's own file."""
        self.door = door
        self._catalogue: Catalogue | None = None
        self.data_dir = data_dir
        self.timeout_seconds = self.longest_seconds = timeout_seconds
        self.defaults = dict(defaults)
        self.provider = ""
        self._work: Work | None = None
        self._cursors: list[apsw.Cursor] = []
        self.database = Database(file_of(data_dir, door.caller), self._over)
        with door.service.reading(door.caller) as reading:
            kinds = reading.kinds()
        for resource in resources().values():
            self._add(resource, JobSource(resource) if resource.collection in kinds else CallSource(resource))
        for own in own_tables():
            self._add(own, OwnSource(own))

    @property
    def work(self) -> Work:
        """The statement at work."""
        if self._work is None:
            self._work = self.new_work()
        return self._work

    def new_work(self, cancelled: Event | None = None, *, timed: bool = True) -> Work:
        """A statement of its own moment and time, which `cancelled` ends."""
        deadline = time.monotonic() + self.timeout_seconds if timed and self.timeout_seconds else None
        reading = self.door.service.reading(self.door.caller)
        return Work(self.door, reading, deadline, self.defaults, cancelled or Event())

    def begin(self, sql: str, parameters: Sequence[Any], cancelled: Event) -> Answer:
        """Start a statement; rows are read as they are taken. Raises SqlError, also when `cancelled` is set."""
        self.finish()
        self._work = self.new_work(cancelled)
        with self.translated():
            sql, parameters = lifted(sql, parameters)
            tokens = self._tokens(sql)
            return self.handler(tokens)(self, tokens, parameters)

    def describe(self, sql: str) -> Description:
        """What a statement takes and gives, without running it; raises SqlError."""
        goes_on = self._work is not None
        try:
            with self.translated():
                return describing.describe(self, self._tokens(sql))
        finally:
            if not goes_on:
                self.finish()

    def _tokens(self, sql: str) -> Sequence[Token]:
        """A statement's tokens, in our spelling where it came in PostgreSQL's; raises SqlError."""
        tokens, catalogue = _read_before(sql) if len(sql) <= LONGEST else _read(sql)
        if catalogue:
            if self._catalogue is None:
                self._catalogue = Catalogue(self.database, self.client)
            self._catalogue.refresh()
        return tokens

    def handler(self, tokens: Sequence[Token]) -> Handler:
        """What answers a statement with these tokens; raises SqlError where nothing does."""
        first = next((token for token in tokens if token.kind != "hint"), None)
        entry = HANDLERS.get(first.text.upper()) if first is not None else None
        if first is None or entry is None:
            word = first.text if first is not None else "end of input"
            known = ", ".join(sorted(HANDLERS))
            raise SqlError(SYNTAX_ERROR, f"syntax error at or near {word!r}", hint=f"Statements begin with: {known}.")
        module, _, name = entry.partition(":")
        found: Handler = getattr(import_module(f"trainyard.edges.sql.{module}"), name)
        return found

    def rows(self, answer: Answer, most: int) -> tuple[list[Row], bool]:
        """Up to so many further rows of an answer, and whether these were the last; fewer where they are large.

        None among the rows says that no more will come for a while: what was found is given at once. Raises SqlError.
        """
        found: list[Row] = []
        characters = 0
        with self.translated():
            for row in answer.rows:
                if row is None:
                    if found:
                        return found, False
                    continue
                found.append(row)
                for value in row:
                    if value.__class__ is str or value.__class__ is bytes:
                        characters += len(value)
                if len(found) >= most or characters > _MOST_CHARACTERS:
                    return found, False
        return found, True

    def execute(
        self,
        text: str,
        parameters: Sequence[Any] = (),
        seen: Callable[[Any], object] | None = None,
        *,
        run: bool = True,
    ) -> apsw.Cursor:
        """Run SQL that has been translated. `seen` is told name and declared type of each column before the first row.

        Without `run` it is only planned, and ended by apsw.ExecTraceAbort.
        """
        self.database.denied = ""
        cursor = self.database.connection.cursor()

        def trace(cursor: apsw.Cursor, _text: str, _values: object) -> bool:
            if seen is not None:
                seen(tuple((column[0], column[1]) for column in cursor.get_description()))
            return run

        cursor.exec_trace = trace
        self._cursors.append(cursor)
        self.work.sets = _SUBQUERY.search(text) is None
        try:
            return cursor.execute(text, tuple(parameters))
        except apsw.SQLError as error:
            if str(error) != _EMPTY_SET or not self.work.sets:
                raise
        self.work.sets = False  # a view had such a subquery; planned anew, its values come one by one
        return cursor.execute(text, tuple(parameters), can_cache=False)

    def translator(self, renamed: Mapping[str, str] | None = None) -> Translator:
        """For this session's provider."""
        return Translator(self.provider, renamed)

    def finish(self) -> None:
        """The statement is over: its moment of the store is let go of."""
        self.close_cursors()
        work, self._work = self._work, None
        if work is not None:
            work.reading.close()

    def close_cursors(self) -> None:
        """Nothing that was begun is read any further."""
        while self._cursors:
            self._cursors.pop().close(True)

    def interrupt(self) -> None:
        """What runs now looks at once whether it is cancelled; from any thread."""
        if self._work is not None:
            self.database.connection.interrupt()

    def close(self) -> None:
        """End the session."""
        self.finish()
        self.database.close()

    def translated(self) -> _Translated:
        """Within it, every error leaves as an SqlError."""
        return _Translated(self)

    def of_apsw(self, error: apsw.Error) -> SqlError:
        """SQLite's error, in the light of the statement at work."""
        work = self.work
        if isinstance(error, apsw.InterruptError):
            return work.end()
        return of_sqlite(error, self.database.denied, (resource.full_name for resource in resources().values()))

    def _over(self) -> bool:
        return self._work is not None and self._work.over()

    def _add(self, resource: Resource, source: Source) -> None:
        def at_work() -> Work:
            return self.work

        selects = resource.of_verb("SELECT")
        for name in (resource.full_name, resource.name):  # by itself too, where nothing of the caller's has that name
            self.database.add_table(name, Module(resource, selects, source, at_work))
        for delete in resource.of_verb("DELETE"):
            by_id = [method for method in selects if method.required == delete.required]
            name = resource.full_name + TO_DELETE
            self.database.add_table(name, Module(resource, by_id, source, at_work, "delete"))


def _read(sql: str) -> tuple[tuple[Token, ...], bool]:
    """A statement's tokens, and whether it may ask the catalogue; raises SqlError."""
    sql = rewrite(sql)
    return tuple(statement_tokens(sql)), needs_catalogue(sql)


_read_before = lru_cache(maxsize=256)(_read)


class _Translated:
    """Turns what is raised within into an SqlError."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ApiError):
            raise of_service(error) from None
        if isinstance(error, apsw.Error):
            raise self._runner.of_apsw(error) from None
        if isinstance(error, Exception) and not isinstance(error, SqlError):
            raise of_service(unforeseen("An SQL statement", log)) from None
