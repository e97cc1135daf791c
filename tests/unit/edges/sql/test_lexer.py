"""Tokens, statements and strings."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainyard.edges.sql.errors import SqlError
from trainyard.edges.sql.lexer import split, statement_tokens, tokens_of
from trainyard.edges.sql.translate import Translator


def value(text: str) -> str:
    """What a string in quotes means."""
    (token,) = tokens_of(text)
    return token.value


@given(st.text(st.characters(codec="utf-8")))
def test_every_text_is_tokens_or_refused(text: str) -> None:
    """Tokens put together again are the text; what is none is an SqlError with a position in it."""
    try:
        found: list[str] | SqlError = [token.text for token in tokens_of(text)]
    except SqlError as error:
        found = error
    if isinstance(found, SqlError):
        assert found.sqlstate == "42601"
        assert 1 <= found.position <= len(text)
    else:
        assert "".join(found) == text


@given(st.text(st.characters(codec="utf-8", exclude_characters="\\")))
def test_a_quoted_text_means_itself(text: str) -> None:
    """Without backslashes a doubled quote is all there is to undo."""
    assert value("'" + text.replace("'", "''") + "'") == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(), JSON, max_size=5) | st.lists(JSON, max_size=5))
def test_json_keeps_its_own_escapes(document: object) -> None:
    """A literal that is a JSON object or list as it stands is that document."""
    text = json.dumps(document).replace("'", "''")
    assert json.loads(value(f"'{text}'")) == document


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        (r"'a\nb'", "a\nb"),
        (r"'a\'b'", "a'b"),
        (r"'\d'", "d"),
        (r"E'a\\b'", "a\\b"),
        (r"""'{"a":"x\"y"}'""", r'{"a":"x\"y"}'),
        (r"""'{\"a\":\"x\\ny\"}'""", r'{"a":"x\ny"}'),
        ("'{not json \\n}'", "{not json \n}"),
    ],
)
def test_escapes(text: str, meaning: str) -> None:
    """MySQL's, but not within JSON."""
    assert value(text) == meaning


def test_statements_end_where_no_quote_or_comment_is_open() -> None:
    """Semicolons in strings, names and comments belong to them; blank statements are none."""
    text = "select ';' as \";\" -- ; \n; /* ; */ ;; # ;\nselect 2 // ;\n;"
    assert split(text) == ["select ';' as \";\" -- ;", "# ;\nselect 2 // ;"]
    assert split(" ; -- nothing\n") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("select 'open", "string is never closed"),
        ('select "open', "quoted name"),
        ("/* open", "comment"),
        ("select `a`", "'`'"),
    ],
)
def test_what_is_never_closed_says_so(text: str, words: str) -> None:
    """With its place."""
    with pytest.raises(SqlError) as told:
        tokens_of(text)
    assert words in told.value.message
    assert told.value.position == (1 if text.startswith("/*") else 8)


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("select  *  from google.aiplatform.custom_jobs", 'select * from "google.aiplatform.custom_jobs"'),
        (
            'select Google.AIPlatform."custom_jobs".name from google.aiplatform.custom_jobs',
            'select "google.aiplatform.custom_jobs"."name" from "google.aiplatform.custom_jobs"',
        ),
        (
            "select t.name, count( * ) from trainyard.history t",
            'select "t"."name", count( * ) from "trainyard.history" t',
        ),
        ("select $2, ?, $1", "select ?2, ?, ?1"),
        ("select 'it''s', \"q\" /*+ hint */ as x", "select 'it''s', \"q\" as x"),
        ("select a::text, b::varchar(20), c::text[]", "select a, b, c"),
        ("select 1 -- one\n+2", "select 1 +2"),
    ],
)
def test_translation(text: str, sql: str) -> None:
    """Names are joined, parameters numbered, comments dropped; the rest stays as it was."""
    assert Translator().text(statement_tokens(text)) == sql


@pytest.mark.parametrize("text", ["select [a]", "select @a", "select x::", "select {x}"])
def test_what_sqlite_has_not(text: str) -> None:
    """Is a syntax error with its place, or of SQLite's own."""
    with pytest.raises(SqlError) as told:
        Translator().text(statement_tokens(text))
    assert told.value.sqlstate == "42601"


def test_two_part_names_after_use() -> None:
    """The provider of USE may be left out."""
    tokens = statement_tokens("select 1 from aiplatform.custom_jobs")
    assert Translator("google").text(tokens) == 'select 1 from "google.aiplatform.custom_jobs"'
    known = statement_tokens("select 1 from aiplatform.nothing")
    assert Translator().text(known) == 'select 1 from "aiplatform"."nothing"'


def test_one_statement_at_a_time() -> None:
    """Several are refused where one is expected."""
    with pytest.raises(SqlError, match="more than one"):
        statement_tokens("select 1; select 2")


@pytest.mark.parametrize("text", ["SELECT 'a' FROM t  ", "SELECT 'a;b'", "SELECT 1 -- x", "SELECT 1;", 'SELECT "a;"'])
def test_one_statement_is_split_as_it_stands(text: str) -> None:
    """Whether or not it had to be looked into, one statement is one statement, without what stands around it."""
    assert split(text) == [text.strip().removesuffix(";")]
