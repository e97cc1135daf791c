"""The command line against a real service, jobs really run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
PROGRAM = str(Path(sys.executable).with_name("trainyard"))
EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "script.py"
        path.write_text(text)
        return str(path)

    return write


def test_run_is_the_script_as_if_it_ran_here(trainyard: Run, script: Any, tmp_path: Path) -> None:
    """Its stdout is our stdout byte for byte, its arguments arrive untouched, relative paths mean the caller's."""
    (tmp_path / "near.txt").write_text("found")
    path = script("import sys; print(sys.argv[1:]); print(open('near.txt').read()); print('e', file=sys.stderr)")
    arguments = ["--name", "$HOME", "a b", "$$x$(HOME)$$(HOME)"]
    done = trainyard("run", path, *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{arguments}\nfound\n"
    assert "\ne\n" in done.stderr
    assert "● SUCCEEDED" in done.stderr


@pytest.mark.parametrize("code", [1, 7, 255])
def test_run_ends_with_the_programs_own_code(trainyard: Run, script: Any, code: int) -> None:
    """A program that fails gives its exit code to whoever ran it."""
    done = trainyard("run", script(f"raise SystemExit({code})"))
    assert done.returncode == code
    assert "● FAILED" in done.stderr


def test_run_of_several_replicas_names_each(trainyard: Run) -> None:
    """One chief and two workers: each line says whose it is."""
    done = trainyard("run", "--replicas", "3", str(EXAMPLES / "hello" / "hello.py"), "Ada")
    assert done.returncode == 0, done.stderr
    for replica in ("workerpool0-0", "workerpool1-0", "workerpool1-1"):
        assert f"{replica} │ hello Ada from {replica}, step 1 of 3" in done.stdout.splitlines()


def test_run_of_a_spec_takes_options_behind_it(trainyard: Run, tmp_path: Path) -> None:
    """A spec is submitted as it is, with its place, its environment, labels, name and timeout."""
    (tmp_path / "spec.yaml").write_text(
        "workerPoolSpecs:\n- machineSpec: {machineType: n1-standard-4}\n  replicaCount: 1\n"
        "  containerSpec:\n    imageUri: host\n"
        "    command: [sh, -c, 'echo $0 $(WHO)', $(TRAINYARD_SPEC_DIR)]\n"
    )
    spec = str(tmp_path / "spec.yaml")
    done = trainyard("run", spec, "--name", "spec-job", "--env", "WHO=me", "--label", "team=a", "--timeout", "1h")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path} me\n"), done.stderr
    job = json.loads(trainyard("custom-jobs", "describe", "spec-job", "--format=json").stdout)
    assert job["labels"] == {"team": "a"}
    assert job["jobSpec"]["scheduling"]["timeout"] == "3600s"


