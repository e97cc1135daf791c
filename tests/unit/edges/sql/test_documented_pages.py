"""Every statement and manifest of StackQL's pages about these tables runs as it stands, its blanks filled in."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from .ground import Ground, nas_spec, pools

PAGES = Path(__file__).parent / "fixtures"
POOL = pools("n1-standard-4")["workerPoolSpecs"][0]
SEARCH = nas_spec()["multiTrialAlgorithmSpec"]["searchTrialSpec"]
WORDS = frozenset({"string", "boolean", "integer", "number", "object"})
"""What stands for a value where a manifest has no blanks."""
FILLED: dict[str, Any] = {
    "$ref": json.dumps(POOL),
    "displayName": "from a page",
    "labels": '{"team": "docs"}',
    "timeout": "3600s",
    "disableRetries": "true",
    "restartJobOnWorkerRestart": "false",
    "strategy": "STANDARD",
    "enableWebAccess": "false",
    "enableDashboardAccess": "false",
    "outputUriPrefix": "gs://bucket/out",
    "machineType": "n1-standard-4",
    "replicaCount": "1",
    "imageUri": "img",
    "bootDiskType": "pd-ssd",
    "bootDiskSizeGb": 100,
    "enableRestrictedImageTraining": "true",
    "searchSpaceSpec": nas_spec()["searchSpaceSpec"],
    "metricId": "accuracy",
    "goal": "MAXIMIZE",
    "multiTrialAlgorithm": "REINFORCEMENT_LEARNING",
    "maxTrialCount": 2,
    "maxParallelTrialCount": 1,
    "frequency": 2,
}
PLACES = {"projectsId": "p1", "locationsId": "us-central1", "customJobsId": "1", "nasJobsId": "9"}


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def blocks(page: str, kind: str) -> list[str]:
    """The page's blocks of code of one language."""
    return re.findall(rf"```{kind}\n(.*?)```", (PAGES / page).read_text("utf-8"), re.DOTALL)


def filled(value: Any, name: str = "") -> Any:
    """A manifest's value with its blanks filled in; None for what has nothing to be filled with."""
    if isinstance(value, list):
        inner = [(each, filled(each, name)) for each in value]
        return [found for each, found in inner if found is not None] or None
    if isinstance(value, dict) and value.keys() == {"name", "value"} and value["value"] != "string":
        found = filled(value["value"], value["name"])
        return None if found is None else {"name": value["name"], "value": found}
    if isinstance(value, dict):
        found = FILLED.get(value["name"])
        return None if found is None else {"name": value["name"], "value": found}
    blank = re.fullmatch(r"\{\{ (\S+) \}\}", str(value))
    if blank:
        return FILLED.get(name or blank[1], "")
    return FILLED.get(name) if value in WORDS else value


def properties(page: str) -> dict[str, str]:
    """The manifest's props as stackql-deploy hands them on: lists and objects as JSON text."""
    (manifest,) = (yaml.safe_load(text) for text in blocks(page, "yaml"))
    found = {}
    for prop in manifest[0]["props"]:
        value = filled(prop["value"], prop["name"])
        found[prop["name"]] = "" if value is None else value if isinstance(value, str) else json.dumps(value)
    return found


def rendered(statement: str, values: dict[str, str]) -> str:
    """The statement with its blanks filled in."""
    return re.sub(r"\{\{ (\w+) \}\}", lambda found: values[found[1]], statement)


@pytest.mark.parametrize("page", ["custom_jobs.md", "custom_jobs_later.md"])
def test_the_page_of_custom_jobs(ground: Ground, page: str) -> None:
    """Its SELECT, its INSERT with its manifest, its DELETE."""
    select, insert, delete = blocks(page, "sql")
    assert len(ground.rows(rendered(select, PLACES))) == 3
    given = properties(page)
    ground.ask(rendered(insert, {**PLACES, **given}))
    (row,) = ground.ask(rendered(select, PLACES).replace("AND", "AND displayName = 'from a page' AND")).dicts
    spec = json.loads(row["jobSpec"])
    (pool,) = spec["workerPoolSpecs"]
    assert pool["machineSpec"] == {"machineType": "n1-standard-4"}
    assert spec["scheduling"]["disableRetries"] is True
    assert spec["baseOutputDirectory"]["outputUriPrefix"].startswith("gs://bucket/out")
    assert json.loads(row["labels"]) == {"team": "docs"}
    assert ground.ask(rendered(delete, PLACES)).tag == "DELETE 1"
    assert ground.job(1) is None


def test_the_page_of_nas_jobs(ground: Ground) -> None:
    """Its SELECT, its INSERT with its manifest (and the searchTrialJobSpec that it forgets), its DELETE."""
    select, insert, delete = blocks("nas_jobs.md", "sql")
    assert len(ground.rows(rendered(select, PLACES))) == 1
    given = properties("nas_jobs.md")
    spec = json.loads(given["nasJobSpec"])
    algorithm = next(pair for pair in spec if pair["name"] == "multiTrialAlgorithmSpec")["value"]
    searched = next(pair for pair in algorithm if pair["name"] == "searchTrialSpec")["value"]
    searched.append({"name": "searchTrialJobSpec", "value": SEARCH["searchTrialJobSpec"]})
    ground.ask(rendered(insert, {**PLACES, **given, "nasJobSpec": json.dumps(spec)}))
    (row,) = ground.ask(rendered(select, PLACES).replace("AND", "AND displayName = 'from a page' AND")).dicts
    made = json.loads(row["nasJobSpec"])["multiTrialAlgorithmSpec"]
    assert made["metric"] == {"metricId": "accuracy", "goal": "MAXIMIZE"}
    assert made["trainTrialSpec"]["trainTrialJobSpec"]["workerPoolSpecs"][0]["diskSpec"]["bootDiskSizeGb"] == 100
    assert row["enableRestrictedImageTraining"] == 1
    error = ground.refused(rendered(delete, PLACES))
    assert "JOB_STATE_RUNNING" in error.message
