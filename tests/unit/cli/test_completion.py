"""Completion, asked of the real shells where they are installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from trainyard.cli import completion

CASES = [
    (["trainyard", "cu"], {"custom-jobs"}),
    (["trainyard", "custom-jobs", "des"], {"describe"}),
    (["trainyard", "nas-jobs", "tr"], {"trials"}),
    (["trainyard", "nas-jobs", "create", "--algorithm", "g"], {"grid-search"}),
    (["trainyard", "ai", "custom-jobs", "st"], {"stream-logs"}),
    (["trainyard", "custom-jobs", "list", "--fo"], {"--format"}),
    (["trainyard", "custom-jobs", "list", "--project", "p", "--fi"], {"--filter"}),
    (["trainyard", "custom-jobs", "list", "--format", "j"], {"json"}),
    (["trainyard", "completion", ""], {"bash", "zsh", "fish"}),
    (["trainyard", "doctor", "--format", ""], {"text", "json"}),
    (["trainyard", "serve", "--po"], {"--port"}),
]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "TERM": "dumb"}


@pytest.mark.parametrize(("words", "offered"), CASES)
def test_bash_offers_what_the_parser_takes(words: list[str], offered: set[str], environment: dict[str, str]) -> None:
    """In a real bash, each word is completed from the parser's own commands, options and values."""
    script = completion.bash() + (
        'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _trainyard; printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        ["bash", "-c", script, "bash", *words], capture_output=True, text=True, check=True, env=environment
    )
    assert set(done.stdout.split()) == offered
    assert done.stderr == ""


def test_bash_splits_at_the_equals_sign(environment: dict[str, str]) -> None:
    """`--format=j` arrives as three words and is completed like `--format j`; files are completed as files."""
    script = completion.bash() + (
        "COMP_WORDS=(trainyard custom-jobs list --format = j); COMP_CWORD=5; _trainyard; echo ${COMPREPLY[@]}\n"
        "COMP_WORDS=(trainyard custom-jobs create --config = /etc/host); _trainyard; echo ${COMPREPLY[@]}\n"
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, env=environment)
    first, second = done.stdout.splitlines()
    assert first == "json"
    assert "/etc/hosts" in second.split()


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed here")
@pytest.mark.parametrize(("words", "offered"), CASES)
def test_fish_offers_what_the_parser_takes(words: list[str], offered: set[str], environment: dict[str, str]) -> None:
    """The same in a real fish."""
    script = f"{completion.fish()}\ncomplete -C '{' '.join(words)}'"
    done = subprocess.run(["fish", "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert {line.split("\t")[0] for line in done.stdout.splitlines()} == offered
    assert done.stderr == ""


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed here")
def test_zsh_takes_the_script(environment: dict[str, str]) -> None:
    """A real zsh parses the script and knows the function afterwards."""
    script = (
        f"autoload -Uz compinit; compinit -u\n{completion.zsh()}\nwhence -w _trainyard; print ${{_comps[trainyard]}}"
    )
    done = subprocess.run(["zsh", "-f", "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["_trainyard:", "function", "_trainyard"]
    assert done.stderr == ""


def test_the_installed_program_prints_the_scripts(environment: dict[str, str]) -> None:
    """`trainyard completion SHELL` prints what the functions make."""
    for shell in ("bash", "zsh", "fish"):
        done = subprocess.run(
            [sys.executable, "-m", "trainyard.cli.main", "completion", shell],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
        assert done.stdout == {"bash": completion.bash, "zsh": completion.zsh, "fish": completion.fish}[shell]()
