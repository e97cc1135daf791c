"""What the original has and Trainyard has not is refused by name, with a way on."""

from __future__ import annotations

import pytest

from trainyard.contract.operations import elsewhere, operations
from trainyard.core.errors import Code
from trainyard.service.not_served import refused_method, refused_path

PARENT = "/v1/projects/p/locations/l"


@pytest.mark.parametrize("collection", ["hyperparameterTuningJobs", "trainingPipelines", "models", "featurestores"])
@pytest.mark.parametrize("rest", ["", "/7", "/7:cancel", "/7/operations/8"])
def test_a_path_of_another_collection_is_refused_by_its_name(collection: str, rest: str) -> None:
    """UNIMPLEMENTED, what it is, what is served instead, and what to do."""
    refused = refused_path(f"{PARENT}/{collection}{rest}")
    assert refused is not None
    assert refused.code is Code.UNIMPLEMENTED
    assert refused.message.startswith(f"{collection} ({elsewhere()[collection]}) are not served")
    assert "customJobs" in refused.message


@pytest.mark.parametrize("path", ["/v1/x", f"{PARENT}/customJob", f"{PARENT}/modelz/1", "/v1/a/p/b/l/models", "/", ""])
def test_what_the_original_has_not_is_no_such_refusal(path: str) -> None:
    """A path that is merely wrong stays a 404."""
    assert refused_path(path) is None


def test_a_custom_verb_on_a_collection_is_of_that_collection() -> None:
    """`models:upload` is about models."""
    refused = refused_path(f"{PARENT}/models:upload")
    assert refused is not None
    assert "AIP_MODEL_DIR" in refused.message


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("v1.JobService/CreateHyperparameterTuningJob", "hyperparameterTuningJobs (JobService) are not served"),
        ("v1beta1.PipelineService/ListTrainingPipelines", "trainingPipelines (PipelineService) are not served"),
        ("v1.ModelService/UploadModel", "models (ModelService) are not served"),
        ("v1.IndexService/ListIndexes", "indexes (IndexService) are not served"),
        ("v1.NoSuchService/Foo", "NoSuchService.Foo is not served"),
    ],
)
def test_a_method_of_another_service_is_refused_by_what_it_is_about(method: str, said: str) -> None:
    """The gRPC name leads to the same sentence as the path."""
    refused = refused_method(f"/google.cloud.aiplatform.{method}")
    assert refused is not None
    assert refused.message.startswith(said)


def test_methods_of_other_apis_are_left_to_grpc() -> None:
    """Health checks and reflection of other frameworks get gRPC's own answer."""
    assert refused_method("/grpc.health.v1.Health/Check") is None


def test_nothing_that_is_served_is_called_not_served() -> None:
    """The two lists of the book have no collection in common."""
    assert not {operation.collection for operation in operations()} & set(elsewhere())
