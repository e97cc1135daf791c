"""The package that trainers report with, as it comes from the registry, inside a trial of ours."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from foreign import ROOT, made_once

from trainyard.local_service import LocalService

pytestmark = pytest.mark.clients
PACKAGE = "cloudml-hypertune==0.1.0.dev6"
TRAINER = """
import os, sys
sys.path.insert(0, sys.argv[1])
import hypertune
for step in range(120):
    hypertune.HyperTune().report_hyperparameter_tuning_metric(
        hyperparameter_metric_tag=os.environ["CLOUD_ML_HP_METRIC_TAG"], metric_value=step / 10, global_step=step)
"""
ONE = {"_type": "geno.Choices", "location": "a", "candidates": [{"_type": "geno.Space"}] * 2, "literal_values": [1, 2]}


@pytest.fixture(scope="module")
def package() -> Path:
    """Where it was put."""
    folder = ROOT / ".venv" / ".hypertune"
    uv = str(Path(sys.executable).with_name("uv"))

    def make() -> None:
        subprocess.run([uv, "pip", "install", "--quiet", "--target", str(folder), PACKAGE], check=True)

    return made_once(folder, PACKAGE, make)


def ask(url: str, body: Any = None) -> Any:
    """GET, or POST with a body."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=30) as answer:
        return json.load(answer)


def test_what_hypertune_reports_is_the_trials_measurement(service: LocalService, project: str, package: Path) -> None:
    """120 reports, of which its file keeps the last hundred; the newest is the final measurement."""
    container = {"imageUri": "host", "command": [sys.executable, "-c", TRAINER, str(package)]}
    spec = {"workerPoolSpecs": [{"machineSpec": {"machineType": "n1-standard-4"}, "containerSpec": container}]}
    search = {"searchTrialJobSpec": spec, "maxTrialCount": 1, "maxParallelTrialCount": 1}
    algorithm = {"metric": {"metricId": "AP"}, "searchTrialSpec": search}
    space = json.dumps({"_type": "geno.Space", "elements": [ONE]})
    body = {"displayName": "t", "nasJobSpec": {"searchSpaceSpec": space, "multiTrialAlgorithmSpec": algorithm}}
    job = ask(f"{service.endpoint}/v1/projects/{project}/locations/us-central1/nasJobs", body)
    deadline = time.monotonic() + 60
    while "endTime" not in job:
        assert time.monotonic() < deadline, job
        time.sleep(0.1)
        job = ask(f"{service.endpoint}/v1/{job['name']}")
    (trial,) = job["nasJobOutput"]["multiTrialJobOutput"]["searchTrials"]
    assert trial["finalMeasurement"]["metrics"] == [{"metricId": "AP", "value": 11.9}]
    assert trial["finalMeasurement"]["stepCount"] == "119"
