"""PostgreSQL's protocol message by message: what every driver relies on, and what nobody should send."""

from __future__ import annotations

import random
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from edge_server import Server
from pg_client import SYNC, Raw, bind, execute, message, parse, query, sql_port

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
COUNTED = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT i FROM n"


@pytest.fixture
def port(server: Server) -> int:
    return sql_port(server)


@pytest.fixture
def raw(port: int) -> Iterator[Raw]:
    with Raw(port) as connection:
        yield connection


def test_case_76_every_statement_of_a_query_is_answered(raw: Raw) -> None:
    """Two results, each with its own tag; semicolons inside strings split nothing."""
    said = raw.ask(query("select 1; select 'a;b' as c, 'it''s' as d"))
    assert said.kinds == "TDCTDCZ"
    assert said.rows == [(b"1",), (b"a;b", b"it's")]
    assert said.tags == ["SELECT 1", "SELECT 1"]
    assert raw.ask(query(" ; -- nothing\n")).kinds == "IZ"


def test_an_error_ends_the_query_and_says_where(raw: Raw) -> None:
    """What came before is answered, what comes after is not carried out; SQLSTATE, hint and position are told."""
    said = raw.ask(query("select 1; select 2 where 'unclosed; select 3"))
    assert (said.rows, said.errors[0]["C"], said.errors[0]["P"]) == ([], "42601", "26")
    said = raw.ask(query("select 1; select nope; select 3"))
    assert said.rows == [(b"1",)]
    assert said.errors[0] | {"S": "ERROR", "V": "ERROR", "C": "42703"} == said.errors[0]
    assert said.errors[0]["H"]
    assert said.status == "I"
    assert raw.ask(query("select 4")).rows == [(b"4",)]


def test_case_80_types_are_postgresqls(raw: Raw) -> None:
    """Numbers, texts, truths and nothing; `1=1` is 1, as StackQL has it."""
    said = raw.ask(query("SELECT 'test' AS test_value, 1=1 AS e, 2.5 AS f, NULL AS n, x'00ff' AS b"))
    assert said.names == [["test_value", "e", "f", "n", "b"]]
    assert said.oids == [[25, 20, 701, 25, 17]]
    assert said.rows == [(b"test", b"1", b"2.5", None, b"\\x00ff")]


def test_extended_protocol(raw: Raw) -> None:
    """Parse, Bind, Describe, Execute, Close; named statements are run again; values go by number."""
    said = raw.ask(
        parse("select $1 as a, $2 as b", "s", (25, 20)), message("D", b"Ss\0"), bind((b"x", b"7"), name="s"),
        execute(), bind((None, b"8"), "p", "s"), message("D", b"Pp\0"), execute("p"), message("C", b"Ss\0"), SYNC,
    )  # fmt: skip
    assert said.kinds == "1tT2DC2TDC3Z"
    assert said.rows == [(b"x", b"7"), (None, b"8")]
    gone = raw.ask(bind((b"x", b"7"), name="s"), execute(), SYNC)
    assert gone.errors[0]["C"] == "26000"
    assert raw.ask(parse(""), bind(), execute(), SYNC).kinds == "12IZ"


def test_binary_results(raw: Raw) -> None:
    """What is asked for in binary comes in binary: int8, float8, text; one format for all columns."""
    one = struct.pack("!HH", 1, 1)
    said = raw.ask(parse("select 258 as i, 2.5 as f, 'é' as t, 1 > 2 as b"), bind(formats=one), execute(), SYNC)
    assert said.rows[0][:3] == (struct.pack("!q", 258), struct.pack("!d", 2.5), "é".encode())
    three = raw.ask(parse("select 1 as a"), bind(formats=struct.pack("!HHHH", 3, 0, 0, 0)), execute(), SYNC)
    assert three.errors[0]["C"] == "08P01"


def test_after_an_error_nothing_is_answered_until_sync(raw: Raw) -> None:
    """As the protocol has it: messages of the failed batch are skipped, then all is well."""
    said = raw.ask(parse("select nope"), bind(), execute(), parse("select 1"), bind(), execute(), SYNC)
    assert said.kinds.count("E") == 1
    assert "D" not in said.kinds
    assert raw.ask(parse("select 1"), bind(), execute(), SYNC).rows == [(b"1",)]


