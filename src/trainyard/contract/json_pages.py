"""A page of resources as JSON text; what each came to is remembered by its wire bytes, so it is never out of date.

Pages are asked for again and again, and most of what is on them has not changed since. Apart from the time it takes,
nobody can tell: the text is that of json_write, resource by resource.
"""

from __future__ import annotations

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
_BEFORE, _AFTER = orjson.dumps([[0]], option=orjson.OPT_INDENT_2).split(b"0")  # round what stands as deep as it does
_HERE = b"\0"  # no text has one of its own


def page_bytes(answer: Any, enums_as_ints: bool, pretty: bool) -> bytes | None:
    """The JSON text of a List…Response, which may be a WirePage; None for what is none."""
    page = answer if isinstance(answer, WirePage) else WirePage.of(answer)
    if page is None:
        return None
    items, option = items_of(page.full_name), _PRETTY if pretty else None
    token = {"nextPageToken": page.next_page_token} if page.next_page_token else {}
    texts = [_text(items.message_type.full_name, enums_as_ints, pretty, wire) for wire in page.wires]
    if not texts:
        return orjson.dumps(token, option=option)
    frame = orjson.dumps({items.json_name: [orjson.Fragment(_HERE)], **token}, option=option)
    head, _, tail = frame.partition(_HERE)
    texts[0] = head + texts[0]
    texts[-1] += tail
    return (b"," + _INDENT if pretty else b",").join(texts)  # copied once: a page is the largest answer there is


def forget() -> None:
    """Everything that is remembered."""
    _memory().clear()


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
    return orjson.dumps([[value]], option=orjson.OPT_INDENT_2)[len(_BEFORE) : -len(_AFTER)]
