"""The catalogue of machine types: what is in one, and what fits it."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format

from trainyard.contract.pool import API_PACKAGE, STORED_VERSION, message_class
from trainyard.core.runs import Places, Resources
from trainyard.kinds.machines import Machines, Reservation
from trainyard.kinds.worker_pools import resources_of

MACHINES = Machines.known()
GIB = 2**30


@pytest.mark.parametrize(
    ("name", "cpus", "gib", "accelerator", "count"),
    [
        ("n1-standard-4", 4, 15, "", 0),
        ("n1-highmem-96", 96, 624, "", 0),
        ("e2-highcpu-16", 16, 16, "", 0),
        ("c2-standard-60", 60, 240, "", 0),
        ("m1-ultramem-160", 160, 3844, "", 0),
        ("a2-megagpu-16g", 96, 1360, "NVIDIA_TESLA_A100", 16),
        ("a2-ultragpu-4g", 48, 680, "NVIDIA_A100_80GB", 4),
        ("a3-highgpu-8g", 208, 1872, "NVIDIA_H100_80GB", 8),
        ("a3-megagpu-8g", 208, 1872, "NVIDIA_H100_MEGA_80GB", 8),
        ("a3-ultragpu-8g", 224, 2952, "NVIDIA_H200_141GB", 8),
        ("a4-highgpu-8g", 224, 3968, "NVIDIA_B200", 8),
        ("a4x-highgpu-4g", 140, 884, "NVIDIA_GB200", 4),
        ("g2-standard-24", 24, 96, "NVIDIA_L4", 2),
        ("g4-standard-384", 384, 1440, "NVIDIA_RTX_PRO_6000", 8),
    ],
)
def test_what_is_in_a_machine(name: str, cpus: int, gib: int, accelerator: str, count: int) -> None:
    """vCPUs, memory and built-in accelerators are the documented ones."""
    machine = MACHINES.find(name)
    assert machine is not None
    assert (machine.cpus, machine.memory_bytes, machine.accelerator, machine.count) == (
        cpus,
        gib * GIB,
        accelerator,
        count,
    )


@pytest.mark.parametrize(
    ("name", "accelerator", "counts"),
    [
        ("n1-standard-16", "NVIDIA_TESLA_T4", (1, 2, 4)),
        ("n1-standard-16", "NVIDIA_TESLA_V100", (1, 2, 4, 8)),
        ("n1-standard-32", "NVIDIA_TESLA_P100", (2, 4)),
        ("n1-highcpu-64", "NVIDIA_TESLA_P4", (4,)),
        ("n1-standard-96", "NVIDIA_TESLA_V100", (8,)),
        ("a2-highgpu-2g", "NVIDIA_TESLA_A100", (2,)),
    ],
)
def test_how_many_accelerators_fit(name: str, accelerator: str, counts: tuple[int, ...]) -> None:
    """Accelerators fit in the documented numbers only."""
    machine = MACHINES.find(name)
    assert machine is not None
    assert machine.fits[accelerator] == counts


def test_only_n1_takes_accelerators_that_it_does_not_have() -> None:
    """GPUs can be attached to N1 machines; all others have theirs built in or none (TPUs apart)."""
    for machine in MACHINES:
        attached = set(machine.fits) - {machine.accelerator}
        assert not attached or machine.is_tpu or machine.name.startswith("n1-"), machine.name


def test_every_accelerator_is_one_of_the_contract() -> None:
    """The catalogue and the API call accelerators by the same names; the K80 fits nothing any more."""
    spec = message_class(f"{API_PACKAGE}.{STORED_VERSION}.MachineSpec").DESCRIPTOR
    known = {value.name for value in spec.fields_by_name["accelerator_type"].enum_type.values}
    named = {accelerator for machine in MACHINES for accelerator in machine.fits}
    assert named <= known
    assert known - named == {"ACCELERATOR_TYPE_UNSPECIFIED", "NVIDIA_TESLA_K80"}


def test_what_is_not_in_the_catalogue_is_not_found() -> None:
    """An unknown name has no machine, also where any name passes."""
    assert MACHINES.find("q9-huge-3") is None
    assert Machines.known(allow_any=True).find("q9-huge-3") is None


def affinity(*values: str) -> Any:
    kind: Any = message_class(f"{API_PACKAGE}.{STORED_VERSION}.MachineSpec")
    spec = kind(machine_type="n1-standard-4")
    spec.reservation_affinity.values.extend(values)
    return spec


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ((), ""),
        (("projects/p/zones/z/reservations/a",), "a"),
        (("projects/p/zones/z/reservations/x", "projects/p/zones/z/reservations/b"), "b"),
        (("projects/p/zones/z/reservations/x",), ""),
    ],
)
def test_replicas_are_of_the_first_reservation_that_is_here(values: tuple[str, ...], name: str) -> None:
    """Of several that a machine names; a server without reservations knows none."""
    machines = Machines.known(reservations=[Reservation(Places(each, 1)) for each in ("a", "b")])
    assert resources_of(affinity(*values), machines).reservation == name
    assert resources_of(affinity(*values), Machines.known()).reservation == ""


SHARES = (
    Reservation(Places("any", 2)),
    Reservation(Places("gpu", 1, Resources(gpus=1))),
    Reservation(Places("small", 1), "n1-standard-4"),
    Reservation(Places("t4", 1, Resources(gpus=1)), "n1-standard-4"),
)
T4 = {"acceleratorType": "NVIDIA_TESLA_T4", "acceleratorCount": 1}


@pytest.mark.parametrize(
    ("asked", "shares"),
    [
        ({"machineType": "n1-standard-4"}, ("small", "any")),
        ({"machineType": "n1-standard-4", **T4}, ("t4", "gpu", "any")),
        ({"machineType": "n1-standard-8"}, ("any",)),
        ({"machineType": "n1-standard-8", **T4}, ("gpu", "any")),
        ({"machineType": "a2-highgpu-1g"}, ("gpu", "any")),
        ({"machineType": "a2-highgpu-2g"}, ("any",)),
    ],
)
def test_any_reservation_takes_those_that_suit(asked: dict[str, Any], shares: tuple[str, ...]) -> None:
    """By machine type and number of GPUs, those that nobody else could take first; without that type, none."""
    machines = Machines.known(reservations=SHARES)
    spec = json_format.ParseDict(asked, affinity())
    assert resources_of(spec, machines).any_of == ()
    spec.reservation_affinity.reservation_affinity_type = 2  # ANY_RESERVATION
    assert resources_of(spec, machines).any_of == shares
    assert resources_of(spec, Machines.known()).any_of == ()


def test_of_several_named_the_one_that_suits_is_taken() -> None:
    """Whatever comes first; where none suits, the first, which is a fault (test_custom_job_rules.py)."""
    machines = Machines.known(reservations=SHARES)
    named = [f"projects/p/zones/z/reservations/{each}" for each in ("t4", "small")]
    assert resources_of(affinity(*named), machines).reservation == "small"
    assert resources_of(affinity(named[0]), machines).reservation == "t4"
    assert [str(each) for each in SHARES[1:3]] == ["any machine type with 1 GPU", "n1-standard-4 with no GPUs"]