def test_portals_give_so_many_rows_and_go_on(raw: Raw) -> None:
    """Row limits suspend a portal; inside a block it goes on later, even behind other statements."""
    raw.ask(query("BEGIN"))
    said = raw.ask(parse(COUNTED.format(25)), bind(portal="c"), execute("c", 10), SYNC)
    assert said.kinds == "12" + "D" * 10 + "sZ"
    assert raw.ask(query("select 'between'")).rows == [(b"between",)]
    assert raw.ask(execute("c", 10), SYNC).rows[0] == (b"11",)
    last = raw.ask(execute("c", 10), SYNC)
    assert [row[0] for row in last.rows] == [b"21", b"22", b"23", b"24", b"25"]
    assert last.tags == ["SELECT 25"]
    raw.ask(query("COMMIT"))
    assert raw.ask(execute("c", 10), SYNC).errors[0]["C"] == "34000"


def test_cursors(raw: Raw) -> None:
    """DECLARE, FETCH, CLOSE: what psql's FETCH_COUNT and drivers' server-side cursors say."""
    raw.ask(query(f"BEGIN; DECLARE c NO SCROLL CURSOR FOR {COUNTED.format(5)}"))
    assert [row[0] for row in raw.ask(query("FETCH FORWARD 2 FROM c")).rows] == [b"1", b"2"]
    rest = raw.ask(query("FETCH ALL FROM c"))
    assert (len(rest.rows), rest.tags) == (3, ["FETCH 3"])
    assert raw.ask(query("CLOSE c; COMMIT")).tags == ["CLOSE CURSOR", "COMMIT"]
    assert raw.ask(query("FETCH 1 FROM c")).errors[0]["C"] == "34000"


def test_copy_out(raw: Raw) -> None:
    """COPY of a query goes out as data, by both protocols; a failing row ends it as an error; no way in."""
    said = raw.ask(query(f"COPY ({COUNTED.format(3)}) TO STDOUT"))
    assert (said.kinds, said.tags) == ("HdddcCZ", ["COPY 3"])
    said = raw.ask(parse("COPY (SELECT $1) TO STDOUT CSV", oids=(25,)), bind((b"x",)), execute(), SYNC)
    assert said.kinds == "12HdcCZ"
    assert raw.ask(query("COPY (SELECT nope) TO STDOUT")).errors[0]["C"] == "42703"
    for sql in ("COPY x FROM STDIN", "COPY (SELECT 1) TO '/tmp/x'"):
        assert raw.ask(query(sql)).errors[0]["C"] == "42501"


def test_blocks_say_what_they_are(raw: Raw) -> None:
    """A failed block refuses all but its end; the caller's own tables are rolled back."""
    assert raw.ask(query("BEGIN")).status == "T"
    assert raw.ask(query("CREATE TABLE kept (a); INSERT INTO kept VALUES (1)")).errors == []
    assert raw.ask(query("select nope")).status == "E"
    assert raw.ask(query("select 1")).errors[0]["C"] == "25P02"
    ended = raw.ask(query("COMMIT"))
    assert (ended.tags, ended.status) == (["ROLLBACK"], "I")
    assert raw.ask(query("SELECT * FROM kept")).errors[0]["C"] == "42P01"
    assert raw.ask(query("ROLLBACK")).notices[0]["S"] == "WARNING"
    raw.ask(query("BEGIN READ ONLY"))
    assert raw.ask(query("CREATE TABLE kept (a)")).errors[0]["C"] == "25006"
    raw.ask(query("ROLLBACK"))


def test_what_the_service_did_is_not_undone_and_said_so(raw: Raw, project: str) -> None:
    """ROLLBACK after an INSERT of a job warns that the job stays, and it does."""
    spec = '{"workerPoolSpecs":[{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":1,'
    spec += '"containerSpec":{"imageUri":"host","command":["true"]}}]}'
    insert = (
        "INSERT INTO google.aiplatform.custom_jobs(projectsId, locationsId, displayName, jobSpec) "
        f"VALUES ('{project}', 'us-central1', 'x', '{spec}')"
    )
    raw.ask(query("BEGIN"))
    made = raw.ask(query(insert))
    assert made.tags == ["INSERT 0 1"]
    assert "despatched successfully" in made.notices[0]["M"]
    warned = raw.ask(query("ROLLBACK")).notices[0]
    assert warned["S"] == "WARNING"
    assert "taken effect" in warned["M"]
    where = f"projectsId = '{project}' AND locationsId = 'us-central1'"
    assert raw.ask(query(f"SELECT displayName FROM google.aiplatform.custom_jobs WHERE {where}")).rows == [(b"x",)]


