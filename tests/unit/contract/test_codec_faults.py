"""What the codec says about requests that are wrong: every fault, each with its path, in Google's wording."""

from __future__ import annotations

from typing import Any

import pytest

from trainyard.contract import codec
from trainyard.contract.pool import message_class

JOB = message_class("google.cloud.aiplatform.v1.CustomJob")
UNKNOWN = "Invalid JSON payload received. Unknown name"


def faults(value: Any, cls: Any = JOB, root: str = "custom_job") -> list[tuple[str, str]]:
    with pytest.raises(codec.JsonFaults) as caught:
        codec.parse(cls, value, root)
    return [(fault.path, fault.description) for fault in caught.value.faults]


def test_every_fault_of_a_request_is_told_at_once() -> None:
    """One bad field does not hide the next, at whatever depth."""
    pools = [{"replicaCount": "x"}, {"machineSpec": {"acceleratorType": "TPU_V9"}}, 3, None]
    spec = {"workerPoolSpecs": pools, "models": ["a", 1]}
    found = faults({"displayName": 5, "labels": {"a": 1}, "jobSpec": spec})
    at, api = "custom_job.job_spec.worker_pool_specs", "type.googleapis.com/google.cloud.aiplatform.v1"
    assert found == [
        ("display_name", "Invalid value at 'custom_job.display_name' (TYPE_STRING), 5"),
        ("labels[0].value", "Invalid value at 'custom_job.labels[0].value' (TYPE_STRING), 1"),
        (
            "job_spec.worker_pool_specs[0].replica_count",
            f"Invalid value at '{at}[0].replica_count' (TYPE_INT64), \"x\"",
        ),
        (
            "job_spec.worker_pool_specs[1].machine_spec.accelerator_type",
            f"Invalid value at '{at}[1].machine_spec.accelerator_type' ({api}.AcceleratorType), \"TPU_V9\"",
        ),
        ("job_spec.worker_pool_specs[2]", f"Invalid value at '{at}[2]' ({api}.WorkerPoolSpec), 3"),
        ("job_spec.worker_pool_specs[3]", f"Invalid value at '{at}[3]' ({api}.WorkerPoolSpec), null"),
        ("job_spec.models[1]", "Invalid value at 'custom_job.job_spec.models[1]' (TYPE_STRING), 1"),
    ]


def test_an_unknown_name_is_reported_at_the_message_that_lacks_it() -> None:
    """The field of the violation is the parent, as Google's front end has it; the name is in the text."""
    assert faults({"foo": 1}) == [("", f"{UNKNOWN} \"foo\" at 'custom_job': Cannot find field.")]
    inner = f"{UNKNOWN} \"foo\" at 'custom_job.job_spec': Cannot find field."
    assert faults({"jobSpec": {"foo": 1}}) == [("job_spec", inner)]
    assert faults({"foo": 1}, root="") == [("", f'{UNKNOWN} "foo": Cannot find field.')]
    assert faults({"{at}": 1}) == [("", f"{UNKNOWN} \"{{at}}\" at 'custom_job': Cannot find field.")]


def test_a_duration_without_its_unit_is_refused_with_its_type() -> None:
    """Case 8 of the contract: timeout "5"."""
    ((path, text),) = faults({"jobSpec": {"scheduling": {"timeout": "5"}}})
    assert path == "job_spec.scheduling.timeout"
    assert text == f"Invalid value at 'custom_job.{path}' (type.googleapis.com/google.protobuf.Duration), \"5\""


def test_two_members_of_a_oneof_are_refused() -> None:
    """Case 13 of the contract: a pool is a container or a Python package, not both; null is neither."""
    both = {"containerSpec": {}, "pythonPackageSpec": {}}
    at = "job_spec.worker_pool_specs[0]"
    why = "(oneof), oneof field 'task' is already set. Cannot set 'pythonPackageSpec'"
    assert faults({"jobSpec": {"workerPoolSpecs": [both]}}) == [(at, f"Invalid value at 'custom_job.{at}' {why}")]
    codec.parse(JOB, {"jobSpec": {"workerPoolSpecs": [{"containerSpec": None, "pythonPackageSpec": {}}]}})


def test_a_field_in_both_spellings_is_refused() -> None:
    """Nobody could say which one was meant."""
    ((path, text),) = faults({"displayName": "a", "display_name": "b"})
    assert path == ""
    assert '"display_name"' in text
    assert "twice" in text


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"displayName": "\ud800"}, "display_name"),
        ({"labels": {"\udfff": "a"}}, "labels"),
        ({"jobSpec": {"reservedIpRanges": ["a", "\ud800"]}}, "job_spec.reserved_ip_ranges[1]"),
    ],
)
def test_a_lone_surrogate_is_no_text(value: Any, path: str) -> None:
    """It cannot be written as UTF-8, so it is refused where it stands."""
    assert [fault[0] for fault in faults(value)] == [path]


