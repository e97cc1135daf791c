"""Reads the part of Jsonnet that data files are written in: JSON with comments, bare keys, `local`, `+`, std.extVar.

What goes beyond it (functions, comprehensions, `self`) is refused with its place and a way out; where the `_jsonnet`
module is installed, that reads everything. Language: https://jsonnet.org/ref/spec.html.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, Final

from trainyard.cli.problems import Problem

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|//[^\n]*|\#[^\n]*|/\*.*?\*/)
    | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<name>[A-Za-z_]\w*)
    | (?P<sign>==|!=|&&|\|\||[-+{}\[\](),:;.=!])""",
    re.VERBOSE | re.DOTALL,
)
_WORDS: Final[Mapping[str, Any]] = {"true": True, "false": False, "null": None}


def read(text: str, variables: Mapping[str, str], place: str) -> Any:
    """The value of a Jsonnet text; `variables` are what std.extVar gives. Raises Problem, naming `place` and line."""
    if find_spec("_jsonnet") is not None:
        return _read_whole(text, variables, place)
    return _Reader(text, variables, place).whole()


def _read_whole(text: str, variables: Mapping[str, str], place: str) -> Any:
    from importlib import import_module  # noqa: PLC0415 - most data files need it not

    try:
        return json.loads(import_module("_jsonnet").evaluate_snippet(place, text, ext_vars=dict(variables)))
    except RuntimeError as error:
        raise Problem(f"{place} is no Jsonnet: {error}") from None


