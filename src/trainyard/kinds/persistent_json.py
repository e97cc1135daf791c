"""A persistent resource as JSON: what a request and the setting persistent_resources say, and what is shown and stored.

Field names are those of the original's PersistentResource; `imageUri` and `packageUris` are ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from trainyard.contract import codec
from trainyard.contract.pool import API_PACKAGE, STORED_VERSION, message_class
from trainyard.core.errors import InvalidArgument
from trainyard.core.runs import Places
from trainyard.kinds import forms
from trainyard.kinds.faults import Faults, shortened
from trainyard.kinds.machines import Machines
from trainyard.kinds.persistent import PersistentResource, ResourcePool, disk_of, machine_of, share_of
from trainyard.kinds.pool_rules import MOST_PACKAGES, check_disk, check_machine
from trainyard.kinds.worker_pools import resources_of

MOST_POOLS: Final = 16  # ours: more kinds of machines than one machine can mean
MOST_REPLICAS: Final = 10_000
_FIELDS: Final = frozenset({"name", "displayName", "resourcePools", "network", "imageUri", "packageUris"})
_OF_A_POOL: Final = frozenset({"machineSpec", "diskSpec", "replicaCount"})


def read(body: Any, machines: Machines) -> PersistentResource:
    """What a JSON object asks for; raises InvalidArgument naming every fault by its place in the object."""
    faults = Faults()
    if not isinstance(body, dict):
        raise InvalidArgument("A persistent resource is one JSON object.")
    try:
        codec.write_json(body)
    except TypeError:
        raise InvalidArgument("The object holds text that is no Unicode: half of a surrogate pair.") from None
    _known(body, _FIELDS, faults)
    texts = (_text(body, field, faults) for field in ("name", "displayName", "network", "imageUri"))
    name, display_name, network, image = texts
    if faults.required("name", name):
        faults.matches("name", name, *forms.RESOURCE_NAME)
    faults.matches("network", network, *forms.NETWORK)
    packages = _packages(body.get("packageUris", []), image, faults)
    pools = tuple(_pools(body.get("resourcePools"), name, faults, machines))
    faults.raise_if_any()
    return PersistentResource(name, pools, display_name, network, image, packages)


def shown(resource: PersistentResource) -> dict[str, Any]:
    """The JSON object; `read` of it gives the same again."""
    pools = [
        {
            "machineSpec": codec.render(pool.machine_spec),
            "diskSpec": codec.render(pool.disk_spec),
            "replicaCount": str(pool.places.replicas),
        }
        for pool in resource.pools
    ]
    texts = {"displayName": resource.display_name, "network": resource.network, "imageUri": resource.image_uri}
    told = {"name": resource.name, "resourcePools": pools, **{key: text for key, text in texts.items() if text}}
    return told | ({"packageUris": list(resource.package_uris)} if resource.package_uris else {})


def _known(value: Mapping[str, Any], names: frozenset[str], faults: Faults) -> None:
    for each in value:
        if each not in names:
            faults.add(each, f"There is no field {shortened(each)!r} here; there are {', '.join(sorted(names))}.")


def _text(body: Mapping[str, Any], field: str, faults: Faults) -> str:
    value = body.get(field, "")
    if isinstance(value, str) and "\0" not in value:
        return value
    faults.add(field, f"{shortened(repr(value))} is not text.")
    return ""


def _packages(value: Any, image: str, faults: Faults) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(uri, str) for uri in value):
        faults.add("packageUris", "It is a list of gs:// URIs.")
        return ()
    faults.at_most("packageUris", value, MOST_PACKAGES)
    for index, uri in enumerate(value):
        if faults.required(f"packageUris[{index}]", uri):
            faults.matches(f"packageUris[{index}]", uri, *forms.GCS_OBJECT)
    if value and not image:
        faults.add("imageUri", "Packages are installed over an image's framework; name the image as well.")
    return tuple(value)


def _pools(value: Any, name: str, faults: Faults, machines: Machines) -> Iterator[ResourcePool]:
    if not isinstance(value, list) or not value:
        faults.add("resourcePools", "It is a list of at least one pool of machines.")
        return
    faults.at_most("resourcePools", value, MOST_POOLS)
    seen: Counter[str] = Counter()
    for index, body in enumerate(value[:MOST_POOLS]):
        place = faults.under(f"resourcePools[{index}]")
        if not isinstance(body, dict):
            place.add("", "A pool is an object with machineSpec, replicaCount and, perhaps, diskSpec.")
            continue
        pool = _pool(body, name, place, machines)
        seen[pool.places.share] += 1
        if seen[pool.places.share] == 2:
            place.add("machineSpec", f"{pool.machine} stands there twice; add up the replicaCount in one pool.")
        yield pool


def _pool(body: Mapping[str, Any], name: str, faults: Faults, machines: Machines) -> ResourcePool:
    _known(body, _OF_A_POOL, faults)
    machine_spec = _message("MachineSpec", body.get("machineSpec", {}), faults.under("machineSpec"))
    disk_spec = _message("DiskSpec", body.get("diskSpec", {}), faults.under("diskSpec"))
    check_machine(machine_spec, faults.under("machineSpec"), machines)
    check_disk(disk_spec, faults.under("diskSpec"))
    if machine_spec.HasField("reservation_affinity"):
        faults.add("machineSpec.reservationAffinity", "A persistent resource keeps places of its own; leave it out.")
    pool = ResourcePool(machine_of(machine_spec, machines), disk_of(disk_spec), Places(""), machine_spec, disk_spec)
    share, each = share_of(name, pool, machines), resources_of(machine_spec, machines)
    places = Places(share, _count(body.get("replicaCount", 1), faults), each)
    return ResourcePool(pool.machine, pool.disk, places, machine_spec, disk_spec)


def _count(value: Any, faults: Faults) -> int:
    """An int64 as JSON writes it: a number, or one in quotes."""
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdecimal()) or not 0 < int(text[:9]) <= MOST_REPLICAS:
        faults.add("replicaCount", f"{shortened(text)} is not a whole number from 1 to {MOST_REPLICAS}.")
        return 1
    return int(text)


def _message(name: str, value: Any, faults: Faults) -> Any:
    cls = _class(name)
    try:
        return codec.parse(cls, value)
    except codec.JsonFaults as error:
        for fault in error.faults:
            faults.add(fault.path, fault.description)
        return cls()


@cache
def _class(name: str) -> Any:
    return message_class(f"{API_PACKAGE}.{STORED_VERSION}.{name}")