def test_a_value_that_is_no_object_is_refused() -> None:
    """With the root field's name where there is one, else in Google's words for a whole request."""
    name = "google.cloud.aiplatform.v1.CustomJob"
    assert faults([1]) == [("", f"Invalid value at 'custom_job' (type.googleapis.com/{name}), [1]")]
    assert faults("x", root="") == [("", f'{UNKNOWN} "": Root element must be a message.')]


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": \xff}', b'"\\ud800"', b"[" * 5000, b"NaN", b"1 2"])
def test_what_is_no_json_is_one_fault(body: bytes) -> None:
    """Bad UTF-8, endless nesting and half an object all give one sentence, never a crash."""
    with pytest.raises(codec.JsonFaults, match="Invalid JSON payload received") as caught:
        codec.parse_bytes(JOB, body)
    assert len(caught.value.faults) == 1


def test_a_long_value_is_cut_in_the_text_about_it() -> None:
    """An answer must not be as long as the request that it refuses."""
    ((_, text),) = faults({"displayName": ["x" * 10_000]})
    assert len(text) < 300


def test_lists_and_maps_must_be_lists_and_maps() -> None:
    """A single value for a repeated field is refused, not wrapped."""
    found = faults({"labels": ["a"], "jobSpec": {"workerPoolSpecs": {}, "models": "m"}})
    assert [path for path, _ in found] == ["labels", "job_spec.worker_pool_specs", "job_spec.models"]


def test_any_names_a_type_that_there_is() -> None:
    """Faults inside an Any have paths, too."""
    status: Any = message_class("google.rpc.Status")
    info = "type.googleapis.com/google.rpc.ErrorInfo"
    duration = "type.googleapis.com/google.protobuf.Duration"
    details = [{"@type": info, "foo": 1}, {"@type": "nope"}, {"x": 1}, {"@type": duration, "value": 1}]
    found = faults({"details": [*details, {"@type": duration, "x": 1}, 7]}, status, "")
    assert [path for path, _ in found] == [
        "details[0]", "details[1].@type", "details[2].@type", "details[3].value", "details[4]", "details[4].value",
        "details[5]",
    ]  # fmt: skip


def test_free_json_has_a_floor() -> None:
    """Struct and Value are read to a depth of a hundred and not further."""
    value: Any = 1
    for _ in range(200):
        value = [value]
    found = faults(value, message_class("google.protobuf.Value"), "")
    assert len(found) == 1
    assert "deeper than 30" in found[0][1]
    assert faults({"a": 1}, message_class("google.protobuf.ListValue"), "x")
    assert faults([], message_class("google.protobuf.Struct"), "x")
    assert faults(5, message_class("google.protobuf.FieldMask"), "x")


def test_an_any_of_unknown_type_is_written_with_its_bytes() -> None:
    """A stored message can always be shown."""
    any_class: Any = message_class("google.protobuf.Any")
    message = any_class(type_url="type.googleapis.com/not.Known", value=b"\x01")
    assert codec.render(message) == {"@type": "type.googleapis.com/not.Known", "value": "AQ=="}
    assert codec.render(any_class()) == {}
    assert codec.parse(any_class, {}) == any_class()


def test_what_the_wire_lets_through_can_be_written() -> None:
    """Durations and times out of range, enum numbers without a name, -0.0 and NaN: written, not raised."""
    job: Any = message_class("google.cloud.aiplatform.v1.CustomJob")
    message = job(state=99, create_time={"seconds": 10**15}, update_time={"seconds": -(10**15), "nanos": -1})
    message.job_spec.scheduling.timeout.seconds, message.job_spec.scheduling.timeout.nanos = 1, -500_000_000
    assert codec.render(message) == {
        "state": 99,
        "createTime": "9999-12-31T23:59:59Z",
        "updateTime": "0001-01-01T00:00:00.999999999Z",
        "jobSpec": {"scheduling": {"timeout": "0.500s"}},
    }
    metric: Any = message_class("google.cloud.aiplatform.v1.Measurement.Metric")
    assert codec.render_bytes(metric(value=-0.0)) == b'{"value":-0.0}'
    assert codec.render(metric(value=float("nan"))) == {"value": "NaN"}
    struct: Any = message_class("google.protobuf.Value")
    assert codec.render(struct(number_value=float("inf"))) == "Infinity"


def test_a_message_may_contain_its_own_type() -> None:
    """Recursive types are compiled, too: one may arrive inside an Any."""
    rule: Any = message_class("google.api.HttpRule")
    value = {"get": "/a", "additionalBindings": [{"post": "/b", "additionalBindings": [{"get": "/c"}]}]}
    assert codec.render(codec.parse(rule, value)) == value


def test_pretty_is_indented_and_ends_with_a_newline() -> None:
    """What a person reads in a terminal."""
    message = codec.parse(JOB, {"displayName": "ä", "labels": {"b": "1", "a": "2"}})
    assert codec.render_bytes(message) == '{"displayName":"ä","labels":{"a":"2","b":"1"}}'.encode()
    assert codec.render_bytes(message, pretty=True).startswith(b'{\n  "displayName"')
    assert codec.render_bytes(message, pretty=True).endswith(b"}\n")
