"""PyGlove code, old and new, scales out over the service: its workers claim the trials of one search (case C60)."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from foreign import ROOT, Ended, clean_environment, program, pyglove_python, run

from trainyard.local_service import LocalService

pytestmark = [pytest.mark.clients, pytest.mark.slow]
VERSIONS = ("0.1.0", "0.4.5")
SRC = str(ROOT / "src")
WORKER = program("pyglove_worker.py")


@pytest.fixture(params=VERSIONS)
def python(request: pytest.FixtureRequest) -> str:
    """A Python with this pyglove."""
    return pyglove_python(str(request.param))


@pytest.fixture
def name() -> str:
    """A search that no other test uses."""
    return f"search-{uuid.uuid4().hex[:12]}"


def work(python: str, endpoint: str, *arguments: str) -> Ended:
    return run([python, WORKER, *arguments], TRAINYARD_ENDPOINT=endpoint, PYTHONPATH=SRC)


def started(python: str, endpoint: str, *arguments: str) -> subprocess.Popen[str]:
    environment = clean_environment(TRAINYARD_ENDPOINT=endpoint, PYTHONPATH=SRC)
    return subprocess.Popen([python, WORKER, *arguments], stdout=subprocess.PIPE, text=True, env=environment)


def seen(worker: subprocess.Popen[str]) -> list[int]:
    out, _ = worker.communicate(timeout=120)
    assert worker.returncode == 0
    found: list[int] = json.loads(out.splitlines()[-1])["seen"]
    return found


def test_case_c60_a_loop_runs_to_its_end(service: LocalService, python: str, name: str) -> None:
    """Trials come from 1 on; what is neither done nor skipped comes again; a result is there for all, with its DNA."""
    told = work(python, service.endpoint, name, "whole").told
    assert told["seen"] == [1, 2, 2, *range(3, 13)]
    assert told["trials"] == list(range(1, 13))
    assert 0 < told["infeasible"] < 12
    assert told["best"] == told["best_again"] > 38
    assert (told["step"], told["active"]) == (2, False)
    assert set(told["k"]) <= {3.0, 5.0}
    assert work(python, service.endpoint, name, "shared").told == {"seen": []}


def test_workers_of_both_versions_share_one_search(service: LocalService, name: str) -> None:
    """Three workers start at the same moment, make one search, and try every trial once."""
    workers = [
        started(pyglove_python(version), service.endpoint, name, "shared", "40") for version in (*VERSIONS, VERSIONS[1])
    ]
    shares = [seen(worker) for worker in workers]
    assert sorted(number for share in shares for number in share) == list(range(1, 41))
    assert min(map(len, shares)) > 0


def test_the_loop_of_all_ends(service: LocalService, python: str, name: str) -> None:
    """After end_loop nobody gets another trial, what was under way counts, and the search has succeeded."""
    assert work(python, service.endpoint, name, "ended", "100").told == {"seen": [1, 2, 3]}
    assert work(python, service.endpoint, name, "shared", "100").told == {"seen": []}


def test_a_killed_worker_of_a_group_goes_on_where_it_was(service: LocalService, python: str, name: str) -> None:
    """kill -9 and a new process: it has the same trial at once."""
    first = started(python, service.endpoint, name, "grouped", "5", "first")
    assert first.stdout is not None
    assert json.loads(first.stdout.readline()) == {"has": 1}
    first.kill()
    first.communicate()
    assert work(python, service.endpoint, name, "grouped", "5").told == {"id": 1}


def test_what_can_not_be_is_said(service: LocalService, python: str, name: str) -> None:
    """An algorithm that the service lacks, two objectives, another space, no such search, metadata: a sentence each."""
    told = work(python, service.endpoint, name, "refused").told
    assert "does not have Evolution" in told["algorithm"]
    assert "one metric" in told["objectives"]
    assert "has another search space" in told["space"]
    assert "there is no job called" in told["result"]
    assert "keeps no metadata" in told["metadata"]
    assert "keeps no links" in told["links"]
    assert "COMPLETED" in told["late"]
    assert told["nan"] is True


def test_a_search_outlives_its_service(name: str, tmp_path: Path) -> None:
    """The service is killed in the middle: the workers wait for it, and every trial is tried and counted once."""
    with LocalService(tmp_path) as service:
        python = pyglove_python(VERSIONS[1])
        workers = [started(python, service.endpoint, name, "shared", "60") for _ in range(2)]
        deadline = time.monotonic() + 60
        while _tried(service, name) < 10:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        service.kill()
        service.start()
        shares = [seen(worker) for worker in workers]
        assert sorted(number for share in shares for number in share) == list(range(1, 61))
        assert _tried(service, name) == 60


def _tried(service: LocalService, name: str) -> int:
    command = [sys.executable, "-m", "trainyard", "nas-jobs", "trials", name, "--best", "--format=value(id)"]
    return len(run(command, TRAINYARD_ENDPOINT=service.endpoint).out.split())
