"""The verbs of nas-jobs, against answers written down."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from trainyard.cli.main import main

ROOT = Path(__file__).resolve().parents[3]
SPACE = (ROOT / "examples" / "nas_digits" / "search_space.json").read_text().strip()
NAME = "projects/1/locations/us-central1/nasJobs/7"
CONTAINER = "--worker-pool-spec=machine-type=m,container-image-uri=i"
POINTS = {
    1: {"layers": "0/3 (x)", "layers[=0/3][0].width": "0/4 (4)", "layers[=0/3][0].activation": "1/4 ('tanh')"},
    2: {"layers": "0/3 (x)", "layers[=0/3][0].width": "2/4 (16)", "layers[=0/3][0].activation": "0/4 ('relu')"},
    3: {"layers": "0/3 (x)", "layers[=0/3][0].width": "3/4 (32)", "layers[=0/3][0].activation": "0/4 ('relu')"},
}
LITERAL = json.loads(SPACE)["elements"][0]["literal_values"][0]
PARAMETERS = {
    number: json.dumps(point | {"layers": f"0/3 ({LITERAL})", "skip": "1/2 (True)"}) for number, point in POINTS.items()
}


def trial(number: int, value: float | None) -> dict[str, Any]:
    """A search trial as the API shows it."""
    shown: dict[str, Any] = {"id": str(number), "state": "INFEASIBLE" if value is None else "SUCCEEDED"}
    shown |= {"startTime": "2026-11-21T10:00:00.5Z", "endTime": "2026-11-21T10:00:02Z"}
    if value is not None:
        metrics = [{"metricId": "reward", "value": value}, {"metricId": "parameters", "value": 900.0}]
        shown["finalMeasurement"] = {"metrics": metrics}
    return shown


TRIALS = [trial(1, 0.8), trial(2, 0.95), trial(3, None)]
JOB = {
    "name": NAME,
    "displayName": "digits",
    "state": "JOB_STATE_SUCCEEDED",
    "labels": {"team": "vision"},
    "nasJobSpec": {
        "searchSpaceSpec": SPACE,
        "multiTrialAlgorithmSpec": {
            "metric": {"metricId": "reward", "goal": "MAXIMIZE"},
            "searchTrialSpec": {"searchTrialJobSpec": {"workerPoolSpecs": [{}]}, "maxTrialCount": 3},
        },
    },
    "nasJobOutput": {"multiTrialJobOutput": {"searchTrials": TRIALS}},
}


def detail(number: int) -> dict[str, Any]:
    """A trial's detail as the API shows it."""
    return {
        "name": f"{NAME}/nasTrialDetails/{number}",
        "parameters": PARAMETERS[number],
        "searchTrial": TRIALS[number - 1],
    }


def answers(asked: Any) -> Any:
    """What a service says of this job: details of what was measured, best first, and each one by its id."""
    path = asked.path.partition("?")[0]
    if asked.verb == "POST":
        return 200, JOB
    if path.endswith(":explain"):
        return 200, {"sentence": "All 3 trials have ended."}
    if path.endswith("/nasTrialDetails"):
        return 200, {"nasTrialDetails": [detail(2) | {"trainTrial": trial(1, 0.99)}, detail(1)]}
    if found := re.search(r"/nasTrialDetails/(\d+)$", path):
        return 200, detail(int(found.group(1)))
    return 200, {"nasJobs": [JOB]} if path.endswith("/nasJobs") else JOB


