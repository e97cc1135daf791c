"""A search space is read in a closed world: data only, bounded, and every refusal names the place."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.core import space_text
from trainyard.core.errors import InvalidArgument
from trainyard.core.parameters import parameters, parameters_text, point_of_parameters
from trainyard.core.points import every_point
from trainyard.core.space_text import read_space

TEMPLATE, CHOICES = "pyglove.generators.geno.Template", "pyglove.generators.geno.Choices"


def template(*elements: Any, **more: Any) -> dict[str, Any]:
    return {"_type": TEMPLATE, **({"elements": list(elements)} if elements else {}), **more}


def choice(location: str = "a", count: int = 2, **more: Any) -> dict[str, Any]:
    found = {"_type": CHOICES, "location": location, "candidates": [template(index=n) for n in range(count)], **more}
    return {key: value for key, value in found.items() if value is not ...}


def refusal(document: object) -> str:
    """The one fault that a document is refused for."""
    with pytest.raises(InvalidArgument) as caught:
        read_space(document if isinstance(document, str) else json.dumps(document))
    (violation,) = caught.value.violations
    assert violation.field == "nas_job_spec.search_space_spec"
    return violation.description


@pytest.mark.parametrize("names", [(TEMPLATE, CHOICES), ("geno.Space", "geno.Choices")])
def test_both_ages_of_type_names_are_read(names: tuple[str, str]) -> None:
    """What a decision tree is called has changed once; either is the same space."""
    text = json.dumps(template(choice(), choice("b", 3))).replace(TEMPLATE, names[0]).replace(CHOICES, names[1])
    assert read_space(text).size == 6


def test_nulls_are_absent_and_hints_are_not_looked_at() -> None:
    """Explicit nulls mean the default; a hint may hold anything and is never interpreted."""
    nulls = dict.fromkeys(("num_choices", "literal_values", "distinct", "sorted", "subchoice_index", "name", "hints"))
    hostile = {"_type": "function", "name": "os.system"}
    space = read_space(json.dumps(template(choice("a", 3, **nulls), choice("b", hints=hostile), hints=hostile)))
    assert space.size == 6
    assert read_space(json.dumps(template(choice(...)))).decisions[0].key == ""


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (3, "3"),
        (1.5, "1.5"),
        (1e3, "1000.0"),
        (True, "True"),
        ("None", "None"),
        ("0/2 (old)", "old"),
        ("1/2 (x)", "1/2 (x)"),
    ],
)
def test_literals_are_printed_as_the_trainer_prints_them(value: object, shown: str) -> None:
    """Numbers and truth values as Python prints them, strings as they are, an index from very old clients taken off."""
    space = read_space(json.dumps(template(choice(literal_values=[value, "'b'"]))))
    assert parameters(space, (0,)) == {"a": f"0/2 ({shown})"}


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ("", "is empty"),
        ("  \n", "is empty"),
        ("{", "at line 1 column 2 (character 1): is not valid JSON: Expecting property name"),
        ('{"_type":1,"_type":2}', "has the key '_type' twice"),
        ("1" * 5000, "is not valid JSON: Exceeds the limit"),
        ([], "at the root: is a list, not a space"),
        ("null", "at the root: is null, not a space"),
        (template(), "holds no decision"),
        ({"_type": "builtins.eval"}, "at _type: is 'builtins.eval', not a space"),
        ({"_type": "_OpaqueObject", "value": "gASV"}, "at _type: is '_OpaqueObject', not a space"),
        ({"_type": "function", "name": "os.system"}, "at _type: is 'function', not a space"),
        ({"_type": "type", "name": "subprocess.Popen"}, "at _type: is 'type', not a space"),
        ({"_type": ["x"]}, "at _type: is a list, not a space"),
        ({"elements": []}, "at _type: is None, not a space"),
        (choice(), f"at _type: is '{CHOICES}', not a space"),
        (template(template()), f"at elements[0]._type: is '{TEMPLATE}', not a choice"),
        (template(choice(), "x"), "at elements[1]: is a string, not a choice"),
        (template(elements={}), "at elements: is an object, not a list"),
        (template(choice(), index=0), "at index: is 0 where None is expected"),
        (template(choice(surprise=1)), "at elements[0].'surprise': is no field of a choice"),
        (template(choice(location=3)), "at elements[0].location: is a number, not a string"),
        (template(choice(candidates=[])), "at elements[0].candidates: is empty or missing"),
        (template(choice(candidates=...)), "at elements[0].candidates: is empty or missing"),
        (template(choice(candidates=[template(index=1)])), "at elements[0].candidates[0].index: is 1 where 0"),
        (template(choice(candidates=[template(index=True)])), "candidates[0].index: is True where 0"),
        (template(choice(num_choices=0)), "at elements[0].num_choices: is 0, not a whole number of 1 or more"),
        (template(choice(num_choices=True)), "at elements[0].num_choices: is True"),
        (template(choice(num_choices=1.0)), "at elements[0].num_choices: is 1.0"),
        (template(choice(num_choices=10**9, distinct=False)), "at elements[0].num_choices: is 1,000,000,000; a space"),
        (template(choice(num_choices=3)), "at elements[0].num_choices: asks for 3 distinct picks out of 2"),
        (template(choice(distinct="no")), "at elements[0].distinct: is a string, not true or false"),
        (template(choice(sorted=1)), "at elements[0].sorted: is a number, not true or false"),
        (template(choice(subchoice_index=0)), "at elements[0].subchoice_index: is set"),
        (template(choice(literal_values=["x"])), "at elements[0].literal_values: has 1 values for 2 candidates"),
        (template(choice(literal_values=[])), "at elements[0].literal_values: has 0 values for 2 candidates"),
        (template(choice(literal_values=["x", {}])), "literal_values[1]: is an object, not a string, a number"),
        (template({"_type": "geno.Float", "min_value": 0}), "at elements[0]: is a continuous decision"),
        (template({"_type": "pyglove.generators.geno.CustomDecisionPoint"}), "at elements[0]._type: is 'pyglove.gen"),
        (template(choice(literal_values=["x" * 130_000, "y"])), "can be longer than 120,000 bytes"),
        (template(choice(), choice()), "share the path 'a'"),
        (template({"_type": "x" * 500}), "xxx…, not a choice"),
    ],
)
def test_a_refusal_names_the_place(document: object, place: str) -> None:
    """Whatever is wrong is refused with where it stands and what it should be."""
    assert place in refusal(document)


def nested(levels: int) -> str:
    """A choice below a choice below a choice…, written without recursion."""
    opening = f'{{"_type":"{TEMPLATE}","elements":[{{"_type":"{CHOICES}","candidates":['
    return opening * levels + f'{{"_type":"{TEMPLATE}"}}' + "]}]}" * levels


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (nested(1_000), "nested deeper than 256 levels"),
        ("[" * 1_000_000, "nested deeper than 256 levels"),
        ('{"a":' * 100_000, "nested deeper than 256 levels"),
        ('"' + "x" * 5_000_000 + '"', "5,000,002 bytes long; at most 1,048,576"),
        ("é" * 600_000, "1,200,000 bytes long"),
        ('"' + "\\" * 1_000_000, "is not valid JSON"),
    ],
    ids=["1,000 levels", "brackets", "objects", "5 MB", "bytes not characters", "backslashes"],
)
def test_what_is_too_deep_or_too_long_is_refused_at_once(text: str, what: str) -> None:
    """Quickly, and never by an exhausted stack."""
    began = time.process_time()
    assert what in refusal(text)
    assert time.process_time() - began < 1.0


def test_brackets_inside_strings_are_no_depth() -> None:
    """Depth is counted in structure, not in text."""
    space = read_space(json.dumps(template(choice(literal_values=["[" * 500, '"]\\' * 500]))))
    assert space.size == 2


def test_depth_up_to_the_bound_is_read() -> None:
    """Sixty decisions below each other are many more than anyone has shipped, and are read."""
    assert read_space(nested(60)).size == 1


@given(st.text(), st.text(min_size=1))
def test_any_string_survives_the_way_to_a_trainer(literal: str, location: str) -> None:
    """Quotes, apostrophes, backslashes and every script: ASCII in the argument, the same after reading."""
    space = read_space(json.dumps(template(choice(location, literal_values=[repr(literal), "x"]))))
    text = parameters_text(space, (0,))
    assert text.isascii()
    assert json.loads(text)[location] == parameters(space, (0,))[location]
    assert point_of_parameters(space, text) == (0,)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["_type", "elements", "candidates", "num_choices", "index", "location", "literal_values", "x"]
            ),
            inner | st.sampled_from([TEMPLATE, CHOICES, "geno.Float"]),
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(JSON_VALUES)
def test_any_json_is_read_or_refused(document: object) -> None:
    """Nothing but InvalidArgument ever comes out of a text that is not a space."""
    try:
        space = read_space(json.dumps(document))
    except InvalidArgument:
        return
    assert next(every_point(space))


def test_nothing_named_in_a_text_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that a type names is not even looked for."""

    def caught(name: str, *_: object) -> Mapping[str, Any]:
        raise AssertionError(f"looked for {name}")

    text = json.dumps(template({"_type": "antigravity.Anything", "value": 1}))
    monkeypatch.setattr("builtins.__import__", caught)
    try:
        read_space(text)
    except InvalidArgument as refused:
        message = refused.message
    monkeypatch.undo()
    assert "antigravity" in message


def test_the_field_has_the_name_that_its_caller_gives() -> None:
    """An error can speak of another field, in trees and in bounds alike."""
    for text in ("", json.dumps(template()), json.dumps(template(choice(num_choices=0)))):
        with pytest.raises(InvalidArgument) as caught:
            read_space(text, "space")
        assert caught.value.violations[0].field == "space"


def test_the_bounds_are_what_the_pages_say() -> None:
    """One mebibyte of text, 256 levels of JSON."""
    assert (space_text.MOST_TEXT_BYTES, space_text.MOST_JSON_DEPTH) == (1 << 20, 256)
