"""Statements about the connection itself, which the wire answers: variables, transaction blocks, cursors' ends.

Blocks are accepted because clients open them unasked, and say honestly what they are. The caller's own tables have real
transactions; what the service was asked to do is done when it answers, and ROLLBACK says that it stays. What
PostgreSQL's clients rely on is kept: after an error inside a block nothing runs until its end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from trainyard.edges.sql.errors import SqlError
from trainyard.edges.sql.pgwire.answers import Own
from trainyard.edges.sql.pgwire.variables import BAD_VALUE, Variables
from trainyard.edges.sql.session import Column, Row

IDLE: Final = b"I"
IN_BLOCK: Final = b"T"
FAILED: Final = b"E"
BLOCK_FAILED: Final = "25P02"
READ_ONLY: Final = "25006"

_LEADING: Final = re.compile(r"(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/)+", re.DOTALL)
_WORD: Final = re.compile(r"[A-Za-z]+")
_SET: Final = re.compile(
    r"SET\s+(?:SESSION\s+|LOCAL\s+)?([A-Za-z_][\w.]*)\s*(?:=|\bTO\b)\s*(.+?)\s*\Z", re.IGNORECASE | re.DOTALL
)
_SET_ZONE: Final = re.compile(r"SET\s+(?:SESSION\s+|LOCAL\s+)?TIME\s+ZONE\s+(.+?)\s*\Z", re.IGNORECASE)
_SET_NAMES: Final = re.compile(r"SET\s+NAMES\s+(.+?)\s*\Z", re.IGNORECASE)
_SET_BLOCK: Final = re.compile(
    r"SET\s+(?:LOCAL\s+|SESSION\s+CHARACTERISTICS\s+AS\s+)?TRANSACTION\s+(.+?)\s*\Z", re.IGNORECASE
)
_SET_ROLE: Final = re.compile(
    r"SET\s+(?:SESSION\s+|LOCAL\s+)?(?:ROLE\s+none|SESSION\s+AUTHORIZATION\s+DEFAULT)\s*\Z", re.I
)
_SHOW: Final = re.compile(r'SHOW\s+"?([A-Za-z_][\w.]*)"?\s*\Z', re.IGNORECASE)
_SHOW_WORDS: Final[Mapping[str, str]] = {
    "transaction isolation level": "transaction_isolation",
    "time zone": "TimeZone",
    "session authorization": "session_authorization",
}
_RESET: Final = re.compile(r"RESET\s+([A-Za-z_][\w.]*)\s*\Z", re.IGNORECASE)
_READS: Final = frozenset(
    {"SELECT", "WITH", "VALUES", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "WATCH", "USE", "TABLE", "COPY"}
)
_BACK_TO: Final = re.compile(r"ROLLBACK(?:\s+WORK|\s+TRANSACTION)?\s+TO\b", re.IGNORECASE)
OF_ENGINE: Final = ("statement_timeout", "project", "location")
"""Variables that the engine honours."""
_ENDS: Final = frozenset({"COMMIT", "ROLLBACK", "END", "ABORT"})


def bare(statement: str) -> str:
    """A statement without the comments before it."""
    match = _LEADING.match(statement)
    return statement[match.end() :] if match else statement


def verb(statement: str) -> str:
    """The statement's first word, in capitals."""
    match = _WORD.match(bare(statement))
    return match[0].upper() if match else ""


