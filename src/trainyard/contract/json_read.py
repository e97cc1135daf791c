"""JSON -> message by the rules of proto3 JSON: one reader per message type, compiled from its descriptor at first use.

A reader checks everything and collects every fault with its path; only a faultless value becomes a message, built in
one call from nested dictionaries. Readers refuse where leniency would be a guess: a field given in both spellings, two
members of a oneof.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, cached_property, partial
from typing import Any, NamedTuple

from google.protobuf.message import Message

from trainyard.contract.json_faults import Findings, JsonFaults, Path
from trainyard.contract.json_scalars import SCALARS, TYPE_NAMES, Scalar, read_enum, read_string
from trainyard.contract.json_text import Refused, read_duration, read_timestamp, snake
from trainyard.contract.json_write import SPECIAL
from trainyard.contract.pool import message_class

Deep = Callable[[Any, Path, Findings], Any]
"""Reads one value: keyword arguments of its message, or the message itself; worthless once a fault was added."""

MAX_DEPTH = 30  # of free JSON: one takes three messages, and protobuf nests a hundred


def parse(cls: type[Message], value: object, root_field: str = "") -> Message:
    """The message that `value` (as orjson.loads gives it) describes; raises JsonFaults with everything that is wrong.

    `root_field` is the request field that the value fills (`custom_job`), for the texts; empty for a whole request.
    """
    root: Path = (None, root_field) if root_field else None
    faults = Findings(root_field)
    result = reader(cls.DESCRIPTOR.full_name)(value, root, faults)
    if not faults:
        try:
            return cls(**result) if type(result) is dict else result
        except UnicodeEncodeError:  # a lone surrogate; looked for only now, because looking costs
            _find_surrogates(value, root, faults)
    raise JsonFaults(*faults)


@cache
def reader(full_name: str) -> Deep:
    """The reader of a message type of our pool."""
    return _SPECIAL.get(full_name) or Reader(full_name)


class Slot(NamedTuple):
    """How one JSON key is read: into which field, by a scalar reader or else by a deep one."""

    name: str
    scalar: Scalar | None
    deep: Deep | None
    oneof: str  # the oneof that it shares with other fields, or ""
    takes_null: bool
    type_text: str


class Reader:
    """Reads the JSON objects of one message type."""

    def __init__(self, full_name: str) -> None:
        self.full_name = full_name
        self.type_text = f"type.googleapis.com/{full_name}"

    @cached_property
    def slots(self) -> Mapping[str, Slot]:
        """By both spellings. Compiled late, so that a message may contain its own type."""
        fields = message_class(self.full_name).DESCRIPTOR.fields
        return {key: slot for field in fields for slot in (_slot(field),) for key in (field.name, field.json_name)}

    @cached_property
    def oneofs(self) -> Mapping[str, frozenset[str]]:
        """The members of each oneof."""
        oneofs = message_class(self.full_name).DESCRIPTOR.oneofs_by_name
        return {name: frozenset(field.name for field in oneof.fields) for name, oneof in oneofs.items()}

    def __call__(self, value: Any, path: Path, faults: Findings) -> dict[str, Any] | None:
        """Keyword arguments for the message class."""
        if type(value) is not dict:
            faults.add_invalid(path, self.type_text, value)
            return None
        out: dict[str, Any] = {}
        slot_of = self.slots.get
        for key, item in value.items():
            slot = slot_of(key) or _NOWHERE
            name, scalar, _, oneof, takes_null, _ = slot
            if scalar is read_string and type(item) is str and not oneof and name not in out:
                out[name] = item  # most fields of most requests; the rest would come to the same
            elif not name:
                faults.add_unknown(path, key)
            elif name in out:
                faults.add_unknown(path, key, "The field is given twice, in camelCase and in snake_case.")
            elif item is not None or takes_null:  # a null is an absent field
                out[name] = read_value(slot, item, (path, name), faults)
            if oneof and len(out.keys() & self.oneofs[oneof]) > 1:
                faults.add(path, f"(oneof), oneof field '{oneof}' is already set. Cannot set '{key}'")
        return out


_NOWHERE = Slot("", None, None, "", False, "")


def _slot(field: Any) -> Slot:
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        deep = partial(_map, element(entry.fields_by_name["value"]))
        return Slot(field.name, None, deep, "", False, "")
    one = element(field)
    if field.is_repeated:
        return Slot(field.name, None, partial(_list, one), "", False, "")
    oneof = field.containing_oneof
    return one._replace(oneof=oneof.name if oneof is not None and len(oneof.fields) > 1 else "")


def element(field: Any) -> Slot:
    """How one element of the field is read, or the field itself where it is not repeated."""
    if field.message_type is not None:
        name = field.message_type.full_name
        return Slot(field.name, None, reader(name), "", name == _VALUE, f"type.googleapis.com/{name}")
    if field.enum_type is not None:
        names = {name: value.number for name, value in field.enum_type.values_by_name.items()}
        text = f"type.googleapis.com/{field.enum_type.full_name}"
        return Slot(field.name, partial(read_enum, names), None, "", False, text)
    return Slot(field.name, SCALARS[field.type], None, "", False, TYPE_NAMES[field.type])


def _list(one: Slot, value: Any, path: Path, faults: Findings) -> list[Any] | None:
    if type(value) is not list:
        faults.add_invalid(path, f"repeated {one.type_text}", value)
        return None
    if one.scalar is read_string and set(map(type, value)) == {str}:
        return value  # the rest would give an equal list
    if one.deep is not None and (one.takes_null or None not in value):
        return [one.deep(item, (path, i), faults) for i, item in enumerate(value)]
    try:
        return [one.scalar(item) for item in value]  # type: ignore[misc]  # None is no reader: the TypeError below
    except (Refused, TypeError):  # a null among messages has no scalar reader
        return [read_value(one, item, (path, i), faults) for i, item in enumerate(value)]


def read_value(one: Slot, value: Any, path: Path, faults: Findings) -> Any:
    """One value; a null only where null is a value."""
    if one.deep is not None and (value is not None or one.takes_null):
        return one.deep(value, path, faults)
    try:
        if one.scalar is not None:
            return one.scalar(value)
    except Refused:
        pass
    faults.add_invalid(path, one.type_text, value)
    return None


def _map(one: Slot, value: Any, path: Path, faults: Findings) -> dict[str, Any] | None:
    """All maps of the contract are of text (a test says so); Google counts a map's entries in paths."""
    if type(value) is not dict:
        faults.add_invalid(path, f"map of {one.type_text}", value)
        return None
    return {key: read_value(one, item, ((path, i), "value"), faults) for i, (key, item) in enumerate(value.items())}


