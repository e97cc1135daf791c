"""Field masks over messages and over their JSON."""

from __future__ import annotations

from typing import Any

import pytest

from trainyard.contract.codec import parse, render
from trainyard.contract.masks import BadMask, mask_for
from trainyard.contract.pool import message_class

LIST: Any = message_class("google.cloud.aiplatform.v1.ListCustomJobsResponse")
JOB: Any = message_class("google.cloud.aiplatform.v1.CustomJob")
ONE = {
    "name": "n", "displayName": "d", "jobSpec": {
        "workerPoolSpecs": [{"replicaCount": "1", "containerSpec": {"imageUri": "i", "args": ["a"]}}],
        "scheduling": {"timeout": "5s", "strategy": "SPOT"}},
    "labels": {"a": "1", "b.c": "2"}, "createTime": "2026-01-01T00:00:00Z",
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("", ONE),
        ("*", ONE),
        ("name,displayName", {"name": "n", "displayName": "d"}),
        ("display_name , name", {"name": "n", "displayName": "d"}),
        ("jobSpec.scheduling.timeout", {"jobSpec": {"scheduling": {"timeout": "5s"}}}),
        ("job_spec/scheduling(timeout),name", {"name": "n", "jobSpec": {"scheduling": {"timeout": "5s"}}}),
        ("jobSpec.workerPoolSpecs.replicaCount", {"jobSpec": {"workerPoolSpecs": [{"replicaCount": "1"}]}}),
        ("jobSpec.scheduling,jobSpec.scheduling.timeout", {"jobSpec": {"scheduling": ONE["jobSpec"]["scheduling"]}}),
        (
            "jobSpec.scheduling.timeout,job_spec.scheduling.strategy",
            {"jobSpec": {"scheduling": ONE["jobSpec"]["scheduling"]}},
        ),
        ("jobSpec.scheduling.timeout,job_spec.scheduling", {"jobSpec": {"scheduling": ONE["jobSpec"]["scheduling"]}}),
        ("labels.a", {"labels": {"a": "1"}}),
        ("labels.`b.c`,labels.zz", {"labels": {"b.c": "2"}}),
        ("labels.*,state", {"labels": ONE["labels"]}),
        ("createTime", {"createTime": ONE["createTime"]}),
    ],
)
def test_a_mask_leaves_what_it_names(text: str, left: Any) -> None:
    """The same for a message as for its JSON, in every spelling."""
    message = parse(JOB, ONE)
    mask = mask_for(text, JOB)
    assert mask.of_json(render(message)) == left
    assert render(mask.of_message(message)) == left
    assert render(message) == ONE


def test_a_partial_answer_reaches_into_lists() -> None:
    """Case 36 of the contract, for a list."""
    answer = {"customJobs": [ONE, ONE], "nextPageToken": "t"}
    mask = mask_for("customJobs(name,labels/a),nextPageToken", LIST)
    left = {"customJobs": [{"name": "n", "labels": {"a": "1"}}] * 2, "nextPageToken": "t"}
    assert mask.of_json(answer) == left
    assert render(mask.of_message(parse(LIST, answer))) == left


def test_free_json_is_masked_by_its_own_keys() -> None:
    """Inside Struct and Any the mask cannot know the names, so it takes them as they are."""
    operation: Any = message_class("google.longrunning.Operation")
    kind = "type.googleapis.com/google.cloud.aiplatform.v1.DeleteOperationMetadata"
    value = {"name": "o", "metadata": {"@type": kind, "genericMetadata": {"createTime": "2026-01-01T00:00:00Z"}}}
    mask = mask_for("metadata.genericMetadata,metadata.@type.x,done", operation)
    inside = {"genericMetadata": {"createTime": "2026-01-01T00:00:00Z"}, "@type": kind}
    assert mask.of_json(value) == {"metadata": inside}
    assert render(mask.of_message(parse(operation, value))) == {"metadata": inside}


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("nope", "nope"),
        ("jobSpec.nope", "jobSpec.nope"),
        ("name.x", "name.x"),
        ("createTime.seconds", "createTime.seconds"),
        ("labels.a.b", "labels.a.b"),
        ("name,,state", None),
        (",", None),
        ("name.", None),
        ("jobSpec(scheduling", None),
        ("name)", None),
        ("name state", None),
        ("jobSpec()", None),
        ("`name", None),
        ("jobSpec(" * 40, None),
    ],
)
def test_a_bad_mask_names_its_culprit(text: str, path: str | None) -> None:
    """A field that there is not, or the text itself where it is no mask."""
    with pytest.raises(BadMask) as caught:
        mask_for(text, JOB)
    assert caught.value.path == (text if path is None else path)
