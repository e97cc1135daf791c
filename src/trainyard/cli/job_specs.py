"""From gcloud's flags, a --config file or a spec file to the body of a create request.

The meaning of each flag is gcloud's (`gcloud ai custom-jobs create`): flags override the file, a --worker-pool-spec
replaces all pools of the file, --args and --command go to every pool that can take them.
"""

from __future__ import annotations

import json
import re
from argparse import Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from trainyard.cli.problems import Usage

_POOL_KEYS = (
    "machine-type",
    "replica-count",
    "accelerator-type",
    "accelerator-count",
    "container-image-uri",
    "executor-image-uri",
    "python-module",
)
_SPEC_FLAGS = {
    "network": "network",
    "service_account": "serviceAccount",
    "enable_web_access": "enableWebAccess",
    "enable_dashboard_access": "enableDashboardAccess",
    "persistent_resource_id": "persistentResourceId",
}
_AUTOBUILD_KEYS = ("local-package-path", "script", "requirements", "extra-packages", "extra-dirs", "output-image-uri")
_AUTOBUILD_INSTEAD = (
    "Trainyard builds no images. Instead, either:",
    "  run the script as it is:     trainyard run script.py [args]",
    "  or package it and upload it:  --worker-pool-spec=…,executor-image-uri=IMAGE,python-module=MODULE "
    "--python-package-uris=gs://…",
)


def comma_list(text: str) -> list[str]:
    """Split at commas; `^:^a:b` splits at `:` instead (gcloud topic escaping)."""
    match = re.match(r"\^([^^]+)\^", text)
    if match:
        return text[match.end() :].split(match.group(1))
    return text.split(",") if text else []


def comma_map(text: str, flag: str) -> dict[str, str]:
    """`k=v,k=v` as a mapping; raises Usage on a part without `=`, an empty key or a key given twice."""
    found: dict[str, str] = {}
    for part in comma_list(text):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise Usage(f"{flag}: {part!r} is not KEY=VALUE")
        if key.strip() in found:
            raise Usage(f"{flag}: {key.strip()!r} is given twice")
        found[key.strip()] = value
    return found


def job_from_flags(flags: Namespace) -> dict[str, Any]:
    """The CustomJob that `custom-jobs create` asks for. Raises Usage on what can't be meant."""
    spec = read_config(flags.config) if flags.config else {}
    if not flags.config and not flags.worker_pool_spec and not flags.python_package_uris:
        raise Usage("say what is to run: --worker-pool-spec=machine-type=…,container-image-uri=…, or --config=FILE")
    put_flags(spec, flags)
    return named_by_flags(flags) | {"jobSpec": spec}


def put_flags(spec: dict[str, Any], flags: Namespace) -> None:
    """Let the flags override a CustomJobSpec. Raises Usage on what can't be meant."""
    if flags.worker_pool_spec:
        packages = comma_list(flags.python_package_uris or "")
        spec["workerPoolSpecs"] = worker_pools(flags.worker_pool_spec, packages)
    elif flags.python_package_uris:
        raise Usage("--python-package-uris goes with --worker-pool-spec; in a --config file each pool has packageUris")
    _to_every_pool(spec, "args", comma_list(flags.args or ""))
    _to_every_pool(spec, "command", comma_list(flags.command_list or ""))
    spec.update({field: getattr(flags, flag) for flag, field in _SPEC_FLAGS.items() if getattr(flags, flag)})


def named_by_flags(flags: Namespace) -> dict[str, Any]:
    """What the flags say of a job of any kind: its name, its labels, its key."""
    job: dict[str, Any] = {"displayName": flags.display_name}
    if flags.labels:
        job["labels"] = comma_map(flags.labels, "--labels")
    if key := _kms_key(flags):
        job["encryptionSpec"] = {"kmsKeyName": key}
    return job


def _to_every_pool(spec: dict[str, Any], field: str, values: list[str]) -> None:
    """Put --args or --command into every pool; a Python package has arguments, but no command."""
    for pool in spec.get("workerPoolSpecs", []) if values else ():
        for kind in ("containerSpec", "pythonPackageSpec") if field == "args" else ("containerSpec",):
            if kind in pool:
                pool[kind][field] = values


