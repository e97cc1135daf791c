"""COPY … TO STDOUT: its options in both spellings, and its three forms to the byte."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest

from trainyard.edges.sql.errors import SqlError
from trainyard.edges.sql.pgwire.answers import Feed, Own
from trainyard.edges.sql.pgwire.copying import CopyOut, Form, read_copy
from trainyard.edges.sql.session import Column

ROWS: list[tuple[Any, ...]] = [(1, "a\tb\\"), (None, 'say "x", y'), (2, "")]


@pytest.mark.parametrize(
    ("sql", "query", "form"),
    [
        ("COPY (SELECT (1)) TO STDOUT", "SELECT (1)", Form("text", False, b"\t", b"\\N")),
        ("copy t to stdout with csv header", "SELECT * FROM t", Form("csv", True, b",", b"")),
        ("COPY a.b TO STDOUT (FORMAT csv, HEADER true, DELIMITER '|', NULL 'nil')", "SELECT * FROM a.b",
         Form("csv", True, b"|", b"nil")),
        ("COPY (SELECT 1) TO STDOUT WITH BINARY", "SELECT 1", Form("binary", False, b"", b"")),
        ("COPY (SELECT 1) TO STDOUT WITH DELIMITER AS ';' NULL AS ''", "SELECT 1", Form("text", False, b";", b"")),
        ("COPY (SELECT 1) TO STDOUT (FORMAT 'csv', HEADER off)", "SELECT 1", Form("csv", False, b",", b"")),
    ],
)  # fmt: skip
def test_options_are_read(sql: str, query: str, form: Form) -> None:
    """As psql and drivers write them, old and new."""
    assert read_copy(sql) == (query, form)


@pytest.mark.parametrize(
    "sql", ["COPY t FROM STDIN", "COPY (SELECT 1) TO '/tmp/x'", "COPY t TO PROGRAM 'sh'", "SELECT 1"]
)
def test_the_rest_is_the_engines_to_refuse(sql: str) -> None:
    """Files, programs, the way in."""
    assert read_copy(sql) is None


@pytest.mark.parametrize(
    "options", ["(FORMAT xml)", "NONSENSE", "DELIMITER 'ab'", "CSV DELIMITER '\"'", "CSV QUOTE '|'"]
)
def test_what_is_not_done_is_refused(options: str) -> None:
    """An option is honoured or named, never skipped."""
    with pytest.raises(SqlError):
        read_copy(f"COPY (SELECT 1) TO STDOUT {options}")


def copied(form: Form, rows: list[tuple[Any, ...]]) -> tuple[list[bytes], str]:
    """The pieces that go out, and the tag."""

    async def run() -> tuple[list[bytes], str]:
        columns = (Column("n", "bigint"), Column("t", "text"))
        copying = CopyOut(Feed(Own("", columns, rows)), form)
        pieces = [piece async for piece in copying.pieces([20, 25])]
        assert copying.columns is None
        assert [batch async for batch in copying.batches()] == []
        await copying.close()
        return pieces, copying.tag

    return asyncio.run(run())


def test_text() -> None:
    """Tabs, backslashes and NULL as PostgreSQL escapes them."""
    pieces, tag = copied(Form("text", False, b"\t", b"\\N"), ROWS)
    assert (pieces, tag) == ([b"1\ta\\tb\\\\\n", b'\\N\tsay "x", y\n', b"2\t\n"], "COPY 3")


def test_csv() -> None:
    """Quotes where they are needed: an empty text is not NULL."""
    pieces, _ = copied(Form("csv", True, b",", b""), ROWS)
    assert pieces == [b"n,t\n", b"1,a\tb\\\n", b',"say ""x"", y"\n', b'2,""\n']


def test_binary() -> None:
    """The signature comes with the first row, the end by itself; without rows both together."""
    signature = b"PGCOPY\n\xff\r\n\0" + bytes(8)
    end = struct.pack("!h", -1)
    pieces, _ = copied(Form("binary", False, b"", b""), [(7, "x"), (None, "y")])
    assert pieces[0] == signature + struct.pack("!hiqi", 2, 8, 7, 1) + b"x"
    assert pieces[1:] == [struct.pack("!hii", 2, -1, 1) + b"y", end]
    assert copied(Form("binary", False, b"", b""), [])[0] == [signature + end]
