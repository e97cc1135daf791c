"""`CustomJob.run()` of google-cloud-aiplatform for a job that does nothing, from the call to SUCCEEDED.

The SDK polls every five seconds, which nobody can shorten from outside. Ours is what it waited for us: every answer to
its calls, and what a job that is due is not done. Seen by a clock around the SDK's own channel, not by our logs.
"""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.harness import Row, median, server

PROGRAM = """
import json, sys, time
from google.api_core import operation  # the SDK's imports are not what is timed
from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform
from google.cloud.aiplatform import jobs
import requests

spent = []
send = requests.Session.send

def timed(self, *positional, **options):
    began = time.perf_counter()
    try:
        return send(self, *positional, **options)
    finally:
        spent.append(time.perf_counter() - began)

requests.Session.send = timed
url, count = sys.argv[1], int(sys.argv[2])
aiplatform.init(project="bench", location="us-central1", api_endpoint=url, api_transport="rest",
                credentials=AnonymousCredentials(), staging_bucket="gs://bench")
pool = {"machine_spec": {"machine_type": "n1-standard-4"}, "replica_count": 1,
        "container_spec": {"image_uri": "host", "command": ["true"]}}
found = []
for _ in range(count):
    spent.clear()
    began = time.perf_counter()
    job = aiplatform.CustomJob(display_name="noop", worker_pool_specs=[pool])
    job.run()
    took = time.perf_counter() - began
    job._sync_gca_resource()
    ended = job.end_time.timestamp() - job.create_time.timestamp()
    found.append({"run": took, "calls": sum(spent[:-1]), "job": ended})
print(json.dumps(found))
"""


def measure(quick: bool) -> list[Row]:
    with server() as one:
        command = [sys.executable, "-c", PROGRAM, one.url, "1" if quick else "5"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    runs = json.loads(done.stdout.strip().splitlines()[-1])
    total, calls, job = (median([each[name] for each in runs]) for name in ("run", "calls", "job"))
    return [
        Row("run() of a job that does nothing", total, "s", note="the SDK looks every 5 s"),
        Row("our share: answers to all its calls", calls * 1000, "ms", "≤ 50"),
        Row("the job itself, createTime to endTime", job * 1000, "ms", note="done long before the SDK looks again"),
    ]