@pytest.fixture
def run(stand_in: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a verb; gives exit code, stdout and stderr."""
    monkeypatch.setenv("TRAINYARD_ENDPOINT", stand_in.endpoint)
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    stand_in.answer = answers

    def go(*arguments: str) -> tuple[int, str, str]:
        code = main(["nas-jobs", *arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return go


def test_create_sends_what_the_flags_say(stand_in: Any, run: Any, tmp_path: Path) -> None:
    """Space from a file, metric, counts, trial program, output below nas/search and nas/train; all in API's words."""
    space = tmp_path / "space.json"
    space.write_text(SPACE + "\n")
    code, out, err = run(
        *("create", "--display-name=digits", f"--search-space={space}", "--metric-id=reward", CONTAINER),
        *("--max-trial-count=20", "--parallel-trial-count=2", "--train-frequency=10", "--args=--epochs=3"),
        *("--output-dir=gs://b/x/", "--labels=team=vision", "--timeout=2h", "--algorithm=grid-search"),
        "--format=value(name)",
    )
    assert (code, out) == (0, f"{NAME}\n")
    assert f"NasJob [{NAME}] is submitted successfully." in err
    assert "trainyard nas-jobs describe 7" in err
    (asked,) = stand_in.asked
    spec = asked.body["nasJobSpec"]
    assert (asked.body["displayName"], asked.body["labels"]) == ("digits", {"team": "vision"})
    assert spec["searchSpaceSpec"] == SPACE
    algorithm = spec["multiTrialAlgorithmSpec"]
    assert algorithm["multiTrialAlgorithm"] == "GRID_SEARCH"
    assert algorithm["metric"] == {"metricId": "reward", "goal": "MAXIMIZE"}
    search, train = algorithm["searchTrialSpec"], algorithm["trainTrialSpec"]
    assert (search["maxTrialCount"], search["maxParallelTrialCount"]) == (20, 2)
    assert (train["frequency"], train["maxParallelTrialCount"]) == (10, 1)
    assert search["searchTrialJobSpec"]["workerPoolSpecs"][0]["containerSpec"]["args"] == ["--epochs=3"]
    assert search["searchTrialJobSpec"]["baseOutputDirectory"] == {"outputUriPrefix": "gs://b/x/nas/search"}
    assert train["trainTrialJobSpec"]["baseOutputDirectory"] == {"outputUriPrefix": "gs://b/x/nas/train"}
    assert search["searchTrialJobSpec"]["scheduling"] == {"timeout": "7200s"}
    assert "scheduling" not in train["trainTrialJobSpec"]


def test_create_takes_a_spec_from_a_file(stand_in: Any, run: Any) -> None:
    """The example's own config: flags override it, and its places become the directory and the Python."""
    config = ROOT / "examples" / "nas_digits" / "spec.yaml"
    assert run("create", "--display-name=d", f"--config={config}", "--max-trial-count=5")[0] == 0
    algorithm = stand_in.asked[-1].body["nasJobSpec"]["multiTrialAlgorithmSpec"]
    assert algorithm["searchTrialSpec"]["maxTrialCount"] == 5
    pool = algorithm["searchTrialSpec"]["searchTrialJobSpec"]["workerPoolSpecs"][0]
    assert {"name": "TRAINYARD_SPEC_DIR", "value": str(config.parent)} in pool["containerSpec"]["env"]


def test_resume_takes_over_the_old_search(stand_in: Any, run: Any) -> None:
    """Program and labels are the old job's; space, metric and algorithm are not said again; flags override counts."""
    assert run("create", "--display-name=more", "--resume=7", "--max-trial-count=50")[0] == 0
    body = stand_in.asked[-1].body
    spec = body["nasJobSpec"]
    assert spec["resumeNasJobId"] == "7"
    assert "searchSpaceSpec" not in spec
    assert spec["multiTrialAlgorithmSpec"].keys() == {"searchTrialSpec"}
    assert spec["multiTrialAlgorithmSpec"]["searchTrialSpec"]["maxTrialCount"] == 50
    assert body["labels"] == {"team": "vision"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--resume=7", "--metric-id=x"], "--metric-id can't go with --resume"),
        (["--metric-id=x"], "say what a trial runs"),
        ([CONTAINER, "--search-space=/nowhere"], "/nowhere can't be read"),
        ([CONTAINER, "--timeout=soon"], "no duration"),
    ],
)
def test_what_can_not_be_meant_is_refused(run: Any, arguments: list[str], complaint: str) -> None:
    """A wrong command line is exit code 2 and one sentence, and nothing is created."""
    code, out, err = run("create", "--display-name=x", *arguments)
    assert (code, out) == (2, "")
    assert complaint in err


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("nasJobSpec: {a: 1}", "holds a whole NasJob"),
        ("multiTrialAlgorithmSpec: 3", "holds mappings"),
        ("multiTrialAlgorithmSpec: {searchTrialSpec: [1]}", "holds mappings"),
    ],
)
def test_a_bad_config_is_refused(run: Any, tmp_path: Path, text: str, complaint: str) -> None:
    """A file that is no NasJobSpec is named with what is wrong with it."""
    file = tmp_path / "spec.yaml"
    file.write_text(text)
    code, _, err = run("create", "--display-name=x", f"--config={file}")
    assert code == 2
    assert complaint in err


def test_a_search_space_is_text(run: Any, tmp_path: Path) -> None:
    """A file that is no text is refused before anything is asked."""
    file = tmp_path / "space"
    file.write_bytes(b"\xff\xfe")
    code, _, err = run("create", "--display-name=x", CONTAINER, f"--search-space={file}")
    assert code == 2
    assert "not text in UTF-8" in err


def test_follow_shows_the_search_and_ends_as_it_ends(run: Any) -> None:
    """Each new best is a line with its architecture; the end is the table of the best, the exit code the job's."""
    code, out, _ = run("create", "--display-name=x", CONTAINER, "--follow")
    assert code == 0
    assert "● SUCCEEDED" in out
    assert "trial    2  reward 0.95  layers={[0].width=16 [0].activation='relu'} skip=True" in out
    assert "BEST ARCHITECTURES" in out


def test_describe_shows_the_best_architectures(run: Any) -> None:
    """Decoded and best first, with what training them gave; the space's text does not flood the screen."""
    code, out, _ = run("describe", "digits")
    assert code == 0
    assert "2 succeeded, 1 infeasible of 3" in out
    lines = out[out.index("BEST ARCHITECTURES") :].splitlines()
    assert lines[1].split() == ["TRIAL", "REWARD", "TRAINED", "ARCHITECTURE"]
    assert lines[2].split(maxsplit=3) == ["2", "0.95", "0.99", "layers={[0].width=16 [0].activation='relu'} skip=True"]
    assert lines[3].split()[0] == "1"
    assert "All 3 trials have ended." in out
    assert "literal_values" not in out
    assert json.loads(run("describe", "7", "--format=json")[1]) == JOB