class Block:
    """The transaction block that a connection is in, or not."""

    def __init__(self) -> None:
        """Not in one."""
        self.status = IDLE
        self.writes = 0
        self.read_only = False

    def admit(self, statement: str) -> None:
        """Raises SqlError on what may not run now."""
        word = verb(statement)
        if self.status == FAILED and word not in _ENDS:
            raise SqlError(
                BLOCK_FAILED,
                "current transaction is aborted, commands ignored until end of transaction block",
                hint="ROLLBACK ends it.",
            )
        if self.read_only and word not in _READS | _ENDS:
            raise SqlError(READ_ONLY, f"cannot execute {word} in a read-only transaction")

    def wrote(self) -> None:
        """A statement has made the service do something."""
        if self.status == IN_BLOCK:
            self.writes += 1

    def failed(self) -> None:
        """A statement was not."""
        if self.status == IN_BLOCK:
            self.status = FAILED

    def begin(self, read_only: bool) -> Own:
        """BEGIN; a second one only warns, as in PostgreSQL."""
        if self.status != IDLE:
            return Own("BEGIN", messages=[("WARNING", "there is already a transaction in progress")])
        self.status, self.writes, self.read_only = IN_BLOCK, 0, read_only
        return Own("BEGIN")

    def commit(self, read_only: bool) -> Own:
        """COMMIT: what was written was written already. A failed block ends as PostgreSQL's does, with ROLLBACK."""
        if self.status == FAILED:
            return self.rollback(read_only)
        warning = [] if self.status == IN_BLOCK else [("WARNING", "there is no transaction in progress")]
        self._end(read_only)
        return Own("COMMIT", messages=warning)

    def rollback(self, read_only: bool) -> Own:
        """ROLLBACK: says what stays."""
        messages = []
        if self.status == IDLE:
            messages.append(("WARNING", "there is no transaction in progress"))
        elif self.writes:
            messages.append(("WARNING", _stays(self.writes)))
        self._end(read_only)
        return Own("ROLLBACK", messages=messages)

    def rollback_to(self) -> Own:
        """ROLLBACK TO SAVEPOINT: the block goes on; what was written stays."""
        if self.status == IDLE:
            raise SqlError("25P01", "ROLLBACK TO SAVEPOINT can only be used in transaction blocks")
        self.status = IN_BLOCK
        return Own("ROLLBACK", messages=[("WARNING", _stays(self.writes))] if self.writes else [])

    def _end(self, read_only: bool) -> None:
        self.status, self.writes, self.read_only = IDLE, 0, read_only


def _stays(writes: int) -> str:
    many = "1 statement of this block has" if writes == 1 else f"{writes} statements of this block have"
    return f"nothing was undone: {many} taken effect when carried out; a job that was created is ended by cancel"


