"""A page as text is the page as JSON, whatever is remembered of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trainyard.contract.codec import render, render_bytes, write_json
from trainyard.contract.json_pages import page_bytes
from trainyard.contract.pool import message_class

PAGE: Any = message_class("google.cloud.aiplatform.v1.ListCustomJobsResponse")


def page(*names: str, arguments: int = 1) -> Any:
    """One job for each name, with texts that an indented answer could be torn at."""
    container = {"args": ['two\nlines, "quoted"', "x" * 100] * arguments}
    pools = [{"container_spec": container, "replica_count": 1}, {}]
    jobs = [{"name": name, "labels": {"b": "1", "a": "2"}, "job_spec": {"worker_pool_specs": pools}} for name in names]
    return PAGE(custom_jobs=[{**job, "state": 3} for job in jobs], next_page_token="more")


@pytest.mark.parametrize("pretty", [False, True])
@pytest.mark.parametrize("enums_as_ints", [False, True])
@pytest.mark.parametrize("arguments", [1, 100])
def test_the_text_is_that_of_the_plain_way(pretty: bool, enums_as_ints: bool, arguments: int) -> None:
    """Byte for byte, at the first time and at the second, also of jobs too long to be remembered."""
    message = page("one", "two", arguments=arguments)
    plain = write_json(render(message, enums_as_ints), pretty)
    assert [page_bytes(message, enums_as_ints, pretty) for _ in range(2)] == [plain, plain]


def test_a_job_that_has_changed_is_told_anew() -> None:
    """What is remembered of the job before its change is not told again."""
    first = json.loads(render_bytes(page("one")))
    changed = page("one")
    changed.custom_jobs[0].state = 4
    second = json.loads(render_bytes(changed))
    assert [first["customJobs"][0]["state"], second["customJobs"][0]["state"]] == [
        "JOB_STATE_RUNNING",
        "JOB_STATE_SUCCEEDED",
    ]


def test_empty_pages_and_other_answers_have_their_own_text() -> None:
    """A page without jobs is `{}`; a job is no page."""
    assert page_bytes(PAGE(), False, False) == b"{}"
    assert page_bytes(PAGE().custom_jobs.add(), False, False) is None
    assert render_bytes(PAGE().custom_jobs.add()) == b"{}"
