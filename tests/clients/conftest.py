"""The clients of others, each in an environment of its own that these tests make once and keep under .venv."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from foreign import ROOT, TRAINYARD, Ended, made_once, run

from trainyard.local_service import LocalService

LAST_1X = (
    "google-cloud-aiplatform==1.165.1",
    "google-api-python-client==2.202.0",
    "aiohttp==3.14.5",
    "httpx==0.28.1",
)
KFP = ("google-cloud-pipeline-components==2.22.0",)  # without kfp, which only writes pipelines and does not run them
NODE = ("6.11.0", "7.4.0")  # the last one for Node 18 and 20, and the newest


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    """One real service for all clients."""
    with LocalService(tmp_path_factory.mktemp("clients"), flags=("--replicas", "64")) as running:
        yield running


@pytest.fixture
def project() -> str:
    """A project that no other test uses."""
    return f"p-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def python_1x() -> str:
    """A Python with the last 1.x SDK, googleapiclient and the KFP runner, made with uv from the registry."""
    folder = ROOT / ".venv" / ".clients-1x"
    uv, python = str(Path(sys.executable).with_name("uv")), str(folder / "bin" / "python")

    def make() -> None:
        install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python]
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
        subprocess.run([*install, *LAST_1X], check=True)
        subprocess.run([*install, "--no-deps", *KFP], check=True)

    made_once(folder, "\n".join((*LAST_1X, *KFP, sys.version)), make)
    return python


@pytest.fixture(scope="session", params=NODE)
def node_folder(request: pytest.FixtureRequest) -> Path:
    """A folder in which Node finds @google-cloud/aiplatform in one version."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.fail(f"there is no {program} on this machine, so the Node client can't be tested; install Node.js")
    folder = ROOT / ".venv" / f".clients-node-{request.param}"

    def make() -> None:
        folder.mkdir()
        wanted = {"private": True, "dependencies": {"@google-cloud/aiplatform": request.param}}
        (folder / "package.json").write_text(json.dumps(wanted))
        command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        subprocess.run(command, cwd=folder, check=True)

    return made_once(folder, request.param, make)


@pytest.fixture
def execute(service: LocalService, project: str) -> Callable[..., Ended]:
    """`trainyard exec -- …` against the service, in the test's project; keywords are further variables."""

    def executed(*command: str, options: tuple[str, ...] = (), **more: str) -> Ended:
        there = ("--endpoint", service.endpoint, "--project", project)
        return run([TRAINYARD, "exec", *there, *options, "--", *command], **more)

    return executed