def _kms_key(flags: Namespace) -> str:
    """The full name of the key, which gcloud lets people give in four parts."""
    key = str(flags.kms_key or "")
    parts = [("--kms-keyring", flags.kms_keyring), ("--kms-location", flags.kms_location)]
    if not key:
        if any(value for _, value in parts) or flags.kms_project:
            raise Usage("--kms-keyring, --kms-location and --kms-project say where the key is; give --kms-key too")
        return ""
    if "/" in key:
        return key
    missing = [flag for flag, value in parts if not value]
    if missing:
        raise Usage(f"--kms-key={key} is no full name, so {' and '.join(missing)} must be given too")
    project = flags.kms_project or flags.project
    return f"projects/{project}/locations/{flags.kms_location}/keyRings/{flags.kms_keyring}/cryptoKeys/{key}"


def worker_pools(texts: Sequence[str], package_uris: Sequence[str]) -> list[dict[str, Any]]:
    """One WorkerPoolSpec per --worker-pool-spec; an empty one later in the list skips that pool."""
    if not texts[0].strip():
        raise Usage("the first --worker-pool-spec may not be empty: pool 0 holds the primary replica")
    pools = [_pool(comma_map(text, "--worker-pool-spec"), package_uris) if text.strip() else {} for text in texts]
    if package_uris and not any("pythonPackageSpec" in pool for pool in pools):
        raise Usage("--python-package-uris goes with executor-image-uri, not with container-image-uri")
    return pools


def _pool(given: dict[str, str], package_uris: Sequence[str]) -> dict[str, Any]:
    flag = "--worker-pool-spec"
    if autobuild := [key for key in given if key in _AUTOBUILD_KEYS]:
        raise Usage(f"{flag}: {', '.join(autobuild)} would build a container image from local code", _AUTOBUILD_INSTEAD)
    if unknown := [key for key in given if key not in _POOL_KEYS]:
        raise Usage(f"{flag}: there is no key {', '.join(unknown)}; there are {', '.join(_POOL_KEYS)}")
    if "machine-type" not in given:
        raise Usage(f"{flag}: machine-type is missing, such as machine-type=n1-standard-4")
    if ("container-image-uri" in given) == ("executor-image-uri" in given):
        raise Usage(f"{flag}: give exactly one of container-image-uri and executor-image-uri")
    if ("executor-image-uri" in given) != ("python-module" in given):
        raise Usage(f"{flag}: executor-image-uri and python-module go together")
    if "accelerator-count" in given and "accelerator-type" not in given:
        raise Usage(f"{flag}: accelerator-count wants accelerator-type beside it")
    machine: dict[str, Any] = {"machineType": given["machine-type"]}
    if "accelerator-type" in given:
        machine["acceleratorType"] = given["accelerator-type"]
        machine["acceleratorCount"] = _whole_number(given, "accelerator-count")
    pool: dict[str, Any] = {"machineSpec": machine, "replicaCount": str(_whole_number(given, "replica-count"))}
    if "container-image-uri" in given:
        pool["containerSpec"] = {"imageUri": given["container-image-uri"]}
    else:
        pool["pythonPackageSpec"] = {
            "executorImageUri": given["executor-image-uri"],
            "packageUris": list(package_uris),
            "pythonModule": given["python-module"],
        }
    return pool


def _whole_number(given: dict[str, str], key: str) -> int:
    text = given.get(key, "1").strip()
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise Usage(f"--worker-pool-spec: {key}={text} is not a whole number")
    return int(text)


def read_config(path: str) -> dict[str, Any]:
    """A --config file: a CustomJobSpec in YAML (JSON is YAML), its keys in camelCase or snake_case."""
    spec = read_document(path)
    if "jobSpec" in spec:
        raise Usage(
            f"{path} holds a whole CustomJob; --config wants what stands under jobSpec",
            (f"or submit the file as it is:  trainyard run {path}",),
        )
    check_pools(spec, path)
    return spec


