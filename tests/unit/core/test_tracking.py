"""What a tracked job is called and told of: the same for the same job, and nobody else's."""

from __future__ import annotations

from dataclasses import replace

from trainyard.core.jobs import Parentage
from trainyard.core.runs import RunGroup
from trainyard.core.tracking import names, parameters
from trainyard.core.trials import Stage
from trainyard.testing.builders import plain_job

CONTEXT = "projects/p/locations/l/metadataStores/default/contexts/"


def test_names_are_those_of_the_spec() -> None:
    """The id of the context; the run without its experiment; job-ID where none is given; each trial has its own."""
    job = plain_job(5)
    assert names(job, f"{CONTEXT}digits", f"{CONTEXT}digits-first") == ("digits", "first")
    assert names(job, f"{CONTEXT}digits", "") == ("digits", f"job-{job.id}")
    assert names(job, "", f"{CONTEXT}alone") == ("Default", "alone")
    trial = replace(job, parent=Parentage(7, Stage.SEARCH, 3))
    assert names(trial, f"{CONTEXT}digits", f"{CONTEXT}digits-first") == ("digits", "first-search-3")


def test_parameters_tell_labels_and_pools() -> None:
    """Machine, accelerator, size, image, module and arguments of each pool, as far as they are given."""
    job = replace(plain_job(5), labels={"team": "vision"})
    spec = (
        '{"workerPoolSpecs": [{"machineSpec": {"machineType": "n1-standard-4", "acceleratorType": "NVIDIA_TESLA_T4",'
        '"acceleratorCount": 2}, "replicaCount": "3", "containerSpec": {"imageUri": "img", "args": ["--lr", "a b"]}},'
        '{}, {"pythonPackageSpec": {"executorImageUri": "ex", "pythonModule": "m"}}]}'
    )
    group = RunGroup(f"{job.id}-1", str(job.name), job.id, "1", "l", (), spec)
    assert parameters(job, group) == {
        "label.team": "vision",
        "workerpool0.machineType": "n1-standard-4",
        "workerpool0.accelerator": "2 x NVIDIA_TESLA_T4",
        "workerpool0.replicaCount": "3",
        "workerpool0.imageUri": "img",
        "workerpool0.args": "--lr 'a b'",
        "workerpool2.replicaCount": "1",
        "workerpool2.imageUri": "ex",
        "workerpool2.pythonModule": "m",
    }
    assert parameters(replace(job, labels={}), replace(group, job_spec_json="")) == {}
