"""The example with pandas, as its README says to run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from edge_server import Server
from pg_client import sql_port

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "sql_pandas" / "jobs.py"


ENDS = {"speech": "FAILED", "text": "SUCCEEDED", "vision": "SUCCEEDED"}


@pytest.mark.clients
def test_the_notebook_runs_to_its_end(server: Server, project: str) -> None:
    """Every cell, against a real server: jobs made, waited for, counted, explained."""
    for package in ("pandas", "sqlalchemy", "psycopg"):
        pytest.importorskip(package)
    environment = os.environ | {
        "TRAINYARD_SQL": f"postgresql+psycopg://me@127.0.0.1:{sql_port(server)}/google",
        "TRAINYARD_ENDPOINT": f"http://127.0.0.1:{server.port}",
        "GOOGLE_CLOUD_PROJECT": project,
    }
    command = [sys.executable, str(EXAMPLE)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "heard nothing" in done.stdout
    ended = dict(line.split() for line in done.stdout.splitlines()[-3:])
    assert ended == {f"{team}-demo": f"JOB_STATE_{state}" for team, state in ENDS.items()}
