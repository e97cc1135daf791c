"""Which machine types the original has, what is in them, and which accelerators fit them: data, read once.

The table is `machine_types.json`: families (a prefix, its sizes in vCPUs, memory per vCPU) and single machines.
Accelerator rules: Vertex AI, "Configure compute resources for training".
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainyard.kinds.persistent import PersistentResource

from trainyard.core.runs import Places

_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine type. `fits` maps an accelerator to the counts that may be asked for with it.

    `accelerator` and `count` are what the machine has built in, asked for or not.
    """

    name: str
    cpus: int
    memory_bytes: int
    accelerator: str = ""
    count: int = 0
    fits: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    is_tpu: bool = False


@dataclass(frozen=True, slots=True)
class Reservation:
    """Places that are set aside for whom names them, on machines of this type; of any where it is empty."""

    places: Places
    machine: str = ""

    @property
    def name(self) -> str:
        """As affinities name it, without the project and the zone."""
        return self.places.share

    def suits(self, machine: str, gpus: int) -> bool:
        """Whether a replica on such a machine, with so many GPUs, may be of it; the original wants both to be equal."""
        if not self.machine and not self.places.each.gpus:
            return True
        return self.machine in ("", machine) and self.places.each.gpus == gpus

    def __str__(self) -> str:
        """`n1-standard-8 with 1 GPU`."""
        gpus = self.places.each.gpus
        return f"{self.machine or 'any machine type'} with {gpus or 'no'} GPU{'' if gpus == 1 else 's'}"


class Machines:
    """The catalogue of machine types. With `allow_any`, a name that it does not hold passes for one without limits."""

    def __init__(
        self, table: Mapping[str, Machine], *, allow_any: bool = False, reservations: Collection[Reservation] = ()
    ) -> None:
        """Keep the table; `allow_any` is for hosts whose users invent machine types of their own.

        `reservations` are the parts of what there is that are set aside.
        """
        self._table = table
        self.allow_any = allow_any
        self.reservations = {each.name: each for each in reservations}
        self.persistent: Mapping[str, PersistentResource] = {}  # by name; whoever keeps them puts his own here

    @classmethod
    def known(cls, *, allow_any: bool = False, reservations: Collection[Reservation] = ()) -> Machines:
        """The catalogue that comes with this release."""
        return cls(_table(), allow_any=allow_any, reservations=reservations)

    def find(self, name: str) -> Machine | None:
        """The machine type of that name; None where the catalogue has none."""
        return self._table.get(name)

    def __iter__(self) -> Iterator[Machine]:
        return iter(self._table.values())


@cache
def _table() -> Mapping[str, Machine]:
    book = json.loads(files(__package__).joinpath("machine_types.json").read_text("utf-8"))
    machines = [*_singles(book["machines"]), *_sizes(book["families"], book["attachable"])]
    return MappingProxyType({machine.name: machine for machine in machines})


def _singles(entries: list[dict[str, Any]]) -> Iterator[Machine]:
    for entry in entries:
        accelerator, count = entry.get("accelerator", ""), entry.get("count", 0)
        fits: dict[str, list[int]] = {accelerator: [count]} if accelerator else entry.get("fits", {})
        yield Machine(
            name=entry["name"],
            cpus=entry["cpus"],
            memory_bytes=round(entry["gib"] * _GIB),
            accelerator=accelerator,
            count=count,
            fits=_frozen(fits),
            is_tpu=entry.get("tpu", False),
        )


def _sizes(families: list[dict[str, Any]], attachable: Mapping[str, list[dict[str, Any]]]) -> Iterator[Machine]:
    for family in families:
        steps = attachable.get(family.get("accelerators", ""), [])
        for cpus in family["cpus"]:
            fits: dict[str, list[int]] = next((step["fits"] for step in steps if cpus <= step["cpus_up_to"]), {})
            yield Machine(
                name=f"{family['prefix']}-{cpus}",
                cpus=cpus,
                memory_bytes=round(cpus * family["gib_per_cpu"] * _GIB),
                fits=_frozen(fits),
            )


def _frozen(fits: Mapping[str, list[int]]) -> Mapping[str, tuple[int, ...]]:
    return MappingProxyType({accelerator: tuple(counts) for accelerator, counts in fits.items()})
