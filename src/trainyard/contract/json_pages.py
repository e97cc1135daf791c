"""A page of resources as JSON text; what each came to is remembered by its wire bytes, so it is never out of date.

Pages are asked for again and again, and most of what is on them has not changed since. Apart from the time it takes,
nobody can tell: the text is that of json_write, resource by resource.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import orjson

from trainyard.contract.json_write import writer
from trainyard.contract.pool import message_class
from trainyard.contract.remembered import Remembered
from trainyard.contract.wire_page import WirePage, items_of

_MOST_REMEMBERED = 48 << 20  # bytes of text and wire
_LONGEST_REMEMBERED = 16 * 1024  # bytes of text
_PRETTY = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
_INDENT = b"\n    "  # of a resource in its list


def page_bytes(answer: Any, enums_as_ints: bool, pretty: bool) -> bytes | None:
    """The JSON text of a List…Response, which may be a WirePage; None for what is none."""
    full_name = answer.full_name if isinstance(answer, WirePage) else answer.DESCRIPTOR.full_name
    items = items_of(full_name)
    if items is None:
        return None
    wires: Iterable[bytes]
    if isinstance(answer, WirePage):
        wires, value = answer.wires, {"nextPageToken": answer.next_page_token} if answer.next_page_token else {}
    else:
        fields = dict(answer.ListFields())
        wires = [one.SerializeToString(deterministic=True) for one in fields.pop(items, ())]
        value = {field.json_name: content for field, content in fields.items()}
    if texts := [orjson.Fragment(_text(items.message_type.full_name, enums_as_ints, pretty, one)) for one in wires]:
        value = {items.json_name: texts, **value}
    return orjson.dumps(value, option=_PRETTY if pretty else None)


def _text(name: str, enums_as_ints: bool, pretty: bool, wire: bytes) -> bytes:
    key = (name, enums_as_ints, pretty, wire)
    known = _memory().get(key)
    return _memory().put(key, _written(*key)) if known is None else known


@cache
def _memory() -> Remembered[tuple[str, bool, bool, bytes]]:
    """One for all pages of this process: answers are written on the event loop."""
    return Remembered(_MOST_REMEMBERED, _LONGEST_REMEMBERED)


def _written(name: str, enums_as_ints: bool, pretty: bool, wire: bytes) -> bytes:
    value = writer(name, enums_as_ints)(message_class(name).FromString(wire))
    if not pretty:
        return orjson.dumps(value)
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).replace(b"\n", _INDENT)  # no text has a line feed of its own