def test_variables_are_kept_refused_or_honoured(raw: Raw, port: int) -> None:
    """SET, SHOW, RESET; what would be a lie is refused; options of the startup packet count."""
    assert raw.parameters["server_encoding"] == "UTF8"
    said = raw.ask(query("SET application_name = 'me'; SHOW application_name"))
    assert said.rows == [(b"me",)]
    assert raw.parameters["application_name"] == "me"
    assert raw.ask(query("SET client_encoding TO 'LATIN1'")).errors[0]["C"] == "0A000"
    assert raw.ask(query("SET no_such_thing = 1")).errors[0]["C"] == "42704"
    assert raw.ask(query("SHOW TRANSACTION ISOLATION LEVEL")).rows == [(b"read committed",)]
    with Raw(port, options="-c statement_timeout=200ms -c trainyard.json=on") as hurried:
        assert hurried.ask(query("SHOW statement_timeout")).rows == [(b"200ms",)]
        ended = hurried.ask(query(ENDLESS))
        assert ended.errors[0]["C"] == "57014"
        assert "timeout" in ended.errors[0]["M"]
        typed = hurried.ask(query("SELECT jobSpec FROM custom_jobs WHERE projectsId='p' AND locationsId='us-central1'"))
        assert typed.oids == [[114]]
    with Raw(port, options="--bad") as bad:
        assert bad.greeting.errors[0]["S"] == "FATAL"


def test_who_says_nothing_for_long_is_let_go_where_they_wished_so(port: int) -> None:
    """idle_session_timeout, and the shorter one inside of a block."""
    for begin, name, code in (("", "idle_session_timeout", "57P05"),
                              ("BEGIN", "idle_in_transaction_session_timeout", "25P03")):  # fmt: skip
        with Raw(port) as raw:
            raw.ask(query(f"SET {name} = 200; {begin}"))
            assert raw.said().errors[0]["C"] == code


def test_case_83_a_cancel_request_ends_the_statement(raw: Raw, port: int) -> None:
    """On a connection of its own, with the key; another key does nothing; the session lives on."""
    answers = []
    asking = threading.Thread(target=lambda: answers.append(raw.ask(query(ENDLESS))))
    asking.start()

    def cancel(secret: int) -> None:
        with Raw(port, greeted=False) as other:
            other.send(struct.pack("!iiiI", 16, 80877102, raw.key[0], secret))
            assert other.exactly(1) == b""

    asking.join(0.3)
    cancel((raw.key[1] + 1) % 2**32)
    asking.join(0.3)
    assert asking.is_alive()
    deadline = time.monotonic() + 60
    while asking.is_alive():  # a request before the statement has begun has nothing to cancel
        assert time.monotonic() < deadline
        cancel(raw.key[1])
        asking.join(0.3)
    assert answers[0].errors[0]["C"] == "57014"
    assert raw.ask(query("select 1")).rows == [(b"1",)]


def test_case_82_nothing_reaches_out_of_the_session(raw: Raw) -> None:
    """ATTACH, PRAGMA, files and extensions: SQLSTATE 42501, by either protocol."""
    for sql in ("ATTACH 'x.db' AS y", "PRAGMA writable_schema=1", "SELECT load_extension('x')"):
        assert raw.ask(query(sql)).errors[0]["C"] == "42501", sql
        assert raw.ask(parse(sql), bind(), execute(), SYNC).errors[0]["C"] == "42501", sql
    assert raw.ask(query("COPY x FROM '/etc/passwd'")).errors[0]["C"] == "42501"


def test_who_comes_as_stackql_is_told_ok(port: int) -> None:
    """The database name stackql: tag OK for everything."""
    with Raw(port, database="stackql") as raw:
        assert raw.ask(query("select 1; REGISTRY PULL google")).tags == ["OK", "OK"]


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x00\x00\x00\x04",
        b"\x7f\xff\xff\xff\x00\x03\x00\x00",
        b"\xff" * 64,
        struct.pack("!ii", 8, 131072),
        struct.pack("!ii", 8, 196608),
        struct.pack("!ii", 9, 80877103) + b"x",
    ],
)
def test_garbage_ends_its_own_connection(port: int, sent: bytes) -> None:
    """Whatever comes instead of a greeting: an answer or a hang-up, soon, and others are served."""
    with Raw(port, greeted=False) as raw:
        raw.send(sent)
        raw.said()
    with Raw(port) as fine:
        assert fine.ask(query("select 1")).rows == [(b"1",)]


