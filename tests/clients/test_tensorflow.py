"""TensorFlow's own gs://, which is C++ with Google's names in it, under `trainyard exec`."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from foreign import ROOT, Ended, program

from trainyard.local_service import LocalService

pytestmark = [pytest.mark.clients, pytest.mark.slow]
PYTHON = ROOT / ".venv" / "frameworks" / "tensorflow" / "bin" / "python"

SEEN = {
    "stat": [True, 60], "read": "hello", "glob": ["a.txt", "c.txt"], "missing": True, "large": 20_000_000,
    "restored": 3.0, "records": ["abc"], "model": 4.0, "summaries": 1, "proxied child": "False",
}  # fmt: skip
needs_tensorflow = pytest.mark.skipif(not PYTHON.exists(), reason="TensorFlow is not installed: make frameworks")


@needs_tensorflow
def test_tensorflows_files_are_here(execute: Callable[..., Ended], service: LocalService, project: str) -> None:
    """gfile, checkpoints, records, saved models and summaries; its children do not take us for their proxy."""
    ended = execute(str(PYTHON), program("tensorflow_story.py"), project, TRAINYARD_DATA_DIR=str(service.data_dir))
    told = ended.told
    assert told.pop("version").startswith("2.")
    assert told == SEEN, ended.err
    assert service.path(f"gs://{project}/out/model/a.txt").read_text() == "hello\n" * 10
    assert "trainyard: www.googleapis.com is http://127.0.0.1:" in ended.err


@needs_tensorflow
def test_tensorflow_in_a_job_writes_to_its_directories(service: LocalService, project: str) -> None:
    """gs:// by name, with the run's own credentials; no other library of the program is touched."""
    check = "import sys, http.client; print('trainyard_redirect.sockets' in sys.modules)"
    name = service.submit("sh", "-c", f'{PYTHON} {program("tensorflow_story.py")} {project} && {PYTHON} -c "{check}"')
    assert service.wait(name, timeout=180)["state"] == "JOB_STATE_SUCCEEDED", service.logs(name)
    *_, told, touched = service.logs(name, "workerpool0-0").strip().splitlines()
    assert {key: value for key, value in json.loads(told).items() if key != "version"} == SEEN
    assert touched == "False"
    assert service.path(f"gs://{project}/out/model/a.txt").exists()