def _find_surrogates(value: object, path: Path, faults: Findings) -> None:
    if type(value) is dict:
        for key, item in value.items():
            _find_surrogates(key, path, faults)
            _find_surrogates(item, (path, snake(key)), faults)
    elif type(value) is list:
        for i, item in enumerate(value):
            _find_surrogates(item, (path, i), faults)
    elif type(value) is str and any("\ud800" <= letter <= "\udfff" for letter in value):
        faults.add_invalid(path, "TYPE_STRING", value)


# ------------------------------------------------------------------------------------------------- well-known types


def _text(full_name: str, read: Callable[[object], tuple[int, int]], value: Any, path: Path, faults: Findings) -> Any:
    """A Duration or a Timestamp."""
    try:
        seconds, nanos = read(value)
    except Refused:
        faults.add_invalid(path, f"type.googleapis.com/{full_name}", value)
        return None
    return {"seconds": seconds, "nanos": nanos}


def _field_mask(value: Any, path: Path, faults: Findings) -> Any:
    if type(value) is not str:
        faults.add_invalid(path, "type.googleapis.com/google.protobuf.FieldMask", value)
        return None
    return {"paths": [snake(part.strip()) for part in value.split(",")] if value else []}


def _wrapper(full_name: str, value: Any, path: Path, faults: Findings) -> Any:
    inner = element(message_class(full_name).DESCRIPTOR.fields_by_name["value"])
    return {"value": read_value(inner, value, path, faults)}


def _struct(value: Any, path: Path, faults: Findings) -> Any:
    struct: Any = message_class(_STRUCT)()
    if type(value) is not dict:
        faults.add_invalid(path, f"type.googleapis.com/{_STRUCT}", value)
        return struct
    for key, item in value.items():
        struct.fields[key].CopyFrom(_value(item, (path, key), faults))
    return struct


def _list_value(value: Any, path: Path, faults: Findings) -> Any:
    if type(value) is not list:
        faults.add_invalid(path, "type.googleapis.com/google.protobuf.ListValue", value)
        return None
    values = [_value(item, (path, i), faults) for i, item in enumerate(value)]
    return message_class("google.protobuf.ListValue")(values=values)


def _value(value: Any, path: Path, faults: Findings) -> Any:
    make: Any = message_class(_VALUE)
    if _too_deep(path):
        faults.add(path, f"nested deeper than {MAX_DEPTH} levels.")
    elif type(value) is dict:
        return make(struct_value=_struct(value, path, faults))
    elif type(value) is list:
        return make(list_value=_list_value(value, path, faults))
    elif type(value) is bool:
        return make(bool_value=value)
    elif type(value) is str:
        return make(string_value=value)
    elif value is not None:
        return make(number_value=value)
    return make(null_value=0)


def _too_deep(path: Path) -> bool:
    depth = 0
    while path is not None:
        path, depth = path[0], depth + 1
    return depth > MAX_DEPTH


def _any(value: Any, path: Path, faults: Findings) -> Any:
    if type(value) is not dict:
        faults.add_invalid(path, "type.googleapis.com/google.protobuf.Any", value)
        return None
    if not value:
        return {}
    content = _content_class(value.get("@type"), path, faults)
    if content is None or _too_deep(path):
        return None
    name = content.DESCRIPTOR.full_name
    rest = {key: item for key, item in value.items() if key != "@type"}
    if name in SPECIAL:
        for key in rest.keys() - {"value"}:
            faults.add_unknown(path, key)
        result = reader(name)(rest.get("value", {}), (path, "value"), faults)
    else:
        result = reader(name)(rest, path, faults)
    if faults:
        return None
    packed = content(**result) if type(result) is dict else result
    return {"type_url": value["@type"], "value": packed.SerializeToString(deterministic=True)}


def _content_class(type_url: Any, path: Path, faults: Findings) -> type[Message] | None:
    name = type_url.rpartition("/")[2] if type(type_url) is str and "/" in type_url else ""
    try:
        return message_class(name)
    except KeyError:
        faults.add_invalid((path, "@type"), "TYPE_STRING", type_url)
        return None


_VALUE, _STRUCT = "google.protobuf.Value", "google.protobuf.Struct"
_SPECIAL: Mapping[str, Deep] = {
    "google.protobuf.Any": _any,
    "google.protobuf.Duration": partial(_text, "google.protobuf.Duration", read_duration),
    "google.protobuf.FieldMask": _field_mask,
    "google.protobuf.ListValue": _list_value,
    "google.protobuf.Struct": _struct,
    "google.protobuf.Timestamp": partial(_text, "google.protobuf.Timestamp", read_timestamp),
    "google.protobuf.Value": _value,
    **{name: partial(_wrapper, name) for name in SPECIAL if name.endswith("Value") and name not in (
        _VALUE, "google.protobuf.ListValue")},
}  # fmt: skip
