"""What openapi.json says of persistent resources' routes under /trainyard/v1; own_routes.py serves them."""

from __future__ import annotations

from typing import Any, Final

from trainyard.edges.rest.own_docs import described, get, in_path, json_of, text

Json = dict[str, Any]

_POOLS: Final = "/trainyard/v1/pools"
_NAMED: Final = [in_path("pool", pattern="^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$")]
_POOL: Final = {"$ref": "#/components/schemas/trainyard.Pool"}

POOL_SCHEMAS: Final[Json] = {
    "trainyard.Pool": described(
        "A persistent resource: machines that are kept for the jobs that name it.",
        ("displayName", "network", "imageUri", "packageUris", "ready", "error"),
        name=text("What jobs name as persistentResourceId."),
        displayName=text("What people call it."),
        resourcePools={
            "type": "array",
            "items": described(
                "Machines of one kind.",
                machineSpec={"type": "object", "description": "A MachineSpec."},
                diskSpec={"type": "object", "description": "A DiskSpec."},
                replicaCount=text("How many replicas it keeps."),
                usedReplicaCount=text("How many of them run now."),
            ),
        },
        network=text("What jobs must name as well."),
        imageUri=text("The image that is made ready."),
        packageUris={"type": "array", "items": text("A package that is installed over it.")},
        state=text("PROVISIONING while the image is made ready, then RUNNING or ERROR."),
        ready=text("What is ready, in one sentence."),
        error=described(
            "Why it could not be made ready.",
            code={"type": "integer", "description": "A google.rpc.Code."},
            message=text("One sentence."),
        ),
        createTime={"type": "string", "format": "date-time", "description": "When it was created or declared."},
        declared={"type": "boolean", "description": "Whether the settings declare it."},
        jobs={"type": "array", "items": text("A job that has not ended and names it.")},
    ),
    "trainyard.Pools": described("All persistent resources, by name.", pools={"type": "array", "items": _POOL}),
}


def _with_body(method: Json) -> Json:
    body = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
    return {**method, "requestBody": body}


POOL_PATHS: Final[Json] = {
    _POOLS: {
        **get("listPools", "All persistent resources", [], json_of("trainyard.Pools")),
        "post": _with_body(get("createPool", "Keep machines (docs/running.md)", [], json_of("trainyard.Pool"))["get"]),
    },
    f"{_POOLS}/{{pool}}": {
        **get("getPool", "One persistent resource, and who uses it", _NAMED, json_of("trainyard.Pool")),
        "delete": get("deletePool", "Keep its machines no longer", _NAMED, {"application/json": {}})["get"],
    },
}
