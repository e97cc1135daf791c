"""What we believe about the shape of the code, as tests. The numbers only ever tighten."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 40
MOST_PARAMETERS = 6
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc", "lib"}
# Longer tests and drivers read better in one piece than cut up; they still have a ceiling.
MOST_LINES_OF_A_TEST_FILE = 600


def tracked(*patterns: str) -> list[Path]:
    """Files under version control (or about to be) that match; generated data is not code."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\n")
    return [ROOT / line for line in listed if line and (ROOT / line).exists()]


SOURCES = tracked("src/*.py", "tools/*.py", "benchmarks/*.py")
TESTS = tracked("tests/*.py")


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the first after the docstring to the last."""
    body = function.body
    first = body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        body = body[1:] or body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_is_short_and_says_what_it_keeps_true(path: Path) -> None:
    """Every module opens with a sentence, stays under the line budget, and so does each of its functions."""
    text = path.read_text()
    tree = ast.parse(text)
    faults = []
    if not ast.get_docstring(tree):
        faults.append("no opening docstring")
    if len(text.splitlines()) > MOST_LINES_OF_A_FILE:
        faults.append(f"{len(text.splitlines())} lines, at most {MOST_LINES_OF_A_FILE}")
    for function in functions(tree):
        if body_lines(function) > MOST_LINES_OF_A_FUNCTION:
            faults.append(f"{function.name}: {body_lines(function)} lines, at most {MOST_LINES_OF_A_FUNCTION}")
        arguments = [a.arg for a in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
        if len([a for a in arguments if a not in ("self", "cls")]) > MOST_PARAMETERS:
            faults.append(f"{function.name}: {len(arguments)} parameters, at most {MOST_PARAMETERS}")
    if path.stem in VAGUE_NAMES or set(path.relative_to(ROOT).parts) & VAGUE_NAMES:
        faults.append("a name that says nothing")
    assert not faults, f"{path.relative_to(ROOT)}: " + "; ".join(faults)


@pytest.mark.parametrize("path", TESTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_test_carries_its_promise(path: Path) -> None:
    """A test says in one sentence what it promises, and can fail: it asserts, expects a raise, or calls a checker."""
    text = path.read_text()
    faults = []
    if len(text.splitlines()) > MOST_LINES_OF_A_TEST_FILE:
        faults.append(f"{len(text.splitlines())} lines, at most {MOST_LINES_OF_A_TEST_FILE}")
    for function in functions(ast.parse(text)):
        if not function.name.startswith("test_"):
            continue
        if not ast.get_docstring(function):
            faults.append(f"{function.name} has no sentence of promise")
        if not any(isinstance(node, ast.Assert | ast.With | ast.Call) for node in ast.walk(function)):
            faults.append(f"{function.name} asserts nothing")
    assert not faults, f"{path.relative_to(ROOT)}: " + "; ".join(faults)


def test_waivers_give_their_reason() -> None:
    """A linter is silenced only with the reason beside it."""
    bare = []
    for path in (*SOURCES, *TESTS):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            waiver = re.search(
                r"# (?:noqa|type: ignore)(?:: ?[A-Z]+[0-9]+(?:, ?[A-Z]+[0-9]+)*|\[[a-z, -]+\])?(.*)$", line
            )
            if waiver and "re.search" not in line and len(waiver.group(1).strip(" -—#:")) < 8:
                bare.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not bare, "\n".join(bare)


def test_the_lock_names_no_index() -> None:
    """requirements.lock installs from any index: hashes, no addresses."""
    lock = (ROOT / "requirements.lock").read_text()
    assert "--hash=sha256:" in lock
    assert not re.search(r"https?://|file:|--index|--find-links", lock)


def test_the_tree_holds_no_leftovers() -> None:
    """No editor backups, no empty modules without a purpose, no merge markers."""
    leftovers = [str(path) for path in tracked() if path.suffix in {".orig", ".rej", ".bak", ".pyc"}]
    marked = [str(path) for path in (*SOURCES, *TESTS) if re.search(r"^(<{7}|>{7}) ", path.read_text(), re.MULTILINE)]
    assert not leftovers
    assert not marked
