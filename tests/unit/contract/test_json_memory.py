"""Specs that are written by heart are written right."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format

from trainyard.contract import codec
from trainyard.contract.masks import mask_for
from trainyard.contract.pool import message_class

JOB: Any = message_class("google.cloud.aiplatform.v1beta1.CustomJob")


def job(argument: str, enable: bool = False) -> Any:
    pools = [{"replicaCount": "1", "containerSpec": {"imageUri": "host", "args": [argument]}}]
    return codec.parse(JOB, {"displayName": "j", "jobSpec": {"workerPoolSpecs": pools, "enableWebAccess": enable}})


def test_a_spec_written_before_is_written_the_same() -> None:
    """The second time as the first, and as the reference writes it; another spec in between is its own."""
    for argument in ("a", "b", "a", "x" * 10_000, "x" * 10_000):
        assert codec.render(job(argument)) == json_format.MessageToDict(job(argument))


def test_a_mask_takes_nothing_from_what_is_remembered() -> None:
    """An answer that was cut down leaves the next one whole."""
    whole = codec.render(job("m"))
    assert mask_for("displayName,jobSpec.enableWebAccess", JOB).of_json(codec.render(job("m", enable=True))) == {
        "displayName": "j",
        "jobSpec": {"enableWebAccess": True},
    }
    assert mask_for("displayName", JOB).of_json(whole) == {"displayName": "j"}
    assert codec.render(job("m")) == json_format.MessageToDict(job("m"))


def test_enums_as_numbers_and_as_names_are_two_memories() -> None:
    """Whoever asks for numbers does not get the names that another one asked for."""
    pools = [{"machineSpec": {"acceleratorType": "NVIDIA_TESLA_T4", "acceleratorCount": 1}}]
    message = codec.parse(JOB, {"jobSpec": {"workerPoolSpecs": pools}})
    names, numbers = codec.render(message), codec.render(message, enums_as_ints=True)
    assert names["jobSpec"]["workerPoolSpecs"][0]["machineSpec"]["acceleratorType"] == "NVIDIA_TESLA_T4"
    assert isinstance(numbers["jobSpec"]["workerPoolSpecs"][0]["machineSpec"]["acceleratorType"], int)
