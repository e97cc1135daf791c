"""Our codec against google.protobuf.json_format, over every message that a CustomJob or a NasJob request can hold."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainyard.contract import codec
from trainyard.contract.pool import message_class, pool

API = "google.cloud.aiplatform.{v}."
ROOTS = (
    *(API.format(v=v) + name for v in ("v1", "v1beta1") for name in (
        "CustomJob", "NasJob", "NasTrialDetail", "ListCustomJobsRequest", "ListNasJobsResponse",
        "DeleteOperationMetadata")),
    "google.longrunning.Operation", "google.longrunning.WaitOperationRequest", "google.cloud.location.Location",
    "google.iam.v1.SetIamPolicyRequest", "google.rpc.BadRequest", "google.protobuf.Struct", "google.protobuf.Value",
    "google.protobuf.ListValue", "google.protobuf.DoubleValue", "google.protobuf.FloatValue",
    "google.protobuf.BytesValue", "google.protobuf.UInt64Value", "google.protobuf.FieldMask",
)  # fmt: skip
IN_ANY = (
    "google.rpc.ErrorInfo",
    "google.rpc.BadRequest",
    "google.protobuf.Duration",
    "google.protobuf.Empty",
    "google.protobuf.Struct",
    "google.cloud.aiplatform.v1.DeleteOperationMetadata",
    "google.rpc.RetryInfo",
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
INTEGERS = {
    "int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1), "int64": (-(2**63), 2**63 - 1), "uint64": (0, 2**64 - 1),
}  # fmt: skip
TYPES = {
    1: "double", 2: "float", 3: "int64", 4: "uint64", 5: "int32", 8: "bool", 9: "string", 12: "bytes", 13: "uint32",
}  # fmt: skip


def reached(full_name: str) -> dict[str, Any]:
    """Every message type below one, with itself."""
    found: dict[str, Any] = {}
    todo: list[Any] = [message_class(full_name).DESCRIPTOR]
    while todo:
        descriptor = todo.pop()
        if descriptor.full_name not in found:
            found[descriptor.full_name] = descriptor
            todo += [field.message_type for field in descriptor.fields if field.message_type is not None]
    return found


def one_nan(value: float) -> float:
    """JSON knows one NaN only; IEEE 754 knows millions."""
    return math.nan if math.isnan(value) else value


def scalar(field: Any) -> st.SearchStrategy[Any]:
    if field.enum_type is not None:
        return st.sampled_from([*field.enum_type.values_by_number, 4711])
    kind = TYPES[field.type]
    if kind in INTEGERS:
        low, high = INTEGERS[kind]
        return st.integers(max(low, -2), 2) | st.integers(low, high)
    return {
        "string": TEXT,
        "bytes": st.binary(max_size=5),
        "bool": st.booleans(),
        "double": st.floats().map(one_nan),
        # json_format refuses its own text of the largest float.
        "float": st.floats(width=32).filter(lambda value: not 3e38 < abs(value) < 4e38).map(one_nan),
    }[kind]


@st.composite
def messages(draw: st.DrawFn, full_name: str, depth: int = 4) -> Any:
    """Any message of this type that has a JSON form."""
    cls: Any = message_class(full_name)
    short = full_name.rpartition(".")[2]
    if full_name == "google.protobuf.Any":
        inner = draw(messages(draw(st.sampled_from(IN_ANY)), depth - 2))
        packed = inner.SerializeToString(deterministic=True)
        return cls(type_url=f"type.googleapis.com/{inner.DESCRIPTOR.full_name}", value=packed)
    if full_name == "google.protobuf.Timestamp":
        return cls(seconds=draw(st.integers(-62135596800, 253402300799)), nanos=draw(st.integers(0, 999999999)))
    if full_name == "google.protobuf.Duration":
        total = draw(st.integers(-(10**18), 10**18))
        sign = -1 if total < 0 else 1
        return cls(seconds=sign * (abs(total) // 10**9), nanos=sign * (abs(total) % 10**9))
    if full_name == "google.protobuf.FieldMask":
        return cls(paths=draw(st.lists(st.from_regex(r"[a-z]+(_[a-z]+)?(\.[a-z]+)?", fullmatch=True), max_size=3)))
    if full_name == "google.protobuf.Value":
        json_like = st.one_of(st.none(), st.booleans(), TEXT, st.floats(allow_nan=False, allow_infinity=False))
        inside = st.recursive(
            json_like, lambda x: st.lists(x, max_size=2) | st.dictionaries(TEXT, x, max_size=2), max_leaves=4
        )
        return json_format.ParseDict(draw(inside), cls(), descriptor_pool=pool())
    message = cls()
    for field in cls.DESCRIPTOR.fields:
        if not (short.endswith("Value") or draw(st.booleans())) or (field.message_type is not None and depth <= 0):
            continue
        _fill(draw, message, field, depth)
    return message


def _fill(draw: st.DrawFn, message: Any, field: Any, depth: int) -> None:
    inner = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        value = inner.fields_by_name["value"]
        for key in draw(st.lists(TEXT, max_size=2)):
            target = getattr(message, field.name)
            if value.message_type is not None:
                target[key].CopyFrom(draw(messages(value.message_type.full_name, depth - 1)))
            else:
                target[key] = draw(scalar(value))
    elif inner is not None and field.is_repeated:
        getattr(message, field.name).extend(draw(st.lists(messages(inner.full_name, depth - 1), max_size=2)))
    elif inner is not None:
        getattr(message, field.name).CopyFrom(draw(messages(inner.full_name, depth - 1)))
    elif field.is_repeated:
        getattr(message, field.name).extend(draw(st.lists(scalar(field), max_size=2)))
    else:
        setattr(message, field.name, draw(scalar(field)))


def same(one: Any, other: Any) -> bool:
    """Equal on the wire: == would call NaN unequal to itself."""
    return one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)


def with_measured_zeros(value: Any) -> Any:
    """The one thing that ours shows and json_format leaves out: a measurement's value of 0."""
    if isinstance(value, list):
        return [with_measured_zeros(each) for each in value]
    if not isinstance(value, dict):
        return value
    for metric in value.get("metrics", ()):
        metric.setdefault("value", 0.0)
    return {key: with_measured_zeros(each) for key, each in value.items()}


