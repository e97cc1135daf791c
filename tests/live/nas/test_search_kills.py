"""kill -9 of the server in the middle of a search: no finished trial is lost, none runs twice, and it goes on alike."""

from __future__ import annotations

import json
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from edge_server import FINAL, Api, Server
from nas_requests import METRIC, choice, made, measured, nas, parameters, search_trials, space

pytestmark = [pytest.mark.kill, pytest.mark.slow]
WIDE = space(*(choice(name, *range(6)) for name in "abcde"))
# The reward follows from the architecture alone: the digits before the slashes, added up.
TRAINER = """
echo >> {starts}/$CLOUD_ML_TRIAL_ID
sum=0
for digit in $(printf %s "$1" | tr ' ' '\\n' | grep -o '"[0-9]/' | tr -d '"/'); do sum=$((sum + digit)); done
sleep 0.05
printf '{{"{metric}": "%s", "global_step": "1"}}\\n' "$sum" > "$CLOUD_ML_HP_METRIC_FILE"
"""


def search(starts: Path, trials: int, at_once: int) -> dict[str, Any]:
    """A search whose trials say when they start."""
    starts.mkdir()
    script = TRAINER.format(starts=starts, metric=METRIC)
    script = script.replace("$(", "$$(")  # the service expands $(NAME)
    labels = {"trainyard-searcher": "evolution", "trainyard-seed": "5"}
    return nas(script, trials=trials, at_once=at_once, searched=WIDE, labels=labels, failed=1)


def killed_through(data_dir: Path, body: dict[str, Any], seed: int) -> tuple[dict[str, Any], list[str], int]:
    """The ended search, its architectures, and how often its server was killed meanwhile."""
    rng, kills, port = random.Random(seed), 0, 0
    job: dict[str, Any] = {}
    known: dict[str, dict[str, Any]] = {}
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with Server(data_dir, "--replicas", "8", port=port) as server:
            port, api = server.port, Api(server.port)
            job = made(api, body) if not job else api.get(job["name"]).json
            now = {trial["id"]: trial for trial in search_trials(job)} if kills else {}
            for number, trial in known.items():  # what was shown once stays as it was shown
                assert now[number] == trial
            end = time.monotonic() + rng.uniform(0.05, 0.4)
            while job["state"] not in FINAL and (kills >= 8 or time.monotonic() < end):
                time.sleep(0.05)
                job = api.get(job["name"]).json
            if job["state"] in FINAL:
                return job, [parameters(api, job, trial["id"]) for trial in search_trials(job)], kills
            trials = search_trials(job) if "nasJobOutput" in job else []
            known = {trial["id"]: trial for trial in trials if trial["state"] == "SUCCEEDED"}
            api.close()
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
            kills += 1
    raise AssertionError(f"not ended in time: {job}")


def test_case_c46_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    """Sixty trials, four at a time, through up to eight kills: each ran once, each is measured right."""
    starts = tmp_path / "starts"
    job, tried, kills = killed_through(tmp_path / "data", search(starts, 60, 4), seed=1)
    assert job["state"] == "JOB_STATE_SUCCEEDED"
    assert kills > 2
    assert [trial["id"] for trial in search_trials(job)] == [str(number) for number in range(1, 61)]
    for trial, text in zip(search_trials(job), tried, strict=True):
        digits = (int(each.partition("/")[0]) for each in json.loads(text).values())
        assert measured(trial) == {METRIC: float(sum(digits))}
        assert (starts / trial["id"]).read_text() == "\n"


def test_case_c46_the_search_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    """One trial at a time: the architectures of a search whose server was killed are those of one left in peace."""
    _, disturbed, kills = killed_through(tmp_path / "data", search(tmp_path / "starts", 40, 1), seed=2)
    with Server(tmp_path / "quiet") as server:
        api = Api(server.port)
        job = api.wait(made(api, search(tmp_path / "again", 40, 1))["name"], seconds=60)
        assert [parameters(api, job, trial["id"]) for trial in search_trials(job)] == disturbed
    assert kills > 2