def test_a_job_that_runs_too_long_is_told_from_one_that_fails(trainyard: Run, script: Any) -> None:
    """--timeout ends the job as cancelled: 130."""
    done = trainyard("run", "--timeout", "0.5s", script("import time; time.sleep(60)"))
    assert done.returncode == 130
    assert "● CANCELLED" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["/nonexistent.py"], "there is no file"),
        (["--replicas", "2", "SPEC"], "replicaCount"),
        (["TEXT"], "neither"),
        (["--timeout", "soon", "SCRIPT"], "duration"),
        (["--env", "X", "SCRIPT"], "NAME=VALUE"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_starts(
    trainyard: Run, tmp_path: Path, arguments: list[str], said: str
) -> None:
    """A wrong command line is exit code 2 and creates no job."""
    files = {"SPEC": "s.yaml", "TEXT": "t.txt", "SCRIPT": "s.py"}
    (tmp_path / "s.yaml").write_text("workerPoolSpecs: []")
    (tmp_path / "t.txt").write_text("text")
    (tmp_path / "s.py").write_text("")
    before = trainyard("custom-jobs", "list", "--format=value(name)").stdout
    done = trainyard("run", *[files.get(each, each) for each in arguments], cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert trainyard("custom-jobs", "list", "--format=value(name)").stdout == before


def test_shell_scripts_and_executables_run_too(trainyard: Run, tmp_path: Path) -> None:
    """`run` takes .sh scripts and anything executable."""
    (tmp_path / "a.sh").write_text("echo from sh $1")
    (tmp_path / "b").write_text("#!/bin/sh\necho from b $1")
    (tmp_path / "b").chmod(0o755)
    assert trainyard("run", "a.sh", "x", cwd=tmp_path).stdout == "from sh x\n"
    assert trainyard("run", "./b", "x", cwd=tmp_path).stdout == "from b x\n"


def test_gclouds_verbs_from_create_to_delete(trainyard: Run) -> None:
    """create, list --filter, describe, stream-logs and delete, with gcloud's path `ai custom-jobs` as well."""
    created = trainyard(
        "ai",
        "custom-jobs",
        "create",
        "--display-name=life",
        "--labels=team=cli",
        "--worker-pool-spec=machine-type=n1-standard-4,replica-count=1,container-image-uri=python:3.12",
        "--command=sh,-c",
        "--args=^|^echo one; echo two >&2",
        "--format=value(name)",
    )
    name = created.stdout.strip()
    assert created.returncode == 0, created.stderr
    logs = trainyard("custom-jobs", "stream-logs", name)
    assert logs.returncode == 0
    told = {tuple(line.split("\t")[2:4]) for line in logs.stdout.splitlines()}
    assert {("workerpool0-0", "one"), ("workerpool0-0", "two")} <= told
    only = trainyard("custom-jobs", "stream-logs", name, "--task-name=workerpool0-0").stdout
    assert "service" not in only
    listed = trainyard(
        "custom-jobs", "list", "--filter=labels.team=cli AND state=JOB_STATE_SUCCEEDED", "--format=value(name)"
    )
    assert listed.stdout.split() == [name]
    described = trainyard("custom-jobs", "describe", "life").stdout
    assert "REPLICAS" in described
    assert "exit 0" in described
    assert "JOB_STATE_SUCCEEDED" in described
    assert trainyard("custom-jobs", "cancel", name).returncode == 0
    assert trainyard("custom-jobs", "delete", name, "--quiet").returncode == 0
    gone = trainyard("custom-jobs", "describe", name)
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "does not exist" in gone.stderr


def test_faults_of_a_request_are_listed_one_a_line(trainyard: Run) -> None:
    """The service's field violations come out one a line, and nothing is created."""
    done = trainyard(
        "custom-jobs",
        "create",
        "--display-name=bad",
        "--labels=Foo=x",
        "--worker-pool-spec=machine-type=n1-standard-4,replica-count=2,container-image-uri=i",
    )
    assert done.returncode == 1
    assert len([line for line in done.stderr.splitlines() if line.startswith("  ")]) == 2
    assert trainyard("custom-jobs", "list", '--filter=displayName="bad"', "--format=value(name)").stdout == ""


def test_a_job_that_never_fits_fails_with_what_it_asked_for(trainyard: Run, script: Any) -> None:
    """A job larger than the machine is failed at once, and not left waiting; the service stays well."""
    done = trainyard("run", "--replicas", "5000", script("pass"))
    assert done.returncode == 1
    assert "5000" in done.stderr
    assert trainyard("health").returncode == 0


def test_a_waiting_job_says_its_place_and_why(small_service: Any, environment: dict[str, str]) -> None:
    """With room for one replica the second job is told its place in the queue, by `run` and by `describe`."""
    told = {**environment, "TRAINYARD_ENDPOINT": small_service.endpoint}
    sleeper = [PROGRAM, "run", "--name", "first", "/bin/sleep", "600"]
    first = subprocess.Popen(sleeper, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=told)
    assert first.stderr is not None
    while "RUNNING" not in first.stderr.readline():
        pass
    hello = [PROGRAM, "run", "--name", "second", str(EXAMPLES / "hello" / "hello.py")]
    second = subprocess.Popen(hello, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=told)
    assert second.stderr is not None
    while "Position 1 of 1" not in (line := second.stderr.readline()):
        assert line, "it ended without having told its place"
    describe = [PROGRAM, "custom-jobs", "describe", "second"]
    described = subprocess.run(describe, capture_output=True, text=True, env=told, check=True).stdout
    assert "QUEUE\n  1 of 1: " in described
    subprocess.run([PROGRAM, "custom-jobs", "cancel", "first"], capture_output=True, env=told, check=True)
    assert second.wait(60) == 0
    assert first.wait(60) == 130
    for process in (first, second):
        process.communicate()
