"""What the pages say of the pytest plugin's object is what it has."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from trainyard.local_service import LocalService, name_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "testing.md"
NAME = "projects/p/locations/l/customJobs/1"


def test_the_page_names_what_there_is() -> None:
    """Each name in the table of docs/testing.md is an attribute, and the other way round."""
    table = PAGE.read_text().partition("## What the fixtures offer")[2].partition("A test that fails")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    told = {re.split(r"\W", each)[0] for cell in cells for each in re.findall(r"`([^`]+)`", cell)}
    there = {name for name in [*vars(LocalService), *vars(LocalService("x"))] if not name.startswith("_")}
    left_out = {"begin", "finish", "stop", "pid", "account", "directory", "data_dir"}  # for the plugin, and its tests
    assert told == there - left_out


@pytest.mark.parametrize(
    "job", [NAME, {"name": NAME}, SimpleNamespace(resource_name=NAME, name="1"), SimpleNamespace(name=NAME)]
)
def test_a_job_may_be_named_in_four_ways(job: object) -> None:
    """Its name, the API's object, the SDK's object, a generated client's message."""
    assert name_of(job) == NAME


def test_a_bucket_is_a_directory(tmp_path: Path) -> None:
    """gs:// URIs lie below the data directory, and nothing else does."""
    service = LocalService(tmp_path)
    assert service.path("gs://b/x/y") == tmp_path / "data" / "buckets" / "b" / "x" / "y"
    assert service.bucket("b").is_dir()
    for uri in ("s3://b/x", "gs://", "b/x", "gs://b/../c"):
        with pytest.raises(ValueError, match="no gs://"):
            service.path(uri)
