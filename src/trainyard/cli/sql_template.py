"""SQL text with `{{ name }}` in it, filled from --iqldata and --var before it is sent; what is not filled is named.

StackQL's form is Go's (`{{ .project.id }}`), the documentation's is bare (`{{ projectsId }}`): both are read, and
nothing but names. A value that stands inside a string is escaped for one, so that it stays one value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from trainyard.cli import jsonnet
from trainyard.cli.problems import Problem, Usage

_INLINE: Final = re.compile(r"<<<\s*(json|jsonnet)\b(.*?)>>>", re.DOTALL)
_PIECE: Final = re.compile(
    r"(?P<hole>\{\{-?\s*(?P<inside>.*?)\s*-?\}\})|(?P<comment>--[^\n]*|/\*.*?\*/)|(?P<escape>\\.)|(?P<quote>')",
    re.DOTALL,
)
_NAME: Final = re.compile(r"\.?[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*\Z")
_LITERAL: Final = re.compile(r'"((?:[^"\\]|\\.)*)"\Z')
_MISSING: Final = object()


def variables_of(pairs: list[str]) -> dict[str, str]:
    """--var NAME=VALUE, each; raises Usage."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise Usage(f"--var {pair} is not NAME=VALUE")
        found[name] = value
    return found


def data_of(path: str, variables: Mapping[str, str]) -> dict[str, Any]:
    """The object in a .json or .jsonnet file; raises Problem."""
    if not path:
        return {}
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"--iqldata {path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return _object(jsonnet.read(text, variables, path), path)


def rendered(text: str, data: Mapping[str, Any], variables: Mapping[str, str]) -> str:
    """The text with every `{{ name }}` filled. Raises Problem, which names each that nothing fills."""
    values: dict[str, Any] = {**variables, **data}
    for found in _INLINE.finditer(text):
        values |= _object(jsonnet.read(found[2], variables, f"<<<{found[1]}"), f"<<<{found[1]} >>>")
    text = _INLINE.sub("", text)
    missing: list[str] = []
    inside = False

    def fill(match: re.Match[str]) -> str:
        nonlocal inside
        if match["hole"]:
            value = _value(match["inside"], values)
            if value is _MISSING:
                missing.append(match["inside"])
                return match[0]
            return _shown(value, quoted=inside)
        if match["quote"]:
            inside = not inside
        return match[0]

    filled = _filled(text, fill, lambda: inside)
    if missing:
        names = list(dict.fromkeys(missing))
        raise Problem(
            f"nothing fills {', '.join(f'{{{{ {name} }}}}' for name in names)}",
            [f"give it: --var {names[0].lstrip('.')}=VALUE, or --iqldata FILE with a field of that name"],
        )
    return filled


def _filled(text: str, fill: Any, inside: Any) -> str:
    """Every piece through `fill`; a comment counts as one only outside of strings."""
    out, at = [], 0
    while match := _PIECE.search(text, at):
        out.append(text[at : match.start()])
        if match["comment"] and inside():
            out.append(text[match.start()])
            at = match.start() + 1
            continue
        out.append(fill(match))
        at = match.end()
    return "".join((*out, text[at:]))


def _value(inside: str, values: Mapping[str, Any]) -> Any:
    """What a hole stands for; _MISSING where nothing does. Raises Problem on what is more than a name."""
    if match := _LITERAL.match(inside):
        return str(json.loads(f'"{match[1]}"'))
    if not _NAME.match(inside):
        raise Problem(
            f"{{{{ {inside} }}}} is more than a name",
            ["only {{ name }} and {{ .name.of.part }} are filled here; compute the value before, in the data"],
        )
    value: Any = values
    for part in inside.lstrip(".").split("."):
        value = value.get(part, _MISSING) if isinstance(value, Mapping) else _MISSING
    return value


def _shown(value: Any, *, quoted: bool) -> str:
    if isinstance(value, dict | list):
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    elif isinstance(value, bool) or value is None:
        text = {True: "true", False: "false", None: "null"}[value]
    else:
        text = str(value)
    if not quoted:
        return text
    escaped = text if _is_json(text) else text.replace("\\", "\\\\")
    return escaped.replace("'", "''")


def _is_json(text: str) -> bool:
    """Whether SQL takes the text as JSON as it stands, its backslashes being JSON's own."""
    try:
        return text.lstrip()[:1] in ("{", "[") and isinstance(json.loads(text), dict | list)
    except ValueError:
        return False


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Problem(f"{place} holds no object, but {type(value).__name__}: names need one to stand for something")
    return value
