"""The page docs/sql.md is what the operation book says, and every statement on it runs."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from trainyard.core.jobs import Decision, Exit, ReplicaRecord, Severity
from trainyard.core.runs import Cause
from trainyard.core.states import Event
from trainyard.store import LogLine

from .ground import T0, Ground

ROOT = Path(__file__).resolve().parents[4]
PAGE = (ROOT / "docs" / "sql.md").read_text("utf-8")
STATEMENTS = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_is_up_to_date() -> None:
    """What `make docs` would write is what is there."""
    made = subprocess.run(
        [sys.executable, ROOT / "tools" / "write_docs.py", "--check"], capture_output=True, text=True, check=False
    )
    assert "sql.md" not in made.stdout, made.stdout


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """The usual jobs; one that waited, ran, used an hour and failed with words."""
    ground = Ground(tmp_path)
    job = ground.job(2)
    assert job is not None
    used = Exit(Cause.EXITED, 1, peak_memory_bytes=2_000_000, cpu_seconds=3600.0)
    decision = Decision(job.status, records=(ReplicaRecord(1, "workerpool0-0", 0, used),))
    decision = decision.moved(Event.RETRIED, T0 + 62_000_000, "again").moved(Event.FAILED, T0 + 70_000_000, "failed")
    assert asyncio.run(ground.store.commit(job, decision))
    line = LogLine(T0, "workerpool0-0", 1, "stderr", Severity.ERROR, "ValueError: no data")
    ground.logbook.lines[2] = [line]
    return ground


def test_the_page_has_statements() -> None:
    """Else the next test would hold for nothing."""
    assert len(STATEMENTS) >= 10


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda text: " ".join(text.split())[:60])
def test_every_statement_runs(ground: Ground, statement: str) -> None:
    """Each gives rows or says what it did."""
    told = ground.ask(statement)
    assert told.rows or told.message


def asked(ground: Ground, words: str) -> list[tuple[object, ...]]:
    """What the page's statement with these words gives."""
    (statement,) = (text for text in STATEMENTS if words in text)
    return ground.ask(statement).rows


def test_the_answers_are_right(ground: Ground) -> None:
    """The cost of failed jobs, the longest wait, the best architectures, the words of a failure."""
    assert asked(ground, "cpu_hours")[0] == ("y", 1, 1.0, 2)
    assert asked(ground, "waited_seconds") == [("b", 60.0)]
    assert [row[:2] for row in asked(ground, "AS accuracy")] == [("2", 0.2), ("1", 0.1)]
    assert asked(ground, "l.text LIKE")[0][3] == "ValueError: no data"
