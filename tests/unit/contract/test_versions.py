"""Between v1, v1beta1 and the stored version."""

from __future__ import annotations

from typing import Any

from trainyard.contract.operations import enums, messages, versioned
from trainyard.contract.pool import STORED_VERSION, message_class
from trainyard.contract.versions import narrow, widen

V1: Any = message_class("google.cloud.aiplatform.v1.CustomJob")
V1BETA1: Any = message_class("google.cloud.aiplatform.v1beta1.CustomJob")
POOL = {"machine_spec": {"machine_type": "m", "min_gpu_driver_version": "5"}}


def test_the_stored_version_contains_the_others() -> None:
    """Every field of v1 is in v1beta1 with the same number, type and label: wire bytes may be kept once."""
    for name in (name for name in messages() if "{v}" in name):
        narrower: Any = message_class(versioned(name, "v1")).DESCRIPTOR
        wider: Any = message_class(versioned(name, STORED_VERSION)).DESCRIPTOR
        for field in narrower.fields:
            twin = wider.fields_by_name[field.name]
            assert (field.number, field.type) == (twin.number, twin.type), field.full_name
            assert field.is_repeated == twin.is_repeated, field.full_name
            if field.message_type is not None:
                assert field.message_type.full_name.replace(".v1.", ".v1beta1.") == twin.message_type.full_name


def test_the_book_says_what_only_v1beta1_has() -> None:
    """Two fields of MachineSpec, as the two discovery documents differ."""
    only = [(name.rpartition(".")[2], field.name) for name, message in messages().items() for field in message.fields
            if field.versions == ("v1beta1",)]  # fmt: skip
    assert sorted(only) == [("MachineSpec", "min_gpu_driver_version"), ("MachineSpec", "multihost_gpu_node_count")]
    assert [value.name for value in enums()["google.cloud.aiplatform.{v}.JobState"].values][3] == "JOB_STATE_RUNNING"


def test_widening_and_narrowing_keep_what_both_versions_have() -> None:
    """And narrowing drops what only the wider one has, also on the wire."""
    stored = V1BETA1(display_name="x", job_spec={"worker_pool_specs": [POOL]})
    narrowed = narrow(stored, "v1")
    assert narrowed == V1(display_name="x", job_spec={"worker_pool_specs": [{"machine_spec": {"machine_type": "m"}}]})
    assert b"5" not in narrowed.SerializeToString()
    assert widen(narrowed) == V1BETA1(
        display_name="x", job_spec={"worker_pool_specs": [{"machine_spec": {"machine_type": "m"}}]}
    )
    assert narrow(stored, "v1beta1") is stored
    assert narrow(stored, "ui") is stored


def test_an_unknown_field_does_not_come_to_life_by_widening() -> None:
    """A v1 caller cannot smuggle in a v1beta1 field as unknown bytes."""
    smuggled = V1.FromString(V1BETA1(job_spec={"worker_pool_specs": [POOL]}).SerializeToString())
    machine = widen(smuggled).job_spec.worker_pool_specs[0].machine_spec
    assert machine.min_gpu_driver_version == ""
    assert machine.machine_type == "m"


def test_the_types_inside_an_operation_follow_the_version() -> None:
    """DeleteOperationMetadata of the version that the caller speaks; Empty stays Empty."""
    operation: Any = message_class("google.longrunning.Operation")()
    metadata: Any = message_class("google.cloud.aiplatform.v1beta1.DeleteOperationMetadata")
    operation.metadata.Pack(metadata(generic_metadata={"create_time": {"seconds": 5}}))
    operation.response.Pack(message_class("google.protobuf.Empty")())
    narrowed: Any = narrow(operation, "v1")
    assert narrowed.metadata.type_url == "type.googleapis.com/google.cloud.aiplatform.v1.DeleteOperationMetadata"
    content: Any = message_class("google.cloud.aiplatform.v1.DeleteOperationMetadata")()
    narrowed.metadata.Unpack(content)
    assert content.generic_metadata.create_time.seconds == 5
    assert narrowed.response.type_url == "type.googleapis.com/google.protobuf.Empty"
    assert narrow(narrowed, "v1beta1") == operation
    answer: Any = message_class("google.longrunning.ListOperationsResponse")(operations=[operation])
    assert narrow(answer, "v1").operations[0] == narrowed