class _Reader:
    """Evaluates while it reads; nothing here is lazy, because data needs no laziness."""

    def __init__(self, text: str, variables: Mapping[str, str], place: str) -> None:
        self._text = text
        self._variables = variables
        self._place = place
        self._tokens = list(self._split())
        self._at = 0

    def whole(self) -> Any:
        value = self._expression({})
        if self._kind() != "end":
            raise self._sorry(f"{self._now()!r} is too much")
        return value

    def _split(self) -> Any:
        at = 0
        while at < len(self._text):
            match = _TOKEN.match(self._text, at)
            if match is None:
                raise self._problem(f"{self._text[at]!r} has no meaning here", at)
            if match.lastgroup != "space":
                yield match.lastgroup, match.group(), at
            at = match.end()
        yield "end", "", at

    def _kind(self) -> str:
        return str(self._tokens[self._at][0])

    def _now(self) -> str:
        return str(self._tokens[self._at][1])

    def _take(self, *signs: str) -> bool:
        """Step over one of these, if it is next."""
        if self._kind() in ("sign", "name") and self._now() in signs:
            self._at += 1
            return True
        return False

    def _need(self, sign: str) -> None:
        if not self._take(sign):
            raise self._sorry(f"{sign!r} is expected, not {self._now()!r}")

    def _expression(self, scope: Mapping[str, Any]) -> Any:
        if self._take("local"):
            scope = self._bound(scope)
            return self._expression(scope)
        if self._take("if"):
            return self._choice(scope)
        value = self._operand(scope)
        while self._now() in ("+", "==", "!=", "&&", "||") and self._kind() == "sign":
            sign = self._now()
            self._at += 1
            value = self._joined(sign, value, self._operand(scope))
        return value

    def _bound(self, scope: Mapping[str, Any]) -> Mapping[str, Any]:
        scope = dict(scope)
        while True:
            name = self._name()
            self._need("=")
            scope[name] = self._expression(scope)
            if not self._take(","):
                self._need(";")
                return scope

    def _choice(self, scope: Mapping[str, Any]) -> Any:
        asked = self._expression(scope)
        self._need("then")
        then = self._expression(scope)
        other = self._expression(scope) if self._take("else") else None
        return then if asked is True else other

    def _joined(self, sign: str, one: Any, other: Any) -> Any:
        if sign in ("==", "!="):
            return (one == other) is (sign == "==")
        if sign in ("&&", "||"):
            return (one and other) if sign == "&&" else (one or other)
        if isinstance(one, str) or isinstance(other, str):
            return _shown(one) + _shown(other)
        if isinstance(one, dict) and isinstance(other, dict):
            return {**one, **other}
        try:
            return one + other
        except TypeError:
            raise self._sorry("these two cannot be added") from None

    def _operand(self, scope: Mapping[str, Any]) -> Any:
        value = self._value(scope)
        while True:
            if self._take("."):
                value = self._member(value, self._name())
            elif self._take("["):
                value = self._member(value, self._expression(scope))
                self._need("]")
            else:
                return value

    def _member(self, value: Any, name: Any) -> Any:
        try:
            return value[name]
        except (KeyError, IndexError, TypeError):
            raise self._sorry(f"there is no {name!r} in it") from None

    def _value(self, scope: Mapping[str, Any]) -> Any:
        kind, text, _ = self._tokens[self._at]
        self._at += 1
        if kind == "string":
            return self._string(text)
        if kind == "number":
            return json.loads(text)
        if kind == "name":
            return self._named(text, scope)
        builders: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
            "{": self._object, "[": self._list, "(": self._group, "-": lambda inner: -self._operand(inner),
            "!": lambda inner: not self._operand(inner),
        }  # fmt: skip
        if text not in builders:
            self._at -= 1
            raise self._sorry(f"a value is expected, not {text or 'the end'!r}")
        return builders[text](scope)

    def _named(self, name: str, scope: Mapping[str, Any]) -> Any:
        if name in _WORDS:
            return _WORDS[name]
        if name in scope:
            return scope[name]
        if name == "std" and self._take("."):
            return self._called(self._name(), scope)
        self._at -= 1
        raise self._sorry(f"{name!r} is not known here; beyond local names this reads std.extVar alone")

    def _called(self, name: str, scope: Mapping[str, Any]) -> Any:
        self._need("(")
        given = self._expression(scope)
        self._need(")")
        if name == "extVar":
            if given not in self._variables:
                raise self._sorry(f"std.extVar({given!r}) has no value; give --var {given}=VALUE")
            return self._variables[given]
        if name in ("toString", "manifestJsonMinified"):
            return _shown(given) if name == "toString" else json.dumps(given, separators=(",", ":"))
        if name == "parseJson":
            return json.loads(given)
        raise self._sorry(f"std.{name} is not known here")

    def _group(self, scope: Mapping[str, Any]) -> Any:
        value = self._expression(scope)
        self._need(")")
        return value

    def _list(self, scope: Mapping[str, Any]) -> list[Any]:
        found = []
        while not self._take("]"):
            found.append(self._expression(scope))
            if not self._take(","):
                self._need("]")
                break
        return found

    def _object(self, scope: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not self._take("}"):
            if self._take("local"):
                name = self._name()
                self._need("=")
                scope = {**scope, name: self._expression(scope)}
            else:
                key = self._key(scope)
                self._take(":")  # a hidden field's second colon, and third
                self._take(":")
                found[key] = self._expression(scope)
            if not self._take(","):
                self._need("}")
                break
        return found

    def _key(self, scope: Mapping[str, Any]) -> str:
        if self._take("["):
            key = str(self._expression(scope))
            self._need("]")
        elif self._kind() == "string":
            key = self._string(self._now())
            self._at += 1
        else:
            key = self._name()
        self._need(":")
        return key

    def _name(self) -> str:
        if self._kind() != "name":
            raise self._sorry(f"a name is expected, not {self._now()!r}")
        self._at += 1
        return str(self._tokens[self._at - 1][1])

    def _string(self, text: str) -> str:
        inside = text[1:-1]
        if text[0] == "'":
            inside = inside.replace("\\'", "'").replace('"', '\\"')
        try:
            return str(json.loads(f'"{inside}"', strict=False))
        except ValueError as error:
            raise self._sorry(f"this string cannot be read ({error})") from None

    def _sorry(self, what: str) -> Problem:
        return self._problem(what, self._tokens[self._at][2])

    def _problem(self, what: str, at: int) -> Problem:
        line = self._text.count("\n", 0, at) + 1
        way_out = "What this reader lacks, `pip install jsonnet` gives, or a JSON file."
        return Problem(f"{self._place}, line {line}: {what}", [way_out])


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
