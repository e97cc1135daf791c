"""`{{ name }}` in SQL: filled, escaped where it stands in a string, named where nothing fills it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.cli.problems import Problem, Usage
from trainyard.cli.sql_template import data_of, rendered, variables_of
from trainyard.edges.sql.lexer import tokens_of


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("SELECT {{ n }}, {{ .o.p }}", "SELECT 5, x"),
        ("'{{ n }}' {{- t -}}", "'5' true"),
        ("'{{ q }}' {{ q }}", "'it''s' it's"),
        ("'{{ back }}'", "'a\\\\b'"),
        ("'{{ j }}'", "'{\"a\":\"b\\\\c''\"}'"),
        ("{{ none }}", "null"),
        ("-- it's {{ nothing }}\nSELECT '{{ n }}'", "-- it's {{ nothing }}\nSELECT '5'"),
        ("SELECT '-- {{ n }}'", "SELECT '-- 5'"),
        ("/* '{{ x }} */ '{{ n }}'", "/* '{{ x }} */ '5'"),
        ("SELECT 'it''s {{ n }}', 'a\\'{{ n }}'", "SELECT 'it''s 5', 'a\\'5'"),
        ('{{ "{{" }}', "{{"),
        ('<<<json {"k": 7} >>>SELECT {{ .k }}', "SELECT 7"),
        ("<<<jsonnet { k: std.extVar('v') } >>> {{ k }}", " w"),
    ],
)
def test_holes_are_filled(text: str, filled: str) -> None:
    """Both spellings, inside and outside of strings, not inside of comments."""
    data = {
        "n": 5, "o": {"p": "x"}, "t": True, "q": "it's", "back": "a\\b", "j": {"a": "b\\c'"}, "none": None,
    }  # fmt: skip
    assert rendered(text, data, {"v": "w"}) == filled


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30))
def test_a_value_in_a_string_stays_one_value(value: str) -> None:
    """Whatever it holds, the string that it stands in is the value, and the statement's tokens stay as many."""
    tokens = [
        token for token in tokens_of(rendered("SELECT '{{ v }}' AS x", {"v": value}, {})) if token.kind != "space"
    ]
    assert [token.kind for token in tokens] == ["word", "string", "word", "word"]
    assert tokens[1].value == value


def test_what_nothing_fills_is_named_once_each() -> None:
    """All of them, with the way to give one."""
    with pytest.raises(Problem) as caught:
        rendered("{{ a }} {{ .b.c }} {{ a }} {{ d }}", {"b": {}, "d": 1}, {})
    assert caught.value.sentence == "nothing fills {{ a }}, {{ .b.c }}"
    assert "--var a=VALUE" in caught.value.details[0]


@pytest.mark.parametrize("inside", ["if .x", "range .y", ".x | printf", "a + 1", ""])
def test_what_is_more_than_a_name_is_refused(inside: str) -> None:
    """Nothing is computed here."""
    with pytest.raises(Problem, match="more than a name"):
        rendered(f"{{{{ {inside} }}}}", {}, {})


def test_data_comes_from_files_and_flags(tmp_path: Path) -> None:
    """JSON, Jsonnet, --var; what cannot be read is said."""
    (tmp_path / "a.json").write_text('{"a": 1}')
    (tmp_path / "list.json").write_text("[1]")
    assert data_of(str(tmp_path / "a.json"), {}) == {"a": 1}
    assert data_of("", {}) == {}
    assert variables_of(["a=1", "b=x=y"]) == {"a": "1", "b": "x=y"}
    bad: list[Any] = [lambda: variables_of(["a"]), lambda: variables_of(["=1"]), lambda: data_of("/nowhere", {})]
    for each in bad:
        with pytest.raises(Usage):
            each()
    with pytest.raises(Problem, match="no object"):
        data_of(str(tmp_path / "list.json"), {})
