"""What the original serves and Trainyard does not is refused by its name, with what to do instead; never a bare 404."""

from __future__ import annotations

from typing import Final

from trainyard.contract.operations import elsewhere
from trainyard.core.errors import Unimplemented

API: Final = "/google.cloud.aiplatform."
_INSTEAD: Final = {
    "hyperparameterTuningJobs": "Submit one customJob per trial, or a nasJob, which searches by itself.",
    "trainingPipelines": (
        "The SDK's CustomTrainingJob and its relatives make one; aiplatform.CustomJob takes the same script, container "
        "and machines and needs none."
    ),
    "pipelineJobs": "Submit the customJobs of its steps yourself, or run the pipeline with kfp.local.",
    "models": "What a job trained is in its AIP_MODEL_DIR, in the bucket; upload it to the real Vertex AI from there.",
    "tensorboards": "Leave `tensorboard` out of the job; `tensorboard --logdir` shows its AIP_TENSORBOARD_LOG_DIR.",
    "persistentResources": "`trainyard pools create` makes one, which jobs name as persistentResourceId.",
}
_OTHERWISE: Final = "Send these calls to the real Vertex AI."


def refused_path(path: str) -> Unimplemented | None:
    """The error for an HTTP path `/v1/projects/P/locations/L/COLLECTION…`; None where the original has no such one."""
    parts = path.split("/")
    if len(parts) < 7 or (parts[2], parts[4]) != ("projects", "locations"):
        return None
    collection = parts[6].partition(":")[0]
    return _refused(collection, elsewhere()[collection]) if collection in elsewhere() else None


def refused_method(method: str) -> Unimplemented | None:
    """The error for a gRPC method `/google.cloud.aiplatform.v1.SERVICE/METHOD`; None for those of other APIs."""
    if not method.startswith(API):
        return None
    service, _, name = method.rpartition(".")[2].partition("/")
    hit = [each for each, its in elsewhere().items() if its == service and _singular(each) in name.lower()]
    return _refused(max(hit, key=len), service) if hit else _error(f"{service}.{name} is", _OTHERWISE)


def _refused(collection: str, service: str) -> Unimplemented:
    return _error(f"{collection} ({service}) are", _INSTEAD.get(collection, _OTHERWISE))


def _error(what: str, instead: str) -> Unimplemented:
    return Unimplemented(f"{what} not served by Trainyard: it runs training jobs, customJobs and nasJobs. {instead}")


def _singular(collection: str) -> str:
    """What the names of a collection's methods have in them (CreateHyperparameterTuningJob, ListIndexes)."""
    return collection.lower().removesuffix("es" if collection.endswith("xes") else "s")