@pytest.mark.parametrize("full_name", ROOTS)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_it_writes_what_json_format_writes(full_name: str, data: st.DataObject) -> None:
    """Rendered JSON is equal to json_format's, with enum names and with enum numbers, and comes back as the message."""
    message = data.draw(messages(full_name))
    for ints in (False, True):
        expected = json_format.MessageToDict(message, descriptor_pool=pool(), use_integers_for_enums=ints)
        if full_name.endswith((".NasJob", ".NasTrialDetail")):
            expected = with_measured_zeros(expected)
        ours = codec.render(message, enums_as_ints=ints)
        assert json.dumps(ours, sort_keys=True) == json.dumps(expected, sort_keys=True)
        assert same(codec.parse(type(message), ours), message)
    read = json_format.Parse(codec.render_bytes(message), type(message)(), descriptor_pool=pool())
    assert json.dumps(codec.render(read)) == json.dumps(codec.render(message))


ODDITIES = (
    0, 1, -1, 1.0, 2**31, -(2**31) - 1, 2**32, 2**63, -(2**63) - 1, 2**64, 1e300, "", "x", "1", "-5", "1.0", "1e2",
    "NaN", "-Infinity", "3.5s", "-3.5s", "3.s", "5", "s", "315576000001s", "1.0000000001 s", "2026-01-01T00:00:00Z",
    "2026-02-30T00:00:00Z", "2026-01-01T00:00:00.123+01:30", "2026-01-01T00:00:00", "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59-01:00", "2026-01-01 00:00:00Z", "2026-01-01T24:00:00Z", "JOB_STATE_RUNNING", "SPOT", "spot",
    "YQ==", [], {}, [None], [1], ["a"], [{}], [[]], {"a": "b"}, {"a": 1}, {"a": None}, {"foo": 1},
    {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"}, {"@type": "nope"}, None, True, 1.5,
)  # fmt: skip


def test_it_judges_every_field_as_json_format_does() -> None:
    """Each odd value in each field is refused by both or read by both as the same; a table says where we differ."""
    types = {name: found for root in ROOTS for name, found in reached(root).items()}
    for name, found in types.items():
        if name.startswith("google.protobuf.") or found.GetOptions().map_entry:
            continue
        cls: Any = message_class(name)
        for field in cls.DESCRIPTOR.fields:
            for oddity in ODDITIES:
                value = {field.json_name: oddity}
                ours, theirs = verdict(cls, value, True), verdict(cls, value, False)
                if ours != theirs:
                    assert (kind_of(field), repr(oddity)) in DIFFERENCES, (name, field.name, oddity, ours, theirs)


DIFFERENCES = {
    # Refused by us: json_format takes whatever is empty for an empty message …
    ("message", "''"), ("message", "[]"), ("message", "[[]]"),
    # … any number or truth for an enum (even 2**32, as 0), and true for 1.0 …
    ("enum", "4294967296"), ("enum", "True"), ("enum", "1.5"), ("double", "True"),
    # … durations with a point and no digits, or with a blank and ten digits …
    ("google.protobuf.Duration", "'3.s'"), ("google.protobuf.Duration", "'1.0000000001 s'"),
    # … and skips what is not base64.
    *(("bytes", repr(text)) for text in (
        "3.5s", "-3.5s", "1.0000000001 s", "2026-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59-01:00", "2026-01-01T24:00:00Z")),
    # Read by us: enum numbers as any other number's text, and masks in snake_case (the mask itself is checked later).
    ("enum", "'1.0'"), ("enum", "'1e2'"), ("google.protobuf.FieldMask", "'JOB_STATE_RUNNING'"),
}  # fmt: skip


def kind_of(field: Any) -> str:
    if field.message_type is None:
        return "enum" if field.enum_type is not None else TYPES[field.type]
    name: str = field.message_type.full_name
    return name if name.startswith("google.protobuf.") else "message"


def verdict(cls: Any, value: Any, ours: bool) -> Any:
    refusals = (codec.JsonFaults,) if ours else (json_format.ParseError, TypeError, ValueError)
    try:
        message = codec.parse(cls, value) if ours else json_format.ParseDict(value, cls(), descriptor_pool=pool())
    except refusals:
        return "refused"
    return message.SerializeToString(deterministic=True)
