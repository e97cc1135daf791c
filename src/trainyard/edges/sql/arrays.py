"""PostgreSQL's one-dimensional arrays as text, `{a,"b c",NULL}`, read and written."""

from __future__ import annotations

import re
from typing import Final

_ITEM: Final = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^",{}\\\s][^",{}]*?))\s*(,|\}\Z)', re.DOTALL)
_PLAIN: Final = re.compile(r"[\w.:/@+-]+\Z", re.ASCII)


def array_items(text: str) -> list[str | None]:
    """The elements, all text; raises ValueError on what is no one-dimensional array."""
    body = text.strip()
    if body == "{}":
        return []
    at, found = 1, list[str | None]()
    while body.startswith("{") and (match := _ITEM.match(body, at)):
        quoted, bare, end = match.groups()
        item = re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL) if quoted is not None else bare
        found.append(None if quoted is None and bare.upper() == "NULL" else item)
        if end != ",":
            return found
        at = match.end()
    raise ValueError(f"{text!r} is no array; one looks like {{a,b}}")


def array_text(*items: object) -> str:
    """The array of these elements."""
    return "{" + ",".join(map(_item, items)) + "}"


def _item(item: object) -> str:
    if item is None:
        return "NULL"
    text = str(item)
    if _PLAIN.match(text) and text.upper() != "NULL":
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