def read_document(path: str) -> dict[str, Any]:
    """A YAML or JSON file that holds one mapping, every key in camelCase. Raises Usage with file and line."""
    try:
        text = Path(path).read_text("utf-8")
    except OSError as error:
        raise Usage(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Usage(f"{path} is not text in UTF-8") from None
    document = _parsed(text, path)
    if not isinstance(document, dict) or not document:
        raise Usage(f"{path} holds no mapping; a job spec begins with workerPoolSpecs:")
    found = camel_keys(document, path)
    assert isinstance(found, dict)
    return found


def _parsed(text: str, path: str) -> object:
    if path.endswith(".json"):
        try:
            return json.loads(text)
        except ValueError as error:
            raise Usage(f"{path} is no JSON: {error}") from None
    import yaml  # noqa: PLC0415 - costs 15 ms, which only YAML's readers and writers pay

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise Usage(f"{path} is no YAML{where}: {getattr(error, 'problem', None) or error}") from None


def camel_keys(value: object, place: str) -> object:
    """The same document with every key in camelCase; raises Usage where a key stands twice, once in each spelling.

    Label keys are the user's own and stay as they are.
    """
    if isinstance(value, list):
        return [camel_keys(each, f"{place}[{number}]") for number, each in enumerate(value)]
    if not isinstance(value, dict):
        return value
    found: dict[str, object] = {}
    for key, each in value.items():
        if not isinstance(key, str):
            raise Usage(f"{place}: the key {key!r} is no text")
        head, *tail = key.split("_")
        camel = head + "".join(part[:1].upper() + part[1:] for part in tail) if head else key
        if camel in found:
            raise Usage(f"{place}: {camel} is given twice, once as {key}")
        found[camel] = each if camel == "labels" else camel_keys(each, f"{place}: {key}")
    return found


def check_pools(spec: dict[str, Any], path: str) -> None:
    """Refuse what can't be merged with flags; everything else is the service's to judge."""
    pools = spec.get("workerPoolSpecs", [])
    if not isinstance(pools, list) or not all(isinstance(pool, dict | None) for pool in pools):
        raise Usage(f"{path}: workerPoolSpecs is a list; begin each pool with '- '")
    spec["workerPoolSpecs"] = [pool or {} for pool in pools]
    for number, pool in enumerate(spec["workerPoolSpecs"]):
        for kind in ("containerSpec", "pythonPackageSpec"):
            if kind in pool and not isinstance(pool[kind], dict):
                raise Usage(f"{path}: workerPoolSpecs[{number}].{kind} is a mapping, such as imageUri: python:3.12")


def job_from_file(path: str) -> dict[str, Any]:
    """The CustomJob in a spec file, which holds either one or just its CustomJobSpec (then the file gives the name)."""
    document = read_document(path)
    job = document if "jobSpec" in document else {"displayName": Path(path).stem, "jobSpec": document}
    if not isinstance(job["jobSpec"], dict):
        raise Usage(f"{path}: jobSpec is a mapping that begins with workerPoolSpecs:")
    check_pools(job["jobSpec"], path)
    job.setdefault("displayName", Path(path).stem)
    return job


def add_env(job: dict[str, Any], pairs: Iterable[str]) -> None:
    """Put `NAME=VALUE` variables first in every pool's list, so that a spec's own variables may refer to them."""
    variables = []
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise Usage(f"--env: {pair!r} is not NAME=VALUE")
        variables.append({"name": name, "value": value})
    names = {each["name"] for each in variables}
    for pool in job["jobSpec"]["workerPoolSpecs"]:
        for kind in ("containerSpec", "pythonPackageSpec"):
            if kind in pool and variables:
                own = [each for each in pool[kind].get("env", []) if each.get("name") not in names]
                pool[kind]["env"] = [*variables, *own]


def add_places(job: dict[str, Any], path: str, python: str) -> None:
    """Let a spec say `$(TRAINYARD_SPEC_DIR)` and `$(TRAINYARD_PYTHON)`: where it lies, and the caller's Python.

    The service replaces them like any other variable of the job; a spec that does not name them does not get them.
    """
    text = json.dumps(job["jobSpec"])
    places = {"TRAINYARD_SPEC_DIR": str(Path(path).absolute().parent), "TRAINYARD_PYTHON": python}
    add_env(job, [f"{name}={value.replace('$', '$$')}" for name, value in places.items() if f"$({name})" in text])


def duration_seconds(text: str) -> float:
    """`90`, `90s`, `15m`, `2h`, `1d`, `1h30m` in seconds; raises Usage."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    bare = [number for number, unit in parts if not unit]
    if not parts or "".join(number + unit for number, unit in parts) != text or (bare and len(parts) > 1):
        raise Usage(f"{text!r} is no duration; one looks like 90s, 15m, 2h or 1h30m")
    return sum(float(number) * units[unit or "s"] for number, unit in parts)
