"""A searchSpaceSpec is read as data in a closed world: nothing that it names is imported, looked up or run.

The text is pyglove's abstract decision tree (`pg.search_space(value).to_json_str()`), as pyglove 0.1.0 and 0.4.5 write
it, type names of either age. pyglove's own reader unpickles and imports what a text asks for, and is never used here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from trainyard.core.errors import InvalidArgument
from trainyard.core.parameters import longest_text
from trainyard.core.space import FIELD, MOST_DECISIONS, Choice, Space, Template, bad_space, space_of

MOST_TEXT_BYTES = 1 << 20
# A decision below a candidate of a decision costs four levels of JSON.
MOST_JSON_DEPTH = 256
MOST_SHOWN = 80
# Linux refuses a single argument of 128 KiB (MAX_ARG_STRLEN); the flag's own name needs a little of it.
MOST_PARAMETERS_BYTES = 120_000
SPACE_TYPES = frozenset({"pyglove.generators.geno.Template", "geno.Space"})
CHOICE_TYPES = frozenset({"pyglove.generators.geno.Choices", "geno.Choices"})
FLOAT_TYPES = frozenset({"pyglove.generators.geno.Float", "geno.Float"})
SPACE_KEYS = frozenset({"_type", "elements", "index", "location", "hints"})
CHOICE_KEYS = frozenset(
    {
        "_type",
        "location",
        "num_choices",
        "candidates",
        "literal_values",
        "distinct",
        "sorted",
        "subchoice_index",
        "hints",
        "name",
    }
)
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{\]}]', re.DOTALL)
# What very old clients wrote as a literal: the whole value, with index and count.
_WHOLE_VALUE = re.compile(r"(\d+)/(\d+) \((.*)\)", re.DOTALL)


def read_space(text: str, name: str = FIELD) -> Space:
    """The space that a searchSpaceSpec describes; `name` is what an error calls the field.

    Raises InvalidArgument with the place in the text when it is no JSON, names a type or a key that is not one of a
    decision tree, contradicts itself, holds a continuous decision or none at all, or is too long, too deep, too large.
    """
    space = space_of(_Reader(name).template(_json(text, name), "", None), name)
    if longest_text(space, MOST_PARAMETERS_BYTES) > MOST_PARAMETERS_BYTES:
        what = f"the parameters of a trial can be longer than {MOST_PARAMETERS_BYTES:,} bytes, the most a program takes"
        raise bad_space("", f"{what} as one argument; shorten its paths and literals", name)
    return space


def _json(text: str, name: str) -> object:
    """The text as JSON, refused by length and depth before a recursive parser sees it."""
    if not text.strip():
        raise bad_space("", "is empty; it holds the text of pg.search_space(value).to_json_str()", name)
    length = len(text.encode(errors="surrogatepass"))
    if length > MOST_TEXT_BYTES:
        raise bad_space("", f"is {length:,} bytes long; at most {MOST_TEXT_BYTES:,} are read", name)
    depth = 0
    for token in _TOKENS.finditer(text):
        first = token.group()
        depth += (first in "[{") - (first in "]}")
        if depth > MOST_JSON_DEPTH:
            raise bad_space(f"character {token.start()}", f"nested deeper than {MOST_JSON_DEPTH} levels", name)
    try:
        return json.loads(text, object_pairs_hook=_object_without_repeats)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno} (character {error.pos})"
        raise bad_space(place, f"is not valid JSON: {error.msg}", name) from None
    except ValueError as error:
        raise bad_space("", f"is not valid JSON: {error}", name) from None


def _object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"an object has the key {twice!r} twice")
    return found


class _Reader:
    """The tree from its JSON; every complaint carries the place, such as `elements[0].candidates[1]`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def bad(self, place: str, what: str) -> InvalidArgument:
        """The refusal with its place."""
        return bad_space(place or "the root", what, self.name)

    def template(self, value: object, place: str, index: int | None) -> Template:
        """A space: the root (index None), or the candidate with this index."""
        found = self.typed(value, place, SPACE_TYPES, SPACE_KEYS, "a space (pyglove.generators.geno.Template)")
        given = found.get("index")
        if given is not None and (index is None or given is True or given != index):
            raise self.bad(below(place, "index"), f"is {given!r} where {index!r} is expected")
        elements = self.array(found.get("elements"), below(place, "elements"))
        here = below(place, "elements")
        return Template(tuple(self.choice(each, f"{here}[{n}]") for n, each in enumerate(elements)))

    def choice(self, value: object, place: str) -> Choice:
        """A choice: one or several of its candidates."""
        found = self.typed(value, place, CHOICE_TYPES, CHOICE_KEYS, "a choice (pyglove.generators.geno.Choices)")
        if found.get("subchoice_index") is not None:
            raise self.bad(below(place, "subchoice_index"), "is set; only whole choices are read, not one pick of one")
        inside = below(place, "candidates")
        candidates = self.array(found.get("candidates"), inside)
        if not candidates:
            raise self.bad(inside, "is empty or missing; a choice needs a candidate")
        picks = self.picks(found.get("num_choices"), below(place, "num_choices"))
        distinct = self.flag(found.get("distinct"), below(place, "distinct"), default=True)
        if distinct and picks > len(candidates):
            what = f"asks for {picks} distinct picks out of {len(candidates)} candidates"
            raise self.bad(below(place, "num_choices"), what)
        return Choice(
            location=self.string(found.get("location"), below(place, "location")),
            candidates=tuple(self.template(each, f"{inside}[{n}]", n) for n, each in enumerate(candidates)),
            literals=self.literals(found.get("literal_values"), below(place, "literal_values"), len(candidates)),
            picks=picks,
            distinct=distinct,
            is_sorted=self.flag(found.get("sorted"), below(place, "sorted"), default=False),
        )

    def typed(
        self, value: object, place: str, types: Collection[str], keys: Collection[str], wanted: str
    ) -> Mapping[str, Any]:
        """An object of one of the types and with no other keys; what it names otherwise is not looked up."""
        if not isinstance(value, dict):
            raise self.bad(place, f"is {kind_of(value)}, not {wanted}")
        name = value.get("_type")
        if isinstance(name, str) and name in FLOAT_TYPES:
            what = "is a continuous decision; NAS searches choices only: list the values to try as candidates"
            raise self.bad(place, what)
        if not isinstance(name, str) or name not in types:
            raise self.bad(below(place, "_type"), f"is {clipped(name)}, not {wanted}")
        if strange := sorted(value.keys() - set(keys)):
            raise self.bad(below(place, clipped(strange[0])), "is no field of " + wanted)
        return value

    def array(self, value: object, place: str) -> list[object]:
        """A list; absent and null are an empty one."""
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.bad(place, f"is {kind_of(value)}, not a list")
        return value

    def string(self, value: object, place: str) -> str:
        """A string; absent and null are an empty one."""
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.bad(place, f"is {kind_of(value)}, not a string")
        return value

    def flag(self, value: object, place: str, *, default: bool) -> bool:
        """True or false; absent and null are the default."""
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.bad(place, f"is {kind_of(value)}, not true or false")
        return value

    def picks(self, value: object, place: str) -> int:
        """How many candidates are picked: one unless it says otherwise."""
        if value is None:
            return 1
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.bad(place, f"is {clipped(value)}, not a whole number of 1 or more")
        if value > MOST_DECISIONS:
            raise self.bad(place, f"is {value:,}; a space has at most {MOST_DECISIONS:,} decisions")
        return value

    def literals(self, value: object, place: str, count: int) -> tuple[str, ...]:
        """The printed forms of the candidates, exactly as a trainer's own pyglove prints them."""
        found = self.array(value, place)
        if value is not None and len(found) != count:
            raise self.bad(place, f"has {len(found)} values for {count} candidates")
        printed = []
        for index, literal in enumerate(found):
            if not isinstance(literal, str | int | float):
                raise self.bad(f"{place}[{index}]", f"is {kind_of(literal)}, not a string, a number, true or false")
            text = str(literal)
            whole = _WHOLE_VALUE.fullmatch(text) if isinstance(literal, str) else None
            if whole and (int(whole.group(1)), int(whole.group(2))) == (index, count):
                text = whole.group(3)
            printed.append(text)
        return tuple(printed)


def below(place: str, key: str) -> str:
    """The place of a key."""
    return f"{place}.{key}" if place else key


def kind_of(value: object) -> str:
    """What JSON calls a value, for an error."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def clipped(value: object) -> str:
    """A value of the caller's in an error, never longer than a line."""
    text = repr(value) if not isinstance(value, dict | list) else kind_of(value)
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "…"
