"""`trainyard pools`: persistent resources of the service, machines that are kept for the jobs that name them."""

from __future__ import annotations

import time
from argparse import Namespace
from typing import Any, Final

from trainyard.cli.formats import parse_format, write
from trainyard.cli.job_specs import comma_list, comma_map, read_document
from trainyard.cli.problems import Problem, Usage
from trainyard.cli.service_api import OWN, ServiceApi, connect
from trainyard.cli.terminal import Terminal

DEFAULT_TABLE: Final = "table(name,state,replicas,used,image,jobs)"
_KEYS: Final = ("machine-type", "replica-count", "accelerator-type", "accelerator-count", "disk-type", "disk-size")
_LOOK_AGAIN_SECONDS: Final = 0.2

Resource = dict[str, Any]


def create(flags: Namespace) -> int:
    """Create one and, unless told not to, wait until what it names is ready; ends with 1 where that cannot be."""
    api, terminal = connect(flags), Terminal()
    found = _object(api.connection.call("POST", f"{OWN}/pools", body=_asked(flags)))
    terminal.line(f"Created the persistent resource [{found['name']}]; its places are kept from now on.", err=True)
    while found["state"] == "PROVISIONING" and not flags.asynchronous:
        time.sleep(_LOOK_AGAIN_SECONDS)
        found = _get(api, flags.name)
    write([found], parse_format(flags.format), many=False)
    if found["state"] == "ERROR":
        raise Problem(
            f"the image of {flags.name} could not be made ready: {found['error']['message']}",
            details=("its places are kept; a job that names it tries again, as does the service when it is restarted",),
        )
    return 0


def list_(flags: Namespace) -> int:
    """List all of them."""
    style = parse_format(flags.format)
    if style.kind == "table" and not style.fields:
        style = parse_format(DEFAULT_TABLE)
    found = _object(connect(flags).connection.call("GET", f"{OWN}/pools"))["pools"]
    write([each | _in_short(each) for each in found] if style.kind == "table" else found, style, many=True)
    return 0


def describe(flags: Namespace) -> int:
    """Show one: its machines, who uses them, what is ready."""
    write([_get(connect(flags), flags.name)], parse_format(flags.format), many=False)
    return 0


def delete(flags: Namespace) -> int:
    """Delete one that no job names."""
    connect(flags).connection.call("DELETE", f"{OWN}/pools/{flags.name}")
    Terminal().line(f"Deleted the persistent resource [{flags.name}].", err=True)
    return 0


def _get(api: ServiceApi, name: str) -> Resource:
    return _object(api.connection.call("GET", f"{OWN}/pools/{name}"))


def _object(answer: Any) -> Resource:
    if not isinstance(answer, dict):
        raise Problem("what answers is no Trainyard: its answer is no JSON object")
    return answer


def _in_short(resource: Resource) -> Resource:
    pools = resource["resourcePools"]
    return {
        "replicas": sum(int(pool["replicaCount"]) for pool in pools),
        "used": sum(int(pool["usedReplicaCount"]) for pool in pools),
        "image": resource.get("imageUri", ""),
        "jobs": len(resource["jobs"]),
    }


def _asked(flags: Namespace) -> Resource:
    body = read_document(flags.config) if flags.config else {}
    if flags.resource_pool_spec:
        body["resourcePools"] = [_pool(text) for text in flags.resource_pool_spec]
    elif not flags.config:
        raise Usage(
            "say what to keep: --resource-pool-spec=machine-type=n1-standard-4,replica-count=2, or --config=FILE"
        )
    given = {"displayName": flags.display_name, "imageUri": flags.image, "network": flags.network}
    packages = comma_list(flags.python_package_uris)
    body.update({field: value for field, value in given.items() if value})
    return body | ({"packageUris": packages} if packages else {}) | {"name": flags.name}


def _pool(text: str) -> Resource:
    """A --resource-pool-spec, with the keys that gcloud has, as a ResourcePool."""
    given = comma_map(text, "--resource-pool-spec")
    if unknown := [key for key in given if key not in _KEYS]:
        raise Usage(f"--resource-pool-spec: there is no key {', '.join(unknown)}; there are {', '.join(_KEYS)}")
    machine: Resource = {"machineType": given.get("machine-type", "")}
    if "accelerator-type" in given:
        machine["acceleratorType"] = given["accelerator-type"]
        machine["acceleratorCount"] = _number(given, "accelerator-count")
    elif "accelerator-count" in given:
        raise Usage("--resource-pool-spec: accelerator-count wants accelerator-type beside it")
    disk: Resource = {"bootDiskType": given["disk-type"]} if "disk-type" in given else {}
    if "disk-size" in given:
        disk["bootDiskSizeGb"] = _number(given, "disk-size")
    return {"machineSpec": machine, "diskSpec": disk, "replicaCount": _number(given, "replica-count")}


def _number(given: dict[str, str], key: str) -> int:
    text = given.get(key, "1").strip()
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise Usage(f"--resource-pool-spec: {key}={text} is not a whole number")
    return int(text)
