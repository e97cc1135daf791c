"""A Python-package job whose environment is cached, against a program of this machine's own Python.

Both end at once, and both are measured from sending the create to seeing the end; they take turns. The environment is
Python alone and one wheel, made by the first job, so that no package index has a part in it.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

from benchmarks.harness import JOBS_PATH, Row, Server, job_body, median, scratch, server
from benchmarks.rest_client import job_ms, request, run

IMAGE, BUCKET, WHEEL = "localhost/trainyard-bench/python-alone:1", "bench", "trainer-0.1-py3-none-any.whl"
_LOOK_AGAIN_SECONDS = 0.002
_MOST_SECONDS = 120.0
_ABOUT = "trainer-0.1.dist-info"
_FILES = {
    "trainer/__init__.py": "",
    "trainer/task.py": "",
    f"{_ABOUT}/METADATA": "Metadata-Version: 2.1\nName: trainer\nVersion: 0.1\n",
    f"{_ABOUT}/WHEEL": "Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}


def measure(quick: bool) -> list[Row]:
    images = Path(scratch().name, "images.json")
    images.write_text(json.dumps({IMAGE: []}))
    with server(f"--prebuilt-images={images}") as one:
        _put_wheel(one.data_dir / "buckets" / BUCKET)
        first = run(_job(one, _package_body()))
        run(_job(one, _plain_body()))
        packaged, plain = [], []
        for _ in range(5 if quick else 40):
            plain.append(run(_job(one, _plain_body())))
            packaged.append(run(_job(one, _package_body())))
    note = f"{median(packaged):.1f} ms against {median(plain):.1f} ms; the first, which makes it, {first:,.0f} ms"
    over = median(packaged) - median(plain)
    return [Row("a package job in its cached environment, over a host job, p50", over, "ms", "≤ 100", note=note)]


def _plain_body() -> bytes:
    return job_body(sys.executable, "-c", "pass", name="plain")


def _package_body() -> bytes:
    package = {
        "executorImageUri": IMAGE,
        "packageUris": [f"gs://{BUCKET}/{WHEEL}"],
        "pythonModule": "trainer.task",
    }
    pool = {"machineSpec": {"machineType": "n1-standard-4"}, "replicaCount": 1, "pythonPackageSpec": package}
    return json.dumps({"displayName": "package", "jobSpec": {"workerPoolSpecs": [pool]}}).encode()


def _put_wheel(bucket: Path) -> None:
    bucket.mkdir(parents=True)
    record = "".join(f"{name},,\n" for name in (*_FILES, f"{_ABOUT}/RECORD"))
    with zipfile.ZipFile(bucket / WHEEL, "w") as wheel:
        for name, text in {**_FILES, f"{_ABOUT}/RECORD": record}.items():
            wheel.writestr(name, text)


async def _job(one: Server, body: bytes) -> float:
    """Milliseconds from sending the create to seeing that it has ended well."""
    return await job_ms(one.port, request("POST", JOBS_PATH, body), _LOOK_AGAIN_SECONDS, _MOST_SECONDS)
