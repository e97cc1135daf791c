"""Message -> JSON by the rules of proto3 JSON: one writer per message type, compiled from its descriptor at first use.

Fields stand in the order of their numbers, map keys in their own order, so the same message gives the same bytes. Never
raises for a message that the wire lets through: what has no JSON form of its own is written as well as it can be.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Callable
from functools import cache, lru_cache, partial
from math import copysign, isfinite, isnan
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import DecodeError

from trainyard.contract.json_text import camel, write_duration, write_timestamp
from trainyard.contract.pool import message_class

Convert = Callable[[Any], Any]
_INT64 = frozenset({FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64})
_FLOATS = frozenset({FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT})
_SHOWN_AT_ZERO = frozenset({"Metric.value"})
"""A measured 0 is a value: clients of NasJob index it, though proto3 JSON may leave out what is zero, and does."""
_OFTEN_THE_SAME = frozenset({"CustomJobSpec"})  # a page of jobs is mostly one spec, again and again
_MOST_REMEMBERED = 512
_LONGEST_REMEMBERED = 8 * 1024  # bytes on the wire


@cache
def writer(full_name: str, enums_as_ints: bool) -> Convert:
    """Message of this type of our pool -> JSON value (an object, but for some of the well-known types)."""
    special = _SPECIAL.get(full_name)
    if special is not None:
        return partial(special, enums_as_ints)
    return _compiled(message_class(full_name).DESCRIPTOR, enums_as_ints)


def _compiled(descriptor: Any, enums_as_ints: bool) -> Convert:
    """A function with one straight line per field, as one would write it by hand for this type.

    Half the time of a loop over a table of fields: most of a loop's work is to find out what is the same at every call.
    """
    lines, names = ["def write(message):", " out = {}"], {}
    for field in sorted(descriptor.fields, key=lambda field: field.number):
        convert = _convert(field, enums_as_ints)
        names[f"convert_{field.name}"] = convert
        result = "value" if convert is None else f"convert_{field.name}(value)"
        if field.has_presence:
            lines.append(f" if message.HasField({field.name!r}):")
            lines.append(f"  value = message.{field.name}; out[{field.json_name!r}] = {result}")
        else:  # a float of -0.0 is set, though it is false
            zero = " or copysign(1, value) < 0" if field.cpp_type in _FLOATS and not field.is_repeated else ""
            when = "" if f"{descriptor.name}.{field.name}" in _SHOWN_AT_ZERO else f"if value{zero}: "
            lines.append(f" value = message.{field.name}")
            lines.append(f" {when}out[{field.json_name!r}] = {result}")
    lines.append(" return out")
    scope: dict[str, Any] = {**names, "copysign": copysign}
    exec("\n".join(lines), scope)  # noqa: S102 - the names in it are identifiers of our own descriptors, nothing a caller sent
    write: Convert = scope["write"]
    return write


def _convert(field: FieldDescriptor, enums_as_ints: bool) -> Convert | None:
    """What makes JSON of the field's value; None where the value is its own JSON."""
    one = _one(field, enums_as_ints)
    if not field.is_repeated:
        return one
    entry = field.message_type
    if entry is None or not entry.GetOptions().map_entry:
        return partial(_list, one)
    return _text_map


def _one(field: FieldDescriptor, enums_as_ints: bool) -> Convert | None:
    """`_convert` for a single element."""
    if field.message_type is not None:
        name = field.message_type.full_name
        if _reaches(field.message_type, name):  # not compiled yet: look it up when it runs
            return partial(_write, name, enums_as_ints)
        by_heart = field.message_type.name in _OFTEN_THE_SAME
        return partial(_remembering, name, enums_as_ints) if by_heart else writer(name, enums_as_ints)
    if field.enum_type is not None:
        return _enum(field.enum_type, enums_as_ints)
    if field.cpp_type in _INT64:
        return str
    if field.cpp_type in _FLOATS:
        return _float32 if field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT else _number
    return _base64 if field.type == FieldDescriptor.TYPE_BYTES else None


def _reaches(start: Any, full_name: str) -> bool:
    """Whether a message of type `start` can hold, at any depth, one of type `full_name`."""
    seen: set[str] = set()
    todo: list[Any] = [start]
    while todo:
        inner = [field.message_type for field in todo.pop().fields if field.message_type is not None]
        todo += [descriptor for descriptor in inner if descriptor.full_name not in seen]
        seen |= {descriptor.full_name for descriptor in inner}
    return full_name in seen