class OwnStatements:
    """Answers what is about the connection."""

    def __init__(self, variables: Variables, block: Block, discard: Callable[[str], None]) -> None:
        """`discard` forgets prepared statements: one by name, or all by the empty name."""
        self._variables = variables
        self._block = block
        self._discard = discard
        self.reports: list[str] = []
        self.forward = ""
        """What the engine is told after the last answer: its own tables have real transactions, its time a limit."""

    def answer(self, statement: str) -> Own | None:
        """What to answer; None where the statement is the engine's. Raises SqlError."""
        text = bare(statement).rstrip().rstrip(";").rstrip()
        self.forward = ""
        handler = _HANDLERS.get(verb(text))
        return handler(self, text) if handler else None

    def _begin(self, text: str) -> Own | None:
        self.forward = "BEGIN"
        if re.search(r"READ\s+ONLY", text, re.IGNORECASE):
            return self._block.begin(True)
        return self._block.begin(self._variables.on("default_transaction_read_only"))

    def _end(self, text: str) -> Own | None:
        if _BACK_TO.match(text):
            self.forward = text
            return self._block.rollback_to()
        read_only = self._variables.on("default_transaction_read_only")
        ended = (self._block.commit if verb(text) in ("COMMIT", "END") else self._block.rollback)(read_only)
        self.forward = ended.tag
        return ended

    def _savepoint(self, text: str) -> Own | None:
        if self._block.status == IDLE:
            raise SqlError("25P01", f"{verb(text)} can only be used in transaction blocks")
        self.forward = text
        return Own(verb(text))

    def _set(self, text: str) -> Own | None:
        if match := _SET_BLOCK.match(text):
            return self._set_block(text, match[1])
        if _SET_ROLE.match(text):
            return Own("SET")
        for pattern, name in ((_SET_ZONE, "TimeZone"), (_SET_NAMES, "client_encoding")):
            if match := pattern.match(text):
                return self._given(name, match[1])
        match = _SET.match(text)
        return self._given(match[1], match[2]) if match else None

    def _set_block(self, text: str, modes: str) -> Own:
        found = re.search(r"READ\s+(ONLY|WRITE)", modes, re.IGNORECASE)
        if found:
            read_only = found[1].upper() == "ONLY"
            self._block.read_only = read_only
            if "CHARACTERISTICS" in text.upper():
                self._variables.set("default_transaction_read_only", "on" if read_only else "off")
        return Own("SET")

    def _given(self, name: str, value: str) -> Own:
        if name.lower() in OF_ENGINE:
            text = _unquoted(value).replace("'", "''")
            self.forward = f"SET {name} = '{text}'"
        name = "default_transaction_read_only" if name.lower() == "transaction_read_only" else name
        self._note(self._variables.set(name, _unquoted(value)))
        if name.lower() == "default_transaction_read_only":
            self._block.read_only = self._variables.on(name)
        return Own("SET")

    def _show(self, text: str) -> Own | None:
        rest = re.sub(r"\s+", " ", text[4:].strip())
        if rest.lower() == "all":
            rows: list[Row] = [(name, value, "") for name, value in self._variables]
            columns = tuple(Column(each, "text") for each in ("name", "setting", "description"))
            return Own("SHOW", columns, rows)
        name = _SHOW_WORDS.get(rest.lower(), "")
        match = _SHOW.match(text)
        if match and not name and (match[1] in self._variables or "." in match[1]):
            name = match[1]
        if not name:
            return None
        return Own("SHOW", (Column(name.lower(), "text"),), [(self._variables[name],)])

    def _reset(self, text: str) -> Own | None:
        match = _RESET.match(text)
        if match is None:
            raise SqlError(BAD_VALUE, "RESET takes the name of a variable, or ALL")
        if match[1].lower() == "all":
            self._variables.reset_all()
            self.forward = "RESET ALL"
        else:
            self._note(self._variables.reset(match[1]))
            if match[1].lower() in OF_ENGINE:
                self.forward = f"SET {match[1]} = DEFAULT"
        return Own("RESET")

    def _deallocate(self, text: str) -> Own | None:
        name = re.sub(r"(?i)^DEALLOCATE\s+(?:PREPARE\s+)?", "", text)
        self._discard("" if name.upper() == "ALL" else _unquoted(name))
        return Own("DEALLOCATE ALL" if name.upper() == "ALL" else "DEALLOCATE")

    def _discard_all(self, text: str) -> Own | None:
        if text.upper().endswith("ALL"):
            self._variables.reset_all()
            self._discard("")
            self.forward = "RESET ALL"
        return Own(re.sub(r"\s+", " ", text.upper()))

    def _listen(self, text: str) -> Own | None:
        if verb(text) == "UNLISTEN":
            return Own("UNLISTEN")
        raise SqlError(
            "0A000",
            f"{verb(text)} is not served here",
            hint="WATCH SELECT … gives changes as they happen (docs/sql.md).",
        )

    def _note(self, name: str | None) -> None:
        if name is not None:
            self.reports.append(name)


_HANDLERS: Final[Mapping[str, Callable[[OwnStatements, str], Own | None]]] = {
    "BEGIN": OwnStatements._begin,
    "START": OwnStatements._begin,
    "COMMIT": OwnStatements._end,
    "END": OwnStatements._end,
    "ROLLBACK": OwnStatements._end,
    "ABORT": OwnStatements._end,
    "SAVEPOINT": OwnStatements._savepoint,
    "RELEASE": OwnStatements._savepoint,
    "SET": OwnStatements._set,
    "SHOW": OwnStatements._show,
    "RESET": OwnStatements._reset,
    "DEALLOCATE": OwnStatements._deallocate,
    "DISCARD": OwnStatements._discard_all,
    "LISTEN": OwnStatements._listen,
    "UNLISTEN": OwnStatements._listen,
    "NOTIFY": OwnStatements._listen,
}


def _unquoted(value: str) -> str:
    """A value as SET has it: quoted or bare."""
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"" and value.count(value[0]) == 2:
        return value[1:-1]
    return value
