"""Conformance case C47 of NasJob: the ten-thousandth trial costs the engine no more than the first."""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import time
from pathlib import Path

import pytest
from edge_server import FINAL, Api, Server
from nas_requests import choice, made, nas, reporting, space

pytestmark = pytest.mark.slow
TRIALS = int(os.environ.get("TRAINYARD_TRIALS", "10000"))
PARTS = 10
WIDE = space(*(choice(f"d{number}", *range(4)) for number in range(12)))


def cpu_seconds(server: Server) -> float:
    """What the server has used, by itself."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ended_trials(server: Server) -> int:
    """How many are written down as ended; read past the service, which is to be left alone."""
    with contextlib.closing(sqlite3.connect(server.data_dir / "trainyard.db")) as connection:
        found: int = connection.execute("SELECT count(*) FROM trial WHERE ended_as IS NOT NULL").fetchone()[0]
        return found


def test_case_c47_time_per_trial_is_flat(tmp_path: Path) -> None:
    """10,000 trials that do nothing but report: the last tenth costs less than twice the first, in processor time."""
    with Server(tmp_path / "data", "--replicas", "8") as server:
        api = Api(server.port)
        body = nas(reporting("1"), trials=TRIALS, at_once=8, searched=WIDE, labels={"trainyard-searcher": "random"})
        name = made(api, body)["name"]
        marks = [(0, cpu_seconds(server))]
        deadline = time.monotonic() + 900
        while marks[-1][0] < TRIALS:
            assert time.monotonic() < deadline, marks
            time.sleep(0.2)
            ended = ended_trials(server)
            if ended - marks[-1][0] >= TRIALS // PARTS or ended == TRIALS:
                marks.append((ended, cpu_seconds(server)))
        assert api.wait(name, FINAL, seconds=30)["state"] == "JOB_STATE_SUCCEEDED"
        api.close()
    pairs = itertools.pairwise(marks)
    costs = [(used - used_before) / (ended - before) for (before, used_before), (ended, used) in pairs]
    assert costs[-1] < 2 * costs[0], costs
    assert sum(costs) / len(costs) < 0.02, costs  # 4.5 ms on the machine where it was written
