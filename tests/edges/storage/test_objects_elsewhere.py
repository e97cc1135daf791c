"""gs:// in an object store elsewhere: jobs and their packages come from there, and nothing pretends to be /gcs."""

from __future__ import annotations

import io
import tarfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from edge_server import Api, Server, pool, pools
from storage_calls import Storage

pytest.importorskip("obstore")

PROGRAM = """
import os, pathlib, urllib.request
bucket, _, prefix = os.environ["AIP_MODEL_DIR"].removeprefix("gs://").partition("/")
print(os.environ.get("TRAINYARD_GCS_ROOT"), pathlib.Path("/gcs").exists())
url = f"{os.environ['STORAGE_EMULATOR_HOST']}/upload/storage/v1/b/{bucket}/o?uploadType=media&name={prefix}m"
print(urllib.request.urlopen(urllib.request.Request(url, b"weights", method="POST")).status)
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """A service whose objects lie in another directory, which obstore keeps."""
    home = tmp_path_factory.mktemp("elsewhere")
    (home / "store").mkdir()
    with Server(home / "data", "--objects-url", f"file://{home}/store", "--prebuilt", "host") as server:
        yield server, home / "store"


def packed(program: str) -> bytes:
    """A source distribution with one module, `task`."""
    setup = "from setuptools import setup; setup(name='trainer', version='0.1', py_modules=['task'])"
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, text in (("setup.py", setup), ("task.py", program)):
            info = tarfile.TarInfo(f"trainer-0.1/{name}")
            info.size, info.mtime = len(text), int(time.time())
            archive.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


def packaged(uri: str, **job_spec: Any) -> dict[str, Any]:
    """A job that runs a package."""
    image = "us-docker.pkg.dev/vertex-ai/training/scikit-learn-cpu.1-0:latest"
    spec = {"executorImageUri": image, "packageUris": [uri], "pythonModule": "task"}
    one = pool(pythonPackageSpec=spec)
    return pools({name: value for name, value in one.items() if name != "containerSpec"}, **job_spec)


def test_a_package_comes_from_the_store_and_outputs_go_there(elsewhere: tuple[Server, Path]) -> None:
    """The program writes to gs:// through the service; there is neither /gcs nor a directory of buckets."""
    server, store = elsewhere
    storage, api = Storage(server, f"b-{uuid.uuid4().hex[:8]}"), Api(server.port)
    assert storage.upload("dist%2Ftrainer-0.1.tar.gz", packed(PROGRAM)).status == 200
    out = {"outputUriPrefix": f"gs://{storage.bucket}/run"}
    body = packaged(f"gs://{storage.bucket}/dist/trainer-0.1.tar.gz", baseOutputDirectory=out)
    job = api.wait(api.made(body)["name"], seconds=120)
    assert job["state"] == "JOB_STATE_SUCCEEDED", job
    logged = api.call("GET", f"/trainyard/v1/{job['name']}/logs/workerpool0-0/stdout").body
    assert logged == b"None False\n200\n"
    assert (store / storage.bucket / "run" / "model" / "m").read_bytes() == b"weights"
    told = api.call("GET", f"/trainyard/v1/{job['name']}/logs?task=service").json["entries"]
    assert any("There is no /gcs here" in each["text"] for each in told)
    assert not (server.data_dir / "buckets" / storage.bucket).exists()
    api.close()


@pytest.mark.parametrize(
    ("uri", "why"),
    [("gs://nowhere-b/dist/x.tar.gz", "does not exist; upload it"), ("gs://nowhere-b/dist/", "can't be a file's name")],
)
def test_a_package_that_is_not_there_fails_the_job(elsewhere: tuple[Server, Path], uri: str, why: str) -> None:
    """With the sentence that says what to do."""
    api = Api(elsewhere[0].port)
    job = api.wait(api.made(packaged(uri))["name"], seconds=60)
    assert job["state"] == "JOB_STATE_FAILED"
    assert why in job["error"]["message"]
    api.close()
