"""A page of resources as JSON text; what each came to is remembered by its wire bytes, so it is never out of date.

Pages are asked for again and again, and most of what is on them has not changed since. Apart from the time it takes,
nobody can tell: the text is that of json_write, resource by resource.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import orjson
from google.protobuf.message import Message

from trainyard.contract.json_write import writer
from trainyard.contract.pool import API_PACKAGE, message_class
from trainyard.contract.remembered import Remembered

_PAGE = re.compile(rf"{re.escape(API_PACKAGE)}\.\w+\.List\w+Response")
_MOST_REMEMBERED = 48 << 20  # bytes of text and wire
_LONGEST_REMEMBERED = 16 * 1024  # bytes of text
_PRETTY = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
_INDENT = b"\n    "  # of a resource in its list


def page_bytes(message: Any, enums_as_ints: bool, pretty: bool) -> bytes | None:
    """The JSON text of a List…Response; None for what is none."""
    items = _items(message.DESCRIPTOR.full_name)
    if items is None:
        return None
    value: dict[str, Any] = {}
    for field, content in message.ListFields():
        value[field.json_name] = content
        if field.name == items:
            name = field.message_type.full_name
            value[field.json_name] = [orjson.Fragment(_text(name, enums_as_ints, pretty, one)) for one in content]
    return orjson.dumps(value, option=_PRETTY if pretty else None)


@cache
def _items(full_name: str) -> str | None:
    """The field that the resources of such an answer are in; there is one more, for the next page's token."""
    if not _PAGE.fullmatch(full_name):
        return None
    found: list[str] = [field.name for field in message_class(full_name).DESCRIPTOR.fields if field.is_repeated]
    return found[0]


def _text(name: str, enums_as_ints: bool, pretty: bool, message: Message) -> bytes:
    key = (name, enums_as_ints, pretty, message.SerializeToString(deterministic=True))
    known = _memory().get(key)
    return _memory().put(key, _written(name, enums_as_ints, pretty, message)) if known is None else known


@cache
def _memory() -> Remembered[tuple[str, bool, bool, bytes]]:
    """One for all pages of this process: answers are written on the event loop."""
    return Remembered(_MOST_REMEMBERED, _LONGEST_REMEMBERED)


def _written(name: str, enums_as_ints: bool, pretty: bool, message: Message) -> bytes:
    value = writer(name, enums_as_ints)(message)
    if not pretty:
        return orjson.dumps(value)
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).replace(b"\n", _INDENT)  # no text has a line feed of its own
