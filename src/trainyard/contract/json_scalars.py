"""Scalars read from JSON: one reader per field type, which gives the field's value or raises Refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from math import inf, isinf, nan
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from trainyard.contract.json_text import Refused, read_bytes

Scalar = Callable[[Any], Any]

_INTEGER = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_MAX_FLOAT32 = 3.4028235677973362e38  # what is larger rounds to infinity
_WORDS = {"NaN": nan, "Infinity": inf, "-Infinity": -inf}


def read_string(value: Any) -> str:
    """A JSON string."""
    if type(value) is str:
        return value
    raise Refused


def read_bool(value: Any) -> bool:
    """JSON true or false."""
    if type(value) is bool:
        return value
    raise Refused


def read_integer(low: int, high: int, value: Any) -> Any:
    """A number without a fraction (3, 3.0, 3e2) or its text ("3")."""
    if type(value) is str and _INTEGER.fullmatch(value):
        value = int(value)
    elif type(value) is not int:
        number = read_float(inf, value)
        if not number.is_integer():  # NaN and the infinities are none either
            raise Refused
        value = int(number)
    if low <= value <= high:
        return value
    raise Refused


def read_float(largest: float, value: Any) -> float:
    """A number, its text, or one of the words NaN, Infinity, -Infinity; what would overflow to infinity is refused."""
    if type(value) is str:
        if value in _WORDS:
            return _WORDS[value]
        if not _NUMBER.fullmatch(value):
            raise Refused
        value = float(value)
    elif type(value) is not float and type(value) is not int:
        raise Refused
    try:
        number = float(value)
    except OverflowError:
        raise Refused from None
    if isinf(number) or abs(number) > largest:
        raise Refused
    return number


def read_enum(names: Mapping[str, int], value: Any) -> Any:
    """A name, or a number (as JSON or as text); numbers without a name are kept, as the wire keeps them."""
    if type(value) is str and value in names:
        return names[value]
    return read_integer(-(2**31), 2**31 - 1, value)


SCALARS: Mapping[int, Scalar] = {
    FieldDescriptor.TYPE_STRING: read_string,
    FieldDescriptor.TYPE_BYTES: read_bytes,
    FieldDescriptor.TYPE_BOOL: read_bool,
    FieldDescriptor.TYPE_DOUBLE: partial(read_float, inf),
    FieldDescriptor.TYPE_FLOAT: partial(read_float, _MAX_FLOAT32),
    **dict.fromkeys(
        (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_SINT32, FieldDescriptor.TYPE_SFIXED32),
        partial(read_integer, -(2**31), 2**31 - 1),
    ),
    **dict.fromkeys(
        (FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_SINT64, FieldDescriptor.TYPE_SFIXED64),
        partial(read_integer, -(2**63), 2**63 - 1),
    ),
    **dict.fromkeys((FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_FIXED32), partial(read_integer, 0, 2**32 - 1)),
    **dict.fromkeys((FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_FIXED64), partial(read_integer, 0, 2**64 - 1)),
}

TYPE_NAMES: Mapping[int, str] = {
    getattr(FieldDescriptor, name): name for name in dir(FieldDescriptor) if name.startswith("TYPE_")
}
