"""What the wire answers by itself: variables and blocks."""

from __future__ import annotations

import pytest

from trainyard.edges.sql.errors import SqlError
from trainyard.edges.sql.pgwire.own_statements import FAILED, IDLE, IN_BLOCK, Block, OwnStatements, bare, verb
from trainyard.edges.sql.pgwire.portals import parameter_types
from trainyard.edges.sql.pgwire.server import startup_options
from trainyard.edges.sql.pgwire.variables import Variables


@pytest.fixture
def own() -> OwnStatements:
    """Statements of one connection; what they discard is kept in `discarded`."""
    discarded: list[str] = []
    made = OwnStatements(Variables("me"), Block(), discarded.append)
    made.discarded = discarded  # type: ignore[attr-defined]  # for the tests alone
    return made


def answered(own: OwnStatements, sql: str) -> tuple[str, object]:
    """Tag and first row."""
    answer = own.answer(sql)
    assert answer is not None, sql
    return answer.tag, answer.rows[0] if answer.rows else None


@pytest.mark.parametrize(
    ("sql", "name", "value"),
    [
        ("SET application_name = 'x y'", "application_name", "x y"),
        ("set session application_name to x", "application_name", "x"),
        ("SET TIME ZONE 'Europe/Berlin'", "TimeZone", "Europe/Berlin"),
        ("SET NAMES 'utf8'", "client_encoding", "UTF8"),
        ("SET jit = true", "jit", "on"),
        ("SET jit TO DEFAULT", "jit", "off"),
        ("SET statement_timeout = '5min'", "statement_timeout", "5min"),
        ("SET statement_timeout TO default", "statement_timeout", "0"),
        ("SET my.own = 5", "my.own", "5"),
        ("SET search_path = aiplatform, trainyard, public", "search_path", "aiplatform, trainyard, public"),
        ("-- why\nSET extra_float_digits = 3;", "extra_float_digits", "3"),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "default_transaction_read_only", "on"),
    ],
)
def test_variables_are_set_and_shown(own: OwnStatements, sql: str, name: str, value: str) -> None:
    """In every spelling that clients use."""
    assert answered(own, sql)[0] == "SET"
    assert answered(own, f"SHOW {name}") == ("SHOW", (value,))


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SET server_version = '9'", "0A000"),
        ("SET search_path = elsewhere", "0A000"),
        ("SET standard_conforming_strings = on", "0A000"),
        ("SET jit = perhaps", "22023"),
        ("SET statement_timeout = soon", "22023"),
        ("SET nonsense = 1", "42704"),
        ("RESET nonsense", "42704"),
        ("RESET", "22023"),
        ("LISTEN jobs", "0A000"),
        ("SAVEPOINT a", "25P01"),
        ("ROLLBACK TO a", "25P01"),
    ],
)
def test_what_cannot_be_is_refused(own: OwnStatements, sql: str, code: str) -> None:
    """With PostgreSQL's code."""
    with pytest.raises(SqlError) as caught:
        own.answer(sql)
    assert caught.value.sqlstate == code


@pytest.mark.parametrize(
    "sql",
    ["SELECT 1", "SHOW METHODS IN google.aiplatform.custom_jobs", "SHOW PROVIDERS", 'SET SESSION "$.auth" = 1', ""],
)
def test_the_rest_is_the_engines(own: OwnStatements, sql: str) -> None:
    """StackQL's SHOW is not PostgreSQL's."""
    assert own.answer(sql) is None


def test_everything_can_be_shown_and_reset(own: OwnStatements) -> None:
    """SHOW ALL, RESET ALL, DISCARD ALL, DEALLOCATE; the engine hears of what concerns it."""
    own.answer("SET statement_timeout = '5s'")
    assert own.forward == "SET statement_timeout = '5s'"
    shown = own.answer("SHOW ALL")
    assert shown is not None
    assert ("statement_timeout", "5s", "") in shown.rows
    own.answer("RESET statement_timeout")
    assert own.forward == "SET statement_timeout = DEFAULT"
    assert answered(own, "SHOW statement_timeout")[1] == ("0",)
    assert answered(own, "DISCARD ALL")[0] == "DISCARD ALL"
    assert own.forward == "RESET ALL"
    assert answered(own, "RESET ALL")[0] == "RESET"
    assert answered(own, "DEALLOCATE PREPARE s")[0] == "DEALLOCATE"
    assert answered(own, "DEALLOCATE ALL")[0] == "DEALLOCATE ALL"
    assert answered(own, "UNLISTEN *")[0] == "UNLISTEN"
    assert own.discarded == ["", "s", ""]  # type: ignore[attr-defined]  # see the fixture
    assert own.forward == ""


def test_a_block_goes_its_way() -> None:
    """Idle, in a block, failed, idle; savepoints; second beginnings and ends without beginning only warn."""
    block = Block()
    own = OwnStatements(Variables("me"), block, lambda _: None)
    assert answered(own, "COMMIT")[0] == "COMMIT"
    assert answered(own, "START TRANSACTION READ ONLY")[0] == "BEGIN"
    assert (block.status, block.read_only, own.forward) == (IN_BLOCK, True, "BEGIN")
    second = own.answer("BEGIN")
    assert second is not None
    assert second.messages[0][0] == "WARNING"
    with pytest.raises(SqlError):
        block.admit("INSERT INTO x VALUES (1)")
    own.answer("SAVEPOINT a")
    assert own.forward == "SAVEPOINT a"
    block.wrote()
    block.failed()
    assert block.status == FAILED
    with pytest.raises(SqlError) as caught:
        block.admit("SELECT 1")
    assert caught.value.sqlstate == "25P02"
    back = own.answer("ROLLBACK TO SAVEPOINT a")
    assert back is not None
    assert "1 statement of this block has taken effect" in back.messages[0][1]
    assert block.status == IN_BLOCK
    block.wrote()
    undone = own.answer("ABORT")
    assert undone is not None
    assert (undone.tag, own.forward, block.status) == ("ROLLBACK", "ROLLBACK", IDLE)
    assert "2 statements" in undone.messages[0][1]
    block.failed()
    assert block.status == IDLE


def test_a_statement_without_what_stands_before_it() -> None:
    """Comments and hints are skipped to find the verb."""
    assert verb("/*+ create */ -- x\n  insert into t") == "INSERT"
    assert bare("/* a */SELECT 1") == "SELECT 1"
    assert verb("(select 1)") == ""


@pytest.mark.parametrize(
    ("text", "given", "count", "types"),
    [
        ("SELECT $1, $2", (), 2, (25, 25)),
        ("SELECT $1::int, $2::pg_catalog.text[] LIMIT $3", (), 3, (20, 1009, 20)),
        ("SELECT $1", (23,), 1, (23,)),
        ("SELECT $1::float8", (0,), 1, (701,)),
        ("SELECT $1", (705,), 2, (25, 25)),
    ],
)
def test_parameters_have_types(text: str, given: tuple[int, ...], count: int, types: tuple[int, ...]) -> None:
    """As the client says, else as the statement does, else text."""
    assert parameter_types(text, given, count) == types


def test_options_of_the_startup_packet() -> None:
    """Both forms, with blanks inside; anything else is refused."""
    assert startup_options(r"-c jit=on --statement-timeout=5s -capplication_name=a\ b ") == [
        ("jit", "on"), ("statement_timeout", "5s"), ("application_name", "a b"),
    ]  # fmt: skip
    with pytest.raises(SqlError):
        startup_options("-x")
