"""The part of Jsonnet that data is written in, and what is said of the rest."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.cli.jsonnet import read
from trainyard.cli.problems import Problem

pytestmark = pytest.mark.skipif(
    find_spec("_jsonnet") is not None, reason="Jsonnet itself is installed and reads it all"
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(VALUES)
def test_json_is_jsonnet(value: object) -> None:
    """Whatever JSON holds is read as JSON reads it."""
    import json

    assert read(json.dumps(value), {}, "f") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{ a: 1, 'b-c': [1, 2,], \"d\": {e: null}, } // end", {"a": 1, "b-c": [1, 2], "d": {"e": None}}),
        ("# why\nlocal x = 2, y = 'z'; [x, y + x, -x, !true]", [2, "z2", -2, False]),
        ("{ local v = std.extVar('v'), a: v, [v + '2']: /* c */ v }", {"a": "x", "x2": "x"}),
        ("local o = {a: [1, {b: 2}]}; o.a[1].b + o['a'][0]", 3),
        ("{a: 1} + {b: 2}", {"a": 1, "b": 2}),
        ("[1] + [2]", [1, 2]),
        ("if std.extVar('v') == 'x' then 'yes' else 'no'", "yes"),
        ("if 1 != 1 then 2", None),
        ("(1 == 1 && 2 == 2) || false", True),
        ("std.toString({a: 1}) + std.manifestJsonMinified([1, 2])", '{"a": 1}[1,2]'),
        ("std.parseJson('{\"a\": 5}').a", 5),
        ("'it\\'s \"so\"'", 'it\'s "so"'),
        ("{a:: 1}", {"a": 1}),
        ("1.5e3", 1500.0),
    ],
)
def test_what_it_knows(text: str, value: object) -> None:
    """Names without quotes, comments, locals, external variables, addition, choices."""
    assert read(text, {"v": "x"}, "f") == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{ a: std.extVar('none') }", "--var none=VALUE"),
        ("\n\n{ a: unknown }", "line 3"),
        ("{ a: 1 b: 2 }", "'}' is expected"),
        ("[1, 2", "']' is expected"),
        ("{ a: std.map(1) }", "std.map"),
        ("1 2", "too much"),
        ("{} - 1", "too much"),
        ("[1] + 1", "cannot be added"),
        ("{a: 1}.b", "there is no 'b'"),
        ("`x`", "no meaning"),
        ("'\\q'", "cannot be read"),
        ("local 5 = 1; 2", "a name is expected"),
        ("", "a value is expected"),
    ],
)
def test_what_it_does_not_know_is_said_with_its_place(text: str, said: str) -> None:
    """A line, a sentence and a way out."""
    with pytest.raises(Problem) as caught:
        read(text, {}, "file.jsonnet")
    assert said in " ".join((caught.value.sentence, *caught.value.details))
    assert "file.jsonnet" in caught.value.sentence
