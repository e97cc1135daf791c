"""The page docs/fields.md says of every field of the contract what it does here, and is what the table says."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from trainyard.contract.pool import API_PACKAGE, STORED_VERSION, message_class
from trainyard.kinds.custom_job import effects
from trainyard.kinds.field_effects import EffectTable

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "fields.md").read_text("utf-8")


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The function that makes the page."""
    monkeypatch.setattr(sys, "path", [str(ROOT / "tools"), *sys.path])
    return runpy.run_path(str(ROOT / "tools" / "fields_page.py"))["fields_page"]


def json_paths(descriptor: Any, prefix: str = "") -> set[str]:
    """Every field of a message, however deep, by the names that the descriptors themselves have for JSON."""
    found = set()
    for field in descriptor.fields:
        found.add(path := f"{prefix}{field.json_name}")
        inner = field.message_type
        if inner is not None and inner.file.package.startswith(API_PACKAGE) and not inner.GetOptions().map_entry:
            found |= json_paths(inner, f"{path}.")
    return found


@pytest.mark.parametrize("message_name", ["CustomJob", "NasJob"])
def test_no_field_of_the_contract_is_missing(message_name: str) -> None:
    """Each field and sub-field has exactly one row; trials' job specs, which are CustomJobs', have one together."""
    section = PAGE.split(f"## {message_name}\n", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (?:\*\*)?`([\w.]+)`", section, re.MULTILINE)
    asked = json_paths(message_class(f"{API_PACKAGE}.{STORED_VERSION}.{message_name}").DESCRIPTOR)
    asked = {path for path in asked if "TrialJobSpec." not in path}
    assert sorted(rows) == sorted(asked)


def test_the_page_is_up_to_date(make: Any) -> None:
    """What `make docs` would write is what is there."""
    assert make() == PAGE


def test_a_field_without_a_line_stops_the_page(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release whose contract has grown cannot make a page that leaves the new field out."""
    lines = [line for line in effects.EFFECTS.lines if line.path != "job_spec.models"]
    monkeypatch.setattr(effects, "EFFECTS", EffectTable(lines))
    with pytest.raises(LookupError, match=r"jobSpec\.models"):
        make()


def test_refusals_name_their_error() -> None:
    """Whoever reads that a field is refused reads with which code."""
    assert "| `jobSpec.workerPoolSpecs.nfsMounts` | host: refused (`FAILED_PRECONDITION`)" in PAGE
