"""The composition root's part for kinds: what the setting reservations sets aside."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainyard.app_kinds import known_machines
from trainyard.core.errors import Unavailable
from trainyard.core.runs import Resources
from trainyard.kinds.machines import Machines, Reservation
from trainyard.settings import Settings


def machines(directory: Path, reservations: str, machine_types: str = "known") -> Machines:
    given = {"data_dir": directory, "reservations": reservations, "machine_types": machine_types}
    return known_machines(Settings.load(given, {}))


def test_a_share_keeps_what_its_machine_type_has(tmp_path: Path) -> None:
    """vCPUs, memory and the GPUs that are built in, unless others are named; without a type, no more than GPUs."""
    found = machines(tmp_path, "a=1,b=2:a2-highgpu-1g,c=1:n1-standard-8+2gpu").reservations
    gib = 2**30
    kept = {name: (each.machine, each.places.replicas, each.places.each) for name, each in found.items()}
    assert kept == {
        "a": ("", 1, Resources()),
        "b": ("a2-highgpu-1g", 2, Resources(12.0, 85 * gib, 1)),
        "c": ("n1-standard-8", 1, Resources(8.0, 30 * gib, 2)),
    }
    assert all(isinstance(each, Reservation) for each in found.values())


def test_a_machine_type_that_nobody_knows_keeps_the_service_from_starting(tmp_path: Path) -> None:
    """It would set aside what no job can ever take; where users invent their own, it may be one of theirs."""
    with pytest.raises(Unavailable, match="names the machine type n1-giant for a, which is not known"):
        machines(tmp_path, "a=1:n1-giant")
    assert machines(tmp_path, "a=1:n1-giant", "any").reservations["a"].machine == "n1-giant"
