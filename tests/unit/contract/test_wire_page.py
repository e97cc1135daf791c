"""A page in wire bytes is the page of messages, whoever reads it."""

from __future__ import annotations

from typing import Any

import pytest

from trainyard.contract.codec import render_bytes
from trainyard.contract.operations import messages, versioned
from trainyard.contract.pool import STORED_VERSION, message_class
from trainyard.contract.versions import narrow
from trainyard.contract.wire_page import WirePage, items_of, opened

PAGE = "google.cloud.aiplatform.{v}.ListCustomJobsResponse"
POOL = {"machine_spec": {"machine_type": "m", "min_gpu_driver_version": "5"}, "replica_count": 2}


def both(*names: str, token: str = "more") -> tuple[WirePage, Any]:
    """The same page in the stored version, in wire bytes and as a message; with a field that v1 does not have."""
    jobs = [{"name": name, "labels": {"b": "1", "a": "2"}, "job_spec": {"worker_pool_specs": [POOL]}} for name in names]
    page: Any = message_class(versioned(PAGE, STORED_VERSION))(custom_jobs=jobs, next_page_token=token)
    wires = tuple(job.SerializeToString(deterministic=True) for job in page.custom_jobs)
    return WirePage(versioned(PAGE, STORED_VERSION), wires, token), page


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
@pytest.mark.parametrize(("names", "token"), [(("one", "two"), "more"), (("one",), ""), ((), "more"), ((), "")])
def test_a_page_says_the_same_opened_or_not(version: str, names: tuple[str, ...], token: str) -> None:
    """Message and text of each version, without what it has no field for."""
    wires, page = both(*names, token=token)
    told = narrow(page, version)
    assert opened(narrow(wires, version)) == told
    assert opened(narrow(wires, version)).SerializeToString(deterministic=True) == told.SerializeToString(
        deterministic=True
    )
    for pretty in (False, True):
        assert render_bytes(narrow(wires, version), pretty=pretty) == render_bytes(told, pretty=pretty)


def test_versions_of_a_page_are_not_mixed_up() -> None:
    """The text of a job in one version is not taken for its text in the other."""
    wires, _ = both("one")
    texts = [render_bytes(narrow(wires, version)) for version in ("v1beta1", "v1", "v1beta1")]
    assert [b"minGpuDriverVersion" in text for text in texts] == [True, False, True]


def test_what_is_no_page_is_opened_already() -> None:
    """A message is its own; a job is none, however it is asked."""
    wires, page = both("one")
    assert opened(page) is page
    assert WirePage.of(page.custom_jobs[0]) is None
    assert WirePage.of(page) == wires


def test_a_page_is_its_resources_and_a_token() -> None:
    """In this order, as the numbers of their fields are, and nothing else."""
    found = [item for name in messages() if (item := items_of(versioned(name, "v1")))]
    assert items_of(versioned(PAGE, "v1")) in found
    for item in found:
        fields = [(field.name, field.number) for field in item.containing_type.fields]
        assert fields == [(item.name, 1), ("next_page_token", 2)]
