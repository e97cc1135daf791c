"""What openapi.json says of keys' routes under /trainyard/v1; key_routes.py serves them."""

from __future__ import annotations

from typing import Any, Final

from trainyard.edges.rest.own_docs import described, get, in_path, json_of, text

Json = dict[str, Any]

_SCOPE: Final = "/trainyard/v1/projects/{project}/locations/{location}"
_IN_SCOPE: Final = [in_path("project"), in_path("location")]
_IN_RING: Final = [*_IN_SCOPE, in_path("ring")]
_KEY: Final = f"{_SCOPE}/keyRings/{{ring}}/cryptoKeys/{{key}}"
_NAMED: Final = [*_IN_RING, in_path("key", pattern="^[A-Za-z0-9_-]{1,63}$")]

KEY_SCHEMAS: Final[Json] = {
    "trainyard.Key": described(
        "A key of encryption at rest (docs/security.md).",
        name=text("What jobs name as encryptionSpec.kmsKeyName."),
        state={
            "type": "string",
            "enum": ["ENABLED", "DISABLED", "DESTROYED"],
            "description": "What it can be used for.",
        },
        createTime={"type": "string", "format": "date-time", "description": "When it was created."},
        primaryVersion={"type": ["integer", "null"], "description": "Its version; null once it is destroyed."},
        jobs={"type": "integer", "description": "How many jobs were sealed with it, a search counted once."},
        openJobs={"type": "integer", "description": "How many of them have not ended or are not sealed whole yet."},
        outputs={"type": "integer", "description": "Of how many jobs, deleted ones too, it seals outputs in gs://."},
    ),
    "trainyard.Keys": described(
        "The keys of a project and location.",
        cryptoKeys={"type": "array", "items": {"$ref": "#/components/schemas/trainyard.Key"}},
    ),
}


def _post(operation: str, summary: str, parameters: list[Json]) -> Json:
    body = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
    return {"post": {**get(operation, summary, parameters, json_of("trainyard.Key"))["get"], "requestBody": body}}


KEY_PATHS: Final[Json] = {
    f"{_SCOPE}/cryptoKeys": get("listKeys", "The keys of a location", _IN_SCOPE, json_of("trainyard.Keys")),
    f"{_SCOPE}/keyRings/{{ring}}/cryptoKeys": _post("createKey", "Create a key (cryptoKeyId)", _IN_RING),
    _KEY: get("getKey", "One key, and how many jobs are sealed with it", _NAMED, json_of("trainyard.Key")),
    f"{_KEY}:rotate": _post("rotateKey", "A new version; the old one is destroyed once nothing needs it", _NAMED),
    f"{_KEY}:disable": _post("disableKey", "Let nothing be opened with it until it is enabled", _NAMED),
    f"{_KEY}:enable": _post("enableKey", "Let it be used again", _NAMED),
    f"{_KEY}:destroy": _post("destroyKey", "Destroy it, and all that is sealed with it (confirm)", _NAMED),
}