def test_noise_in_the_middle(port: int) -> None:
    """Random messages after a good greeting: errors or a hang-up, never silence, and never a server that is gone."""
    chance = random.Random(5)
    for _ in range(150):
        with Raw(port) as raw:
            kind = chance.choice("QPBDECSHFXpdcf?\x00\xff".encode("latin-1"))
            payload = chance.randbytes(chance.randrange(40))
            raw.send(bytes([kind]) + struct.pack("!i", len(payload) + 4) + payload + SYNC + message("X"))
            raw.said()
    with Raw(port) as fine:
        assert fine.ask(query("select 1")).rows == [(b"1",)]


def test_a_message_too_long_is_not_read(raw: Raw) -> None:
    """A length of gigabytes is refused when it is read, not when memory is full."""
    raw.send(b"Q" + struct.pack("!i", 2**31 - 1) + b"select 1")
    assert raw.said().errors[0]["S"] == "FATAL"


def test_a_slow_reader_holds_only_itself_up(port: int, server: Server) -> None:
    """Millions of rows for a client that reads none: the server's memory stays, and others are answered."""
    before = server.memory_bytes()
    with Raw(port) as slow, Raw(port) as other:
        slow.send(query(COUNTED.format(20_000_000)))
        time.sleep(1.5)
        assert other.ask(query("select 1")).rows == [(b"1",)]
        assert server.memory_bytes() - before < 60_000_000


def test_who_leaves_ends_its_statement(tmp_path: Path) -> None:
    """A client that hangs up in the middle of an endless statement leaves no work behind."""
    with Server(tmp_path / "data") as server:  # its own: what others left to do is no work of ours
        with Raw(sql_port(server)) as raw:
            raw.send(query(ENDLESS))
            assert server.comes_to_work()
        assert server.comes_to_rest()


def test_a_portal_with_too_much_left_says_so(raw: Raw) -> None:
    """Another statement takes the session; what cannot be kept of the first is an error, not a part for the whole."""
    raw.ask(query("BEGIN"))
    raw.ask(parse(COUNTED.format(50_000)), bind(portal="c"), execute("c", 10), SYNC)
    assert raw.ask(query("select 1")).rows == [(b"1",)]
    lost = raw.ask(execute("c", 10), SYNC)
    assert (lost.rows, lost.errors[0]["C"]) == ([], "34000")
    assert "too many rows" in lost.errors[0]["M"]


def test_there_is_an_end_to_connections_and_to_names(port: int) -> None:
    """The 101st client is told so and the others stay; so is who names without end."""
    connections = [Raw(port) for _ in range(100)]
    try:
        with Raw(port) as one_more:
            assert one_more.greeting.errors[0] | {"S": "FATAL", "C": "53300"} == one_more.greeting.errors[0]
        said = connections[0].ask(*(parse("select 1", f"s{number}") for number in range(1001)), SYNC)
        assert said.errors[0]["C"] == "53200"
        assert connections[0].ask(query("select 1")).rows == [(b"1",)]
    finally:
        for connection in connections:
            connection.socket.close()


def test_stopping_says_goodbye(tmp_path: Path) -> None:
    """Idle clients hear 57P01 at once; one in the middle of a statement is given the time to finish it."""
    with (
        Server(tmp_path / "data", "--drain", "30") as server,
        Raw(sql_port(server)) as idle,
        Raw(sql_port(server)) as busy,
    ):
        before, deadline = server.cpu_seconds(), time.monotonic() + 60
        busy.send(query(f"SELECT count(*) FROM ({COUNTED.format(2_000_000)})"))
        while server.cpu_seconds() < before + 0.1:
            assert time.monotonic() < deadline, "it does not begin"
            time.sleep(0.01)
        assert server.stop() == 0
        assert idle.said().errors[0]["C"] == "57P01"
        assert busy.said().rows == [(b"2000000",)]
