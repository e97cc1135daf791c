"""A search whose trials run in their image: what they report is read, whoever they run as inside."""

from __future__ import annotations

import json
from pathlib import Path

import images
from test_podman_jobs import service

CHOICES, SPACE = "geno.Choices", "geno.Space"
TWO = {"_type": CHOICES, "location": "a", "candidates": [{"_type": SPACE}] * 2, "literal_values": [1, 2]}
SCRIPT = """
test -d "/gcs/b/nas/search/$CLOUD_ML_TRIAL_ID" || exit 9
printf '{"AP": "%s", "global_step": "1"}\\n' "$CLOUD_ML_TRIAL_ID" > "$CLOUD_ML_HP_METRIC_FILE"
cmp "$CLOUD_ML_HP_METRIC_FILE" /tmp/hypertune/output.metrics
"""


def test_trials_in_containers_report(tmp_path: Path) -> None:
    """Two trials, each measured; the directory that each was given is there inside."""
    container = {"imageUri": images.BUSYBOX, "command": ["/bin/sh", "-c", SCRIPT, "trainer"]}
    spec = {
        "workerPoolSpecs": [{"machineSpec": {"machineType": "n1-standard-4"}, "containerSpec": container}],
        "baseOutputDirectory": {"outputUriPrefix": "gs://b/nas/search"},
    }
    search = {"searchTrialJobSpec": spec, "maxTrialCount": 2, "maxParallelTrialCount": 1}
    algorithm = {"metric": {"metricId": "AP"}, "searchTrialSpec": search}
    space = json.dumps({"_type": SPACE, "elements": [TWO]})
    body = {
        "displayName": "t",
        "nasJobSpec": {"searchSpaceSpec": space, "multiTrialAlgorithmSpec": algorithm},
    }
    with service(tmp_path) as one:
        name = one.ask("/v1/projects/p/locations/us-central1/nasJobs", body)["name"]
        job = one.wait(name, "SUCCEEDED", "FAILED")
        trials = job["nasJobOutput"]["multiTrialJobOutput"]["searchTrials"]
        values = [trial["finalMeasurement"]["metrics"][0]["value"] for trial in trials]
        assert (job["state"], values) == ("JOB_STATE_SUCCEEDED", [1.0, 2.0]), one.narration(name)
