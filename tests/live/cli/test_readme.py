"""README.md promises what works: every command and program in it is run, against a real service."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def blocks(language: str, word: str) -> list[str]:
    return [text for kind, text in BLOCKS if kind == language and word in text]


def shell(text: str, service: Any, environment: dict[str, str]) -> str:
    script = text.replace("http://127.0.0.1:8470", service.endpoint)
    told = {**environment, "TRAINYARD_ENDPOINT": service.endpoint}
    done = subprocess.run(
        ["bash", "-euc", script], capture_output=True, text=True, check=False, env=told, cwd=ROOT, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_two_commands_come_first() -> None:
    """The first thing that a reader can copy is make demo and make test."""
    kind, first = BLOCKS[0]
    assert kind == "sh"
    assert [line.split()[1] for line in first.splitlines()] == ["demo", "test"]


def test_the_command_line_of_the_readme_works(service: Any, environment: dict[str, str]) -> None:
    """`run` and gcloud's flags, as they are printed."""
    (run,) = blocks("sh", "trainyard run")
    assert "hello world from workerpool0-0, step 3 of 3" in shell(run, service, environment)
    (create,) = blocks("sh", "custom-jobs create")
    assert "hello" in shell(create, service, environment)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed here")
def test_the_curl_of_the_readme_works(service: Any, environment: dict[str, str]) -> None:
    """The job by curl is created."""
    (curl,) = blocks("sh", "curl")
    assert '"state": "JOB_STATE_' in shell(curl, service, environment)


@pytest.mark.clients
@pytest.mark.skipif(find_spec("google.cloud.aiplatform") is None, reason="the official client is not installed here")
def test_the_official_client_of_the_readme_works(service: Any, environment: dict[str, str]) -> None:
    """The unmodified SDK creates the job and waits for its end."""
    (program,) = blocks("python", "aiplatform")
    script = program.replace("http://127.0.0.1:8470", service.endpoint)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert "CustomJob run completed" in done.stderr + done.stdout


def test_every_link_leads_somewhere() -> None:
    """No link of the README is dead."""
    links = re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_sql_of_the_readme_works(service: Any, environment: dict[str, str]) -> None:
    """The statement on the command line, and psql on the service's own SQL port."""
    (both,) = blocks("sh", "trainyard sql")
    own, by_psql = both.splitlines()
    assert "state" in shell(own, service, environment)
    if not shutil.which("psql"):
        pytest.skip("psql is not installed here")
    with urllib.request.urlopen(f"{service.endpoint}/trainyard/v1/health") as answer:
        port = str(json.load(answer)["sqlPort"])
    assert "displayName" in shell(by_psql.replace("5466", port), service, environment)


def test_the_searches_of_the_readme_are_commands(service: Any, environment: dict[str, str]) -> None:
    """list, describe and plot are verbs of nas-jobs, with a job as their operand."""
    (commands,) = blocks("sh", "nas-jobs")
    told = [words.split() for words in commands.strip().split("; ")]
    assert [words[1:3] for words in told] == [["nas-jobs", verb] for verb in ("list", "describe", "plot")]
    assert "Listed 0 items" in shell(" ".join(told[0]) + " 2>&1", service, environment)
    for words in told[1:]:
        usage = shell(f"{' '.join(words[:3])} --help", service, environment)
        assert words[3] in usage
