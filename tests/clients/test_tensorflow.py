"""TensorFlow's own gs://, which is C++ with Google's names in it, under `trainyard exec`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from foreign import ROOT, Ended, program

from trainyard.local_service import LocalService

pytestmark = [pytest.mark.clients, pytest.mark.slow]
PYTHON = ROOT / ".venv" / ".clients-tensorflow" / "bin" / "python"
HOW = f"uv venv {PYTHON.parent.parent} && uv pip install --python {PYTHON} tensorflow-cpu"


@pytest.mark.skipif(not PYTHON.exists(), reason=f"TensorFlow is not here (2 GB): {HOW}")
def test_tensorflows_files_are_here(execute: Callable[..., Ended], service: LocalService, project: str) -> None:
    """gfile, checkpoints, records, saved models and summaries; its children do not take us for their proxy."""
    ended = execute(str(PYTHON), program("tensorflow_story.py"), project, TRAINYARD_DATA_DIR=str(service.data_dir))
    told = ended.told
    assert told.pop("version").startswith("2.")
    assert told == {
        "stat": [True, 60], "read": "hello", "glob": ["a.txt", "c.txt"], "missing": True, "large": 20_000_000,
        "restored": 3.0, "records": ["abc"], "model": 4.0, "summaries": 1, "proxied child": "False",
    }, ended.err  # fmt: skip
    assert service.path(f"gs://{project}/out/model/a.txt").read_text() == "hello\n" * 10
    assert "trainyard: www.googleapis.com is http://127.0.0.1:" in ended.err
