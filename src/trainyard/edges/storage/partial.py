"""Partial answers: the `fields` parameter of Google's JSON APIs, applied to plain data.

Syntax: https://cloud.google.com/storage/docs/json_api#partial-response
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainyard.core.errors import InvalidArgument

Tree = dict[str, "Tree"]


def selected(body: Any, fields: str) -> Any:
    """What `items(name,size),nextPageToken` or `items/name` leaves of an answer. Raises InvalidArgument."""
    return _pick(body, _parse(fields)) if fields and isinstance(body, Mapping) else body


def _pick(value: Any, tree: Tree) -> Any:
    if not tree or ("*" in tree and not tree["*"]):
        return value
    if isinstance(value, list):
        return [_pick(each, tree) for each in value]
    if not isinstance(value, Mapping):
        return value
    if "*" in tree:
        return {name: _pick(each, tree["*"]) for name, each in value.items()}
    return {name: _pick(each, tree[name]) for name, each in value.items() if name in tree}


def _parse(text: str) -> Tree:
    root: Tree = {}
    stack, here, word = [root], root, ""
    for sign in text + ",":
        if sign not in ",/()":
            word += sign
            continue
        if word:
            here = here.setdefault(word.strip(), {})
        elif sign in "/(":
            raise InvalidArgument(f"Invalid field selection {text!r}: a name is missing before {sign!r}.")
        word = ""
        if sign == "(":
            stack.append(here)
        elif sign == ")":
            if len(stack) == 1:
                raise InvalidArgument(f"Invalid field selection {text!r}: a parenthesis was never opened.")
            here = stack.pop()
        elif sign == ",":
            here = stack[-1]
    if len(stack) > 1:
        raise InvalidArgument(f"Invalid field selection {text!r}: a parenthesis is not closed.")
    return root
