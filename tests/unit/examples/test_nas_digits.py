"""The example's trainer keeps to the documented contract: its flags, its variables, its metric file."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from random import Random

import pytest

from trainyard.core.parameters import parameters_text
from trainyard.core.points import drawn
from trainyard.core.space_text import read_space
from trainyard.core.trials import Measurement, read_measurement

pytestmark = pytest.mark.skipif(
    find_spec("sklearn") is None or find_spec("numpy") is None, reason="make demo-nas installs what the example needs"
)
FOLDER = Path(__file__).resolve().parents[3] / "examples" / "nas_digits"
SPACE = read_space((FOLDER / "search_space.json").read_text())


@pytest.mark.parametrize("seed", range(3))
def test_what_it_reports_is_a_measurement(tmp_path: Path, seed: int) -> None:
    """Any point of its space is trained; reward, accuracy and size are in its file, and nothing of ours is in it."""
    file = tmp_path / "metrics" / "file"
    text = parameters_text(SPACE, drawn(SPACE, Random(seed)))
    command = [sys.executable, str(FOLDER / "train.py"), f"--nas_params_str={text}", f"--job-dir={tmp_path}/out"]
    environment = {"CLOUD_ML_HP_METRIC_TAG": "reward", "CLOUD_ML_HP_METRIC_FILE": str(file), "CLOUD_ML_TRIAL_ID": "4"}
    done = subprocess.run(
        [*command, "--epochs=3", "--final"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = read_measurement(file.read_bytes(), "reward")
    assert isinstance(found, Measurement)
    assert found.metrics.keys() == {"reward", "accuracy", "parameters"}
    assert 0.0 < found.metrics["reward"] <= found.metrics["accuracy"] <= 1.0
    assert found.step_count == 3
    assert json.loads((tmp_path / "out" / "nas_params_str.json").read_text()) == json.loads(text)
    assert (tmp_path / "out" / "network.npz").exists()
    assert "right with" in done.stdout
    assert "trainyard" not in (FOLDER / "train.py").read_text().replace("Trainyard", "").replace(
        "TRAINYARD_GCS_ROOT", ""
    )