def test_describe_of_a_search_without_trials_has_no_table(stand_in: Any, run: Any) -> None:
    """Before the first trial there is nothing to show but the job."""
    stand_in.answer = lambda asked: (
        (200, {}) if "Details" in asked.path else (200, {k: v for k, v in JOB.items() if k != "nasJobOutput"})
    )
    assert "ARCHITECTURES" not in run("describe", "7")[1]
    code, out, err = run("trials", "7")
    assert (code, out) == (0, "")
    assert "no such trials yet" in err


def test_trials_is_a_table_of_all(run: Any) -> None:
    """Also of those that the list of details leaves out; --best sorts, --limit cuts, fields come as asked."""
    code, out, _ = run("trials", "7")
    assert code == 0
    rows = out.splitlines()
    assert rows[0].split() == ["TRIAL", "STATE", "REWARD", "TRAINED", "RAN", "FOR", "ARCHITECTURE"]
    assert [row.split()[:2] for row in rows[1:]] == [["1", "SUCCEEDED"], ["2", "SUCCEEDED"], ["3", "INFEASIBLE"]]
    assert "width=32" in rows[3]
    assert "1.50s" in rows[1]
    assert run("trials", "7", "--best", "--limit=1", "--format=value(id,metrics.parameters)")[1] == "2\t900.0\n"
    assert [each["id"] for each in json.loads(run("trials", "7", "--format=json")[1])] == ["1", "2", "3"]


def test_the_space_of_a_resumed_search_is_the_old_ones(stand_in: Any, run: Any) -> None:
    """A resumed job does not hold its space; without the old job architectures are shown as their parameters."""
    resumed = json.loads(json.dumps(JOB))
    resumed["name"] = NAME[:-1] + "8"
    resumed["nasJobSpec"] |= {"resumeNasJobId": "7"}
    del resumed["nasJobSpec"]["searchSpaceSpec"]
    del resumed["nasJobSpec"]["multiTrialAlgorithmSpec"]["metric"]
    stand_in.answer = lambda asked: (200, resumed) if asked.path.endswith("/nasJobs/8") else answers(asked)
    assert "width=16 [0].activation='relu'} skip=True" in run("trials", "8")[1]
    gone = {"error": {"message": "gone", "status": "NOT_FOUND"}}

    def without_old(asked: Any) -> Any:
        if asked.path.endswith("/nasJobs/8"):
            return 200, resumed
        return (404, gone) if asked.path.endswith("/nasJobs/7") or asked.path.endswith("Details/3") else answers(asked)

    stand_in.answer = without_old
    out = run("trials", "8")[1]
    assert "skip=1/2 (True)" in out
    assert out.splitlines()[3].split() == ["3", "INFEASIBLE", "1.50s"]


def test_plot_draws_a_page(run: Any, tmp_path: Path) -> None:
    """One file without a reference to anything else: each trial, the best so far, a card for each decision."""
    file = tmp_path / "search.html"
    code, out, _ = run("plot", "7", f"--output={file}")
    assert (code, out) == (0, f"{file}\n")
    page = file.read_text()
    assert not re.search(r"(src|href)=|@import|url\(", page)
    assert page.count('class="mark') == 2
    assert page.count('class="card"') == 14
    assert "trial 3: infeasible" in page
    assert "skip=True" in page


def test_plot_draws_a_png(run: Any, tmp_path: Path) -> None:
    """By matplotlib: a real PNG."""
    pytest.importorskip("matplotlib")
    file = tmp_path / "search.png"
    assert run("plot", "7", f"--output={file}")[0] == 0
    assert file.read_bytes().startswith(b"\x89PNG")


def test_plot_says_what_is_missing(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without matplotlib one sentence says how to get it; a place that can't be written, and another ending, too."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, _, err = run("plot", "7", f"--output={tmp_path}/search.png")
    assert code == 1
    assert "pip install 'trainyard[plots]'" in err
    code, _, err = run("plot", "7", "--output=/nowhere/search.html")
    assert code == 1
    assert "can't be written to /nowhere/search.html" in err
    assert run("plot", "7", "--output=search.svg")[0] == 2


def test_the_shared_verbs_speak_of_searches(stand_in: Any, run: Any) -> None:
    """list, cancel and delete go to nasJobs, and say NasJob."""
    assert run("list", "--format=value(name)")[1] == f"{NAME}\n"
    assert "NasJob" in run("cancel", "7")[2]
    assert f"Deleted NasJob [{NAME}]." in run("delete", NAME, "--quiet")[2]
    assert "Request to finish NasJob" in run("finish", "7")[2]
    assert stand_in.asked[-1].path == "/trainyard/v1/projects/demo/locations/us-central1/nasJobs/7:finish"
    assert {asked.path.partition("?")[0].rpartition("nasJobs")[1] for asked in stand_in.asked} == {"nasJobs"}
    assert "is no NasJob" in run("describe", "projects/1/locations/us-central1/customJobs/7")[2]
