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
cmp /mnt/nfs/data/in /mnt/lustre/fast/in || exit 10
printf '{"AP": "%s", "global_step": "1"}\\n' "$CLOUD_ML_TRIAL_ID" > "$CLOUD_ML_HP_METRIC_FILE"
cmp "$CLOUD_ML_HP_METRIC_FILE" /tmp/hypertune/output.metrics
"""
SHARES = {
    "nfsMounts": [{"server": "10.0.0.1", "path": "/data", "mountPoint": "data"}],
    "lustreMounts": [{"instanceIp": "10.0.0.2", "volumeHandle": "v", "filesystem": "fs", "mountPoint": "fast"}],
}


def test_trials_in_containers_report(tmp_path: Path) -> None:
    """Two trials, each measured; the directory that each was given is there inside, and so are the shares it names."""
    container = {"imageUri": images.BUSYBOX, "command": ["/bin/sh", "-c", SCRIPT, "trainer"]}
    spec = {
        "workerPoolSpecs": [{"machineSpec": {"machineType": "n1-standard-4"}, "containerSpec": container, **SHARES}],
        "baseOutputDirectory": {"outputUriPrefix": "gs://b/nas/search"},
    }
    search = {"searchTrialJobSpec": spec, "maxTrialCount": 2, "maxParallelTrialCount": 1}
    algorithm = {"metric": {"metricId": "AP"}, "searchTrialSpec": search}
    space = json.dumps({"_type": SPACE, "elements": [TWO]})
    body = {
        "displayName": "t",
        "nasJobSpec": {"searchSpaceSpec": space, "multiTrialAlgorithmSpec": algorithm},
    }
    (shared := tmp_path / "shared").mkdir()
    (shared / "in").write_text("there\n")
    sources = f"10.0.0.1:/data={shared},10.0.0.2@tcp:/fs={shared}"
    (tmp_path / "settings.toml").write_text(f'mount_sources = "{sources}"\n')
    with service(tmp_path) as one:
        name = one.ask("/v1/projects/p/locations/us-central1/nasJobs", body)["name"]
        job = one.wait(name, "SUCCEEDED", "FAILED")
        trials = job["nasJobOutput"]["multiTrialJobOutput"]["searchTrials"]
        values = [trial["finalMeasurement"]["metrics"][0]["value"] for trial in trials]
        assert (job["state"], values) == ("JOB_STATE_SUCCEEDED", [1.0, 2.0]), one.narration(name)