def _remembering(name: str, enums_as_ints: bool, message: Any) -> Any:
    wire = message.SerializeToString()
    return (
        _by_heart(name, enums_as_ints, wire)
        if len(wire) <= _LONGEST_REMEMBERED
        else writer(name, enums_as_ints)(message)
    )


@lru_cache(maxsize=_MOST_REMEMBERED)
def _by_heart(name: str, enums_as_ints: bool, wire: bytes) -> Any:
    """The JSON of a message in wire bytes. What this gives is only ever read, never changed."""
    return writer(name, enums_as_ints)(message_class(name).FromString(wire))


def forget() -> None:
    """Everything that is remembered of messages."""
    _by_heart.cache_clear()


def _write(full_name: str, enums_as_ints: bool, message: Any) -> Any:
    return writer(full_name, enums_as_ints)(message)


def _list(one: Convert | None, values: Any) -> list[Any]:
    return values[:] if one is None else [one(value) for value in values]


def _text_map(values: Any) -> dict[str, str]:
    return {key: values[key] for key in sorted(values)}  # all maps of the contract are of text, a test says


def _enum(enum: EnumDescriptor, enums_as_ints: bool) -> Convert | None:
    if enums_as_ints:
        return None
    names = {number: value.name for number, value in enum.values_by_number.items()}
    return lambda number: names.get(number, number)


def _base64(value: bytes) -> str:
    return b64encode(value).decode("ascii")


def _number(value: float) -> float | str:
    if isfinite(value):
        return value
    return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _float32(value: float) -> float | str:
    """The shortest number that reads back as the same 32-bit float."""
    if not isfinite(value):
        return _number(value)
    texts = (float(f"{value:.{digits}g}") for digits in (6, 7, 8, 9))  # nine digits always suffice
    return next(short for short in texts if struct.pack("<f", short) == struct.pack("<f", value))


# ------------------------------------------------------------------------------------------------- well-known types


def _duration(_: bool, message: Any) -> str:
    return write_duration(message.seconds, message.nanos)


def _timestamp(_: bool, message: Any) -> str:
    return write_timestamp(message.seconds, message.nanos)


def _field_mask(_: bool, message: Any) -> str:
    return ",".join(camel(path) for path in message.paths)


def _struct(enums_as_ints: bool, message: Any) -> dict[str, Any]:
    fields = message.fields
    return {key: _value(enums_as_ints, fields[key]) for key in sorted(fields)}


def _list_value(enums_as_ints: bool, message: Any) -> list[Any]:
    return [_value(enums_as_ints, value) for value in message.values]


def _value(enums_as_ints: bool, message: Any) -> Any:
    kind = message.WhichOneof("kind")
    if kind == "struct_value":
        return _struct(enums_as_ints, message.struct_value)
    if kind == "list_value":
        return _list_value(enums_as_ints, message.list_value)
    if kind == "number_value":
        return _number(message.number_value)
    return None if kind in (None, "null_value") else getattr(message, kind)


def _wrapper(_: bool, message: Any) -> Any:
    one = _one(message.DESCRIPTOR.fields_by_name["value"], False)
    return message.value if one is None else one(message.value)


def _any(enums_as_ints: bool, message: Any) -> dict[str, Any]:
    if not message.type_url:
        return {}
    name = message.type_url.rpartition("/")[2]
    try:
        content = message_class(name).FromString(message.value)
    except (KeyError, DecodeError):  # a type that only its sender knows: the bytes, rather than nothing
        return {"@type": message.type_url, "value": _base64(message.value)}
    body = writer(name, enums_as_ints)(content)
    return {"@type": message.type_url, **({"value": body} if name in SPECIAL else body)}


_SPECIAL: dict[str, Callable[[bool, Any], Any]] = {
    "google.protobuf.Any": _any,
    "google.protobuf.Duration": _duration,
    "google.protobuf.FieldMask": _field_mask,
    "google.protobuf.ListValue": _list_value,
    "google.protobuf.Struct": _struct,
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Value": _value,
    **{
        f"google.protobuf.{kind}Value": _wrapper
        for kind in ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
    },
}
SPECIAL = frozenset(_SPECIAL)
"""Message types whose JSON stands under `value` inside an Any."""
