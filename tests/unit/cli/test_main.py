"""The entry point: fast, silent on broken pipes, one sentence on faults."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trainyard import __version__
from trainyard.cli.main import main
from trainyard.cli.parser import build_parser

HEAVY = {"argparse", "asyncio", "json", "http", "yaml", "google", "orjson", "uvicorn", "uvloop", "grpc", "ssl", "re"}


@pytest.mark.parametrize("word", ["--version", "version"])
def test_the_version_costs_no_import(word: str) -> None:
    """`trainyard --version` imports nothing but itself, not even argparse: that is why it answers at once."""
    code = (
        "import sys; before = set(sys.modules); from trainyard.cli.main import main; main(sys.argv[1:]);"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    done = subprocess.run([sys.executable, "-c", code, word], capture_output=True, text=True, check=True)
    version, loaded = done.stdout.splitlines()
    assert version == f"trainyard {__version__}"
    assert not set(loaded.split()) & HEAVY


def test_a_command_that_talks_imports_no_server(stand_in: Any) -> None:
    """A client command never imports protobuf, the server or YAML."""
    code = (
        "import sys; from trainyard.cli.main import main; main(sys.argv[1:]);"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, "custom-jobs", "list", "--endpoint", stand_in.endpoint]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(done.stderr.splitlines()[-1].split())
    assert "argparse" in loaded
    assert not loaded & {"asyncio", "yaml", "orjson", "uvicorn", "uvloop", "grpc"}
    assert "google" not in loaded or "protobuf" not in done.stderr


def test_a_fault_is_one_sentence_and_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback: a sentence on stderr, nothing on stdout, the documented code."""
    assert main(["custom-jobs", "list", "--endpoint", "nowhere"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("trainyard: 'nowhere' is no address")


def test_without_a_command_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """`trainyard` alone shows the commands and the exit codes."""
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert "custom-jobs" in shown
    assert "exit codes:" in shown


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` works everywhere (a stray % in a help text would break it)."""
    from trainyard.cli.completion import nodes

    for node in nodes():
        with pytest.raises(SystemExit) as ended:
            main([*node.path, "--help"])
        assert ended.value.code == 0
    assert "usage:" in capsys.readouterr().out


def test_a_reader_who_leaves_early_hears_no_complaint(stand_in: Any) -> None:
    """`trainyard … | head -1` ends without a word on stderr."""
    jobs = [{"name": f"projects/1/locations/l/customJobs/{n}", "displayName": "x" * 200} for n in range(5000)]
    stand_in.answer = lambda asked: (200, {"customJobs": jobs})
    command = [sys.executable, "-m", "trainyard.cli.main", "custom-jobs", "list", "--endpoint", stand_in.endpoint]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"ID")
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait() == 141


def test_settings_come_from_the_environment() -> None:
    """Endpoint, project and region have defaults, variables, and flags over them."""
    listing = ["custom-jobs", "list"]
    plain = build_parser({}).parse_args(listing)
    assert (plain.endpoint, plain.project, plain.region) == ("http://127.0.0.1:8470", "demo", "us-central1")
    environment = {"TRAINYARD_ENDPOINT": "http://e", "GOOGLE_CLOUD_PROJECT": "p", "TRAINYARD_REGION": "r"}
    told = build_parser(environment).parse_args(["ai", *listing, "--region", "flag"])
    assert (told.endpoint, told.project, told.region) == ("http://e", "p", "flag")


@pytest.mark.parametrize("arguments", [["custom-jobs"], ["nonsense"], ["custom-jobs", "list", "--limit", "0"], ["run"]])
def test_a_wrong_command_line_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What argparse refuses ends with 2 and usage on stderr."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_the_installed_program_runs() -> None:
    """The entry point in the environment is this main."""
    program = Path(sys.executable).with_name("trainyard")
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"trainyard {__version__}\n"


@pytest.mark.parametrize("words", [["--version"], ["completion", "bash"]], ids=" ".join)
def test_a_full_disk_behind_our_output_is_no_traceback(words: list[str]) -> None:
    """`trainyard … >/dev/full` ends with 1 and at most a sentence."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "trainyard", *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
