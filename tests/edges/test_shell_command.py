"""`trainyard custom-jobs shell` as a person has it: on a real terminal, and fed by a pipe."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from edge_server import Api, Server, running
from nas_requests import made, nas
from shell_client import UP, WAITS, with_shells
from terminal_person import Person, program


@pytest.fixture
def environment(server: Server, project: str, tmp_path: Path) -> dict[str, str]:
    """A user's shell, with the service's address."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRAINYARD_")}
    ours = {"TRAINYARD_ENDPOINT": f"http://127.0.0.1:{server.port}", "GOOGLE_CLOUD_PROJECT": project}
    return kept | ours | {"HOME": str(tmp_path), "TERM": "xterm"}


@pytest.fixture
def job(api: Api) -> Iterator[str]:
    """The id of a job that is up, with shells; cancelled afterwards."""
    name = with_shells(api, running(*WAITS))["name"]
    yield name.rpartition("/")[2]
    api.call("POST", f"{name}:cancel", {})
    api.wait(name)


def test_a_person_at_a_shell(job: str, api: Api, environment: dict[str, str]) -> None:
    """The window's size goes along; Ctrl-C stops what runs in the shell; its exit code is the command's own."""
    person = Person("custom-jobs", "shell", job, environment=environment)
    person.reads("A shell in workerpool0-0; the job goes on when you leave it.")
    person.types("stty size; echo si''ze\r")
    assert "33 99" in person.reads("size\r\n").splitlines()
    person.resizes(44, 111)
    deadline = time.monotonic() + 60
    size = ""
    while "44 111" not in size:
        assert time.monotonic() < deadline, size
        person.types("stty size; echo si''ze\r")
        size = person.reads("size\r\n")
    person.types("sh -c \"echo be''gun; exec sleep 900\"\r")  # in the foreground by then
    person.reads("begun\r\n")
    person.types("\x03")
    person.types("echo code=$?\r")
    person.reads("code=130")
    person.types("yes\r")
    person.reads("y\r\ny\r\n")
    person.types("\x03")
    person.types("echo af''ter\r")
    person.reads("after\r\n")
    person.types("exit 9\r")
    assert person.ends() == 9
    assert api.get(f"{api.parent}/customJobs/{job}").json["state"] in UP


def test_the_job_ends_under_the_shell(job: str, api: Api, environment: dict[str, str]) -> None:
    """137, as the original has it."""
    person = Person("custom-jobs", "shell", job, "workerpool0-0", environment=environment)
    person.types("echo h''ere\r")
    person.reads("here\r\n")
    api.call("POST", f"{api.parent}/customJobs/{job}:cancel", {})
    assert person.ends() == 137


def test_commands_from_a_pipe(job: str, environment: dict[str, str]) -> None:
    """Without a terminal, input is typed once the shell is there, and its end ends the shell."""
    done = program("trainyard", "custom-jobs", "shell", job, environment=environment, stdin="echo pi''ped; (exit 5)\n")
    assert "piped" in done.stdout
    assert done.returncode == 5


def test_what_the_service_refuses_is_said(api: Api, environment: dict[str, str]) -> None:
    """A job without web access, a replica that there is not."""
    plain = api.wait(api.made(running(*WAITS))["name"], UP)["name"].rpartition("/")[2]
    done = program("trainyard", "custom-jobs", "shell", plain, environment=environment)
    assert done.returncode == 1
    assert "Set enableWebAccess in its job spec" in done.stderr
    other = with_shells(api, running(*WAITS))["name"].rpartition("/")[2]
    done = program("trainyard", "custom-jobs", "shell", other, "workerpool0-3", environment=environment)
    assert done.returncode == 1
    assert "has no replica 'workerpool0-3'; it has workerpool0-0" in done.stderr
    for each in (plain, other):
        api.call("POST", f"{api.parent}/customJobs/{each}:cancel", {})
        api.wait(f"{api.parent}/customJobs/{each}")


def test_a_dying_service_gives_the_terminal_back(tmp_path: Path, environment: dict[str, str]) -> None:
    """After kill -9 of the service the person reads one sentence, and the job goes on."""
    with Server(tmp_path / "data") as server:
        api = Api(server.port)
        job = with_shells(api, running(*WAITS))["name"]
        here = environment | {"TRAINYARD_ENDPOINT": f"http://127.0.0.1:{server.port}", "GOOGLE_CLOUD_PROJECT": "p1"}
        person = Person("custom-jobs", "shell", job.rpartition("/")[2], environment=here)
        person.types("echo pi''d=$$\r")
        person.reads("pid=")
        pid = person.reads("\r\n")
        server.process.kill()
        assert person.ends() == 1
        assert "the connection to the shell was lost" in person.seen
        deadline = time.monotonic() + 60
        while Path(f"/proc/{pid}").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
    with Server(tmp_path / "data") as again:
        api = Api(again.port)
        assert api.get(job).json["state"] in UP
        api.call("POST", f"{job}:cancel", {})
        api.wait(job)


def test_over_tls_with_a_credential(tmp_path: Path, environment: dict[str, str]) -> None:
    """A lot of output through it, too, whatever TLS holds back in its own buffers."""
    with Server(tmp_path / "data", "--auth", "--tls") as server:
        found = re.search(r"ty_\S+", server.stderr())
        assert found
        here = environment | {
            "TRAINYARD_ENDPOINT": f"https://localhost:{server.port}",
            "TRAINYARD_DATA_DIR": str(server.data_dir),
            "TRAINYARD_TOKEN": found[0],
        }
        spec = tmp_path / "spec.yaml"
        spec.write_text(json.dumps(running(*WAITS, job_spec={"enableWebAccess": True})["jobSpec"]))
        created = program(
            "trainyard", "custom-jobs", "create", "--display-name", "t", "--config", str(spec), environment=here
        )
        assert created.returncode == 0, created.stderr
        deadline = time.monotonic() + 30
        while (
            "workerpool0-0: https://127.0.0.1:"
            not in program("trainyard", "custom-jobs", "describe", "t", environment=here).stdout
        ):
            assert time.monotonic() < deadline
        done = program("trainyard", "custom-jobs", "shell", "t", environment=here, stdin="seq 1 50000; (exit 4)\n")
        assert done.returncode == 4, done.stderr
        assert "\n49999\n50000\n" in done.stdout.replace("\r", "")
        program("trainyard", "custom-jobs", "cancel", "t", environment=here)


def test_a_shell_in_a_trial(api: Api, environment: dict[str, str]) -> None:
    """Of a search, by the trial's number; a trial that there is not says so."""
    body = nas("sleep 60", trials=1)
    algorithm = body["nasJobSpec"]["multiTrialAlgorithmSpec"]
    algorithm["searchTrialSpec"]["searchTrialJobSpec"]["enableWebAccess"] = True
    job = made(api, body)["name"].rpartition("/")[2]
    deadline = time.monotonic() + 30
    while True:
        done = program(
            "trainyard", "nas-jobs", "shell", job, "1", environment=environment, stdin="echo trial=$CLOUD_ML_TRIAL_ID\n"
        )
        if done.returncode == 0:
            break
        assert time.monotonic() < deadline, done.stderr
    assert "trial=1" in done.stdout
    missing = program("trainyard", "nas-jobs", "shell", job, "7", environment=environment)
    assert missing.returncode == 1
    assert "7" in missing.stderr
    api.call("POST", f"{api.parent}/nasJobs/{job}:cancel", {})
