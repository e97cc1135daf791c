"""pystackql and stackql-deploy, unmodified from the registry, over the program `stackql` and the SQL port."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from foreign import ROOT, Ended, made_once, program, run

from trainyard.local_service import LocalService

pytestmark = [pytest.mark.clients, pytest.mark.slow]
TOOLS = ("pystackql==3.8.5", "stackql-deploy==1.9.5", "psycopg[binary]==3.3.9")
STACK = Path(__file__).parent / "stack"
STACKQL = Path(sys.executable).with_name("stackql")


@pytest.fixture(scope="session")
def python_stackql() -> Path:
    """The folder of a Python with StackQL's tools, made with uv from the registry."""
    folder = ROOT / ".venv" / ".clients-stackql"
    uv, python = str(Path(sys.executable).with_name("uv")), str(folder / "bin" / "python")

    def make() -> None:
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
        loose = folder / "overrides.txt"  # pystackql wants a certifi of its own day, whether it is to be had or not
        loose.write_text("certifi\n")
        install = [uv, "pip", "install", "--quiet", "--python", python, "--overrides", str(loose)]
        subprocess.run([*install, *TOOLS], check=True)

    made_once(folder, "\n".join((*TOOLS, sys.version)), make)
    return folder / "bin"


@pytest.fixture(scope="session")
def where(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with nothing but `stackql` in it, as the tools look for it."""
    directory = tmp_path_factory.mktemp("bin")
    (directory / "stackql").symlink_to(STACKQL)
    return directory


@pytest.fixture
def told(python_stackql: Path, where: Path, service: LocalService, project: str) -> dict[str, Any]:
    """What pystackql was answered."""
    command = [
        str(python_stackql / "python"),
        program("pystackql_story.py"),
        str(where),
        str(service.sql_port),
        project,
    ]
    return run(command, TRAINYARD_ENDPOINT=service.endpoint).told


def test_case_78_pystackql_in_both_modes(told: dict[str, Any]) -> None:
    """Local and server mode give the same rows; statements tell what StackQL tells; errors are recognised as such."""
    assert told["version"][0].startswith("v")
    assert told["made"] == {"message": "The operation was despatched successfully"}
    assert told["server_made"] == [{"message": "OK"}]
    for mode in ("local", "server"):
        assert told[mode]["test"] == [{"test_value": "test"}]
        assert told[mode]["truth"] == [{"e": 1}]
        assert told[mode]["nothing"] == []
        assert [row["displayName"] for row in told[mode]["jobs"]] == ["local", "server"]
        assert told[mode]["providers"][0]["name"] == "google"
    assert "successfully installed" in told["local"]["pull"]["message"]
    assert told["server"]["pull"] == [{"message": "OK"}]
    assert told["csv"] == 'a,d\n1,"b,c"\n'
    assert told["frame"] == told["server_frame"] == [["displayName", "state"], 2]
    assert told["refused"][0]["error"].startswith("cannot find matching operation")
    assert told["bad_insert"][0]["error"].startswith("disparity in fields to insert and supplied data")
    assert told["token"] == [{"a": 1}]


def deploy(python_stackql: Path, service: LocalService, verb: str, *more: str) -> Ended:
    """`stackql-deploy VERB` of the stack."""
    command = [str(python_stackql / "stackql-deploy"), verb, str(STACK), "dev", *more]
    return run(command, TRAINYARD_ENDPOINT=service.endpoint)


def test_case_79_stackql_deploy_builds_tests_and_tears_down(
    python_stackql: Path, where: Path, service: LocalService, project: str
) -> None:
    """A stack whose props are name/value lists, as the documentation has them: made, found as wished, gone again."""
    options = ("-e", f"PROJECT={project}", "--download-dir", str(where))
    missing = deploy(python_stackql, service, "test", *options)
    assert missing.code != 0, missing.out
    for verb, word in (("build", "build complete"), ("build", "build complete"), ("test", "tests complete")):
        done = deploy(python_stackql, service, verb, *options)
        assert done.code == 0, done.out + done.err
        assert word in done.out
    gone = deploy(python_stackql, service, "teardown", *options)
    assert gone.code == 0, gone.out + gone.err
    assert "teardown complete" in gone.out
    assert deploy(python_stackql, service, "test", *options).code != 0


def test_the_program_is_found_without_a_flag(python_stackql: Path, where: Path, service: LocalService) -> None:
    """Where no flag says where `stackql` is, PYTHONUSERBASE does: that is where pystackql looks for it."""
    if shutil.which("stackql", path="/usr/local/bin"):
        pytest.skip("pystackql takes /usr/local/bin/stackql first, and there is one")
    ask = "from pystackql import StackQL; print(StackQL().execute('SELECT 1 AS a'))"
    command = [str(python_stackql / "python"), "-c", ask]
    done = run(command, TRAINYARD_ENDPOINT=service.endpoint, PYTHONUSERBASE=str(where))
    assert done.out.splitlines()[-1] == "[{'a': 1}]", done.err
