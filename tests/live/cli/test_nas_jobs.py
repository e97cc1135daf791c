"""nas-jobs against a real service: real searches, followed, looked at, drawn, resumed and ended."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
PROGRAM = str(Path(sys.executable).with_name("trainyard"))
EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "nas_digits"
SPACE = f"--search-space={EXAMPLE / 'search_space.json'}"
SHELL = "--worker-pool-spec=machine-type=n1-standard-4,container-image-uri=host"
REPORT = 'echo "{\\"reward\\": \\"0.5\\"}" > "$CLOUD_ML_HP_METRIC_FILE"'
digits = pytest.mark.skipif(
    find_spec("sklearn") is None or find_spec("numpy") is None, reason="make demo-nas installs what the example needs"
)


def shell_search(trainyard: Run, name: str, script: str, *more: str) -> subprocess.CompletedProcess[str]:
    command = f"--command=^;^sh;-c;{script};trainer"
    return trainyard("nas-jobs", "create", f"--display-name={name}", SPACE, SHELL, command, "--metric-id=reward", *more)


@digits
@pytest.mark.slow
def test_a_search_is_followed_looked_at_drawn_and_resumed(trainyard: Run, tmp_path: Path) -> None:
    """The example, cut short: every face shows the same best architecture, and it goes on from where it ended."""
    config = f"--config={EXAMPLE / 'spec.yaml'}"
    counts = ["--max-trial-count=10", "--train-frequency=10", "--train-parallel-trial-count=1"]
    done = trainyard("nas-jobs", "create", "--display-name=digits", config, SPACE, *counts, "--follow")
    assert done.returncode == 0, done.stderr
    assert "● RUNNING" in done.stdout
    assert "10 succeeded of 10" in done.stdout
    best = re.search(r"^  (\d+) +(0\.\d+) +(0\.\d+) +(layers=.*skip=(?:True|False))$", done.stdout, re.MULTILINE)
    assert best, done.stdout
    number, value, trained, architecture = best.groups()

    assert f"{number}  " in trainyard("nas-jobs", "describe", "digits").stdout
    listed = json.loads(trainyard("nas-jobs", "trials", "digits", "--best", "--format=json").stdout)
    assert (listed[0]["id"], f"{listed[0]['metrics']['reward']:.6g}") == (number, value)
    assert f"{listed[0]['trained']:.6g}" == trained
    assert listed[0]["metrics"].keys() == {"reward", "accuracy", "parameters"}
    assert len(trainyard("nas-jobs", "trials", "digits").stdout.splitlines()) == 11

    page = tmp_path / "search.html"
    assert trainyard("nas-jobs", "plot", "digits", f"--output={page}").returncode == 0
    assert page.read_text().count('class="mark') == 10
    assert architecture.split()[0].split("{")[0] in page.read_text()
    assert "right with" in trainyard("nas-jobs", "stream-logs", "digits").stdout

    resumed = trainyard(
        "nas-jobs", "create", "--display-name=more", "--resume=digits", "--max-trial-count=3", "--follow"
    )
    assert resumed.returncode == 0, resumed.stderr
    assert "3 succeeded of 3" in resumed.stdout
    assert trainyard("nas-jobs", "delete", "more", "--quiet").returncode == 0
    assert trainyard("nas-jobs", "describe", "more").returncode == 1


def test_a_search_ends_as_it_is_asked_to(trainyard: Run) -> None:
    """finish lets what runs end well, cancel stops it; the others' exit codes hold for both."""
    counts = ["--max-trial-count=50", "--parallel-trial-count=2"]
    assert shell_search(trainyard, "finished", f"sleep 0.3; {REPORT}", *counts).returncode == 0
    assert trainyard("nas-jobs", "finish", "finished").returncode == 0
    assert shell_search(trainyard, "cancelled", "sleep 100", *counts).returncode == 0
    assert trainyard("nas-jobs", "cancel", "cancelled").returncode == 0
    for name, state in (("finished", "SUCCEEDED"), ("cancelled", "CANCELLED")):
        trainyard("nas-jobs", "stream-logs", name)
        listed = trainyard("nas-jobs", "list", f'--filter=displayName="{name}"', "--format=value(state)")
        assert listed.stdout.strip() == f"JOB_STATE_{state}"


def test_a_failing_search_is_exit_code_1(trainyard: Run) -> None:
    """--follow ends as the search ends, and says why."""
    counts = ["--max-trial-count=9", "--parallel-trial-count=3", "--max-failed-trial-count=2"]
    done = shell_search(trainyard, "failing", "exit 3", *counts, "--follow")
    assert done.returncode == 1, done.stdout
    assert "● FAILED" in done.stdout
    assert "maxFailedTrialCount" in done.stdout


def test_ctrl_c_cancels_what_is_followed(trainyard: Run, service: object, environment: dict[str, str]) -> None:
    """The first asks for the end, which is then shown; nothing is left running."""
    endpoint = str(service.endpoint)  # type: ignore[attr-defined]  # the fixture's class lives in conftest
    command = [
        PROGRAM,
        "nas-jobs",
        "create",
        "--display-name=torn",
        SPACE,
        SHELL,
        "--command=^;^sh;-c;sleep 100",
        "--follow",
    ]
    counts = ["--metric-id=reward", "--max-trial-count=5", "--parallel-trial-count=2"]
    process = subprocess.Popen(
        [*command, *counts], stdout=subprocess.PIPE, text=True, env={**environment, "TRAINYARD_ENDPOINT": endpoint}
    )
    assert process.stdout is not None
    shown = []
    while not any("RUNNING" in line for line in shown):
        shown.append(process.stdout.readline())
        assert shown[-1], shown
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "● CANCELLED" in rest


@digits
@pytest.mark.slow
def test_the_demo_searches_and_draws(environment: dict[str, str], tmp_path: Path) -> None:
    """make demo-nas: live progress, the best architectures, a picture where it is said to be, and no service left."""
    command = [PROGRAM, "demo", "--nas", "--data-dir", str(tmp_path / "d"), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "of 200 trials" in done.stdout
    rows = re.findall(r"^  \d+ +(0\.\d+) +(0\.\d+)? *layers=", done.stdout, re.MULTILINE)
    assert len(rows) == 5
    assert float(rows[0][0]) > 0.9
    assert float(rows[0][1]) > 0.9
    picture = re.search(r"^picture +(\S+)", done.stdout, re.MULTILINE)
    assert picture
    assert "<svg" in Path(picture.group(1)).read_text()
    (pid,) = re.findall(r"\(process (\d+),", done.stdout)
    assert not Path("/proc", pid).exists()
