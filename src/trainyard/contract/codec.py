"""Proto3 JSON for the API's messages, both ways: JSON values and bytes to messages, and back; the codec's front door.

The rules are those of protobuf.dev/programming-guides/json, held against google.protobuf.json_format by property tests.
"""

from __future__ import annotations

from typing import Any

import orjson
from google.protobuf.message import Message

from trainyard.contract import json_pages, json_write
from trainyard.contract.json_faults import JsonFault, JsonFaults
from trainyard.contract.json_pages import page_bytes
from trainyard.contract.json_read import parse
from trainyard.contract.json_write import writer
from trainyard.contract.wire_page import WirePage, opened

__all__ = ["JsonFault", "JsonFaults", "forget", "load", "parse", "parse_bytes", "render", "render_bytes", "write_json"]


def parse_bytes(cls: type[Message], body: bytes, root_field: str = "") -> Message:
    """`parse` of a JSON text; a text that is no JSON (or no UTF-8) is one fault."""
    return parse(cls, load(body), root_field)


def load(body: bytes) -> Any:
    """The JSON value of a request body; raises JsonFaults where it is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise JsonFaults(JsonFault("", f"Invalid JSON payload received. {error}")) from None


def render(message: Message, enums_as_ints: bool = False) -> Any:
    """The JSON value of a message, of types that orjson and json write: an object, but for some well-known types."""
    return writer(message.DESCRIPTOR.full_name, enums_as_ints)(message)


def render_bytes(message: Message | WirePage, enums_as_ints: bool = False, pretty: bool = False) -> bytes:
    """The JSON text of a message, UTF-8; indented by two spaces and ended by a newline when `pretty`."""
    return page_bytes(message, enums_as_ints, pretty) or write_json(render(opened(message), enums_as_ints), pretty)


def forget() -> None:
    """What was written before: some of it was sealed at rest, and its key has gone."""
    json_pages.forget()
    json_write.forget()


def write_json(value: Any, pretty: bool = False) -> bytes:
    """A rendered value (a whole answer, or what a field mask left of it) as bytes."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE if pretty else None)
