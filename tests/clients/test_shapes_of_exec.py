"""Other shapes in which people run Vertex code: a notebook, a test run, a script that the SDK packs."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from foreign import Ended

from trainyard.local_service import LocalService

pytestmark = [pytest.mark.clients, pytest.mark.slow]
PIPELINE = """
from google.cloud import aiplatform

def submit():
    aiplatform.init(location="us-central1", staging_bucket="gs://shapes")
    pool = {"machine_spec": {"machine_type": "n1-standard-4"}, "replica_count": 1,
            "container_spec": {"image_uri": "host", "command": ["echo", "trained"]}}
    job = aiplatform.CustomJob(display_name="shape", worker_pool_specs=[pool])
    job.submit()
    return job.resource_name
"""


def test_a_notebook_runs_unedited(
    execute: Callable[..., Ended], service: LocalService, project: str, tmp_path: Path
) -> None:
    """`trainyard exec -- jupyter-execute`: the kernel is a child of a child, and is redirected all the same."""
    jupyter = shutil.which("jupyter-execute", path=str(Path(sys.executable).parent))
    if jupyter is None:
        pytest.skip("there is no jupyter-execute: pip install nbclient ipykernel")
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "execution_count": None, "outputs": []}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": kernel}
    path = tmp_path / "train.ipynb"
    path.write_text(json.dumps(notebook | {"cells": [cell | {"source": f"{PIPELINE}\nprint('made', submit())"}]}))
    ended = execute(jupyter, "--inplace", str(path), JUPYTER_PLATFORM_DIRS="1", IPYTHONDIR=str(tmp_path))
    assert ended.code == 0, ended.err
    outputs = json.loads(path.read_text())["cells"][0]["outputs"]
    said = "".join(text for each in outputs if each.get("name") == "stdout" for text in each["text"])
    name = said.split("made ")[1].strip()
    assert service.wait(name)["state"] == "JOB_STATE_SUCCEEDED"
    assert "trained" in service.logs(name)


def test_a_test_run_is_redirected(
    execute: Callable[..., Ended], service: LocalService, project: str, tmp_path: Path
) -> None:
    """`trainyard exec -- pytest` with a project's own tests, which know nothing of us."""
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    (tmp_path / "test_pipeline.py").write_text(
        "from pipeline import submit\n\ndef test_it():\n    print('made', submit())\n"
    )
    ended = execute(sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", str(tmp_path))
    assert "1 passed" in ended.out, ended.out + ended.err
    name = ended.out.split("made ")[1].split()[0]
    assert service.wait(name)["state"] == "JOB_STATE_SUCCEEDED"


SCRIPT = """
from google.cloud import aiplatform
aiplatform.init(location="us-central1", staging_bucket="gs://{bucket}")
job = aiplatform.CustomJob.from_local_script(
    display_name="local", script_path="train.py", container_uri="{image}", machine_type="n1-standard-4",
    args=["--epochs", "2"], environment_variables={{"COLOUR": "blue"}}, replica_count=2)
job.submit()
print("made", job.resource_name)
"""


@pytest.mark.parametrize(
    "image",
    ["python:3.11", "us-docker.pkg.dev/vertex-ai/training/scikit-learn-cpu.1-0:latest"],
    ids=["plain", "prebuilt"],
)
def test_a_local_script_with_any_image(
    execute: Callable[..., Ended], service: LocalService, project: str, tmp_path: Path, image: str
) -> None:
    """`from_local_script` under exec: packed, staged to gs:// and run in two replicas, with arguments and variables."""
    (tmp_path / "train.py").write_text("import os, sys\nprint('ran', sys.argv[1:], os.environ['COLOUR'])\n")
    (tmp_path / "submit.py").write_text(SCRIPT.format(bucket=project, image=image))
    ended = execute("sh", "-c", f"cd {tmp_path} && {sys.executable} submit.py")
    assert ended.code == 0, ended.err
    name = ended.out.split("made ")[1].split()[0]
    job = service.wait(name, timeout=180)
    assert job["state"] == "JOB_STATE_SUCCEEDED", service.why(name)
    assert "ran ['--epochs', '2'] blue" in service.logs(name)  # a worker that is slower than the primary is ended
