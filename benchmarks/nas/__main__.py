"""`python -m benchmarks.nas [--quick] [--write FILE]`: our searchers and the engine under them beside peers, one run.

Peers (pyglove's regularised evolution, Optuna's TPE) get a scratch environment each, made here by uv on first use.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import tables
from benchmarks.harness import load, machine, versions
from benchmarks.nas import engine, report
from benchmarks.nas.plan import Cell, cells

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = Path(sys.executable).parent
PEERS = {
    "optuna_tpe": ("optuna==5.0.0", "scikit-learn"),
    "pyglove_evolution": ("pyglove==0.4.5", "numpy", "scikit-learn"),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nas", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="few seeds, no peers: shows that it runs, measures nothing"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the tables as a page of documentation")
    parser.add_argument("--jobs", type=int, default=2, help="races at a time (default 2)")
    parser.add_argument(
        "--keep", type=Path, metavar="FILE", help="keep raw results here; a cell that is in it is not run again"
    )
    parser.add_argument("--note", default="", help="a fact about this run for the page, such as what else was running")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--engine", action="store_true", help="measure the engine alone")
    part.add_argument("--no-engine", action="store_true", help="measure the searchers alone")
    asked = parser.parse_args()
    if asked.write and (asked.quick or asked.engine or asked.no_engine):
        parser.error("--write documents a whole run: leave out --quick, --engine and --no-engine")
    before = load()
    plan = cells(quick=asked.quick)
    kept = _read(asked.keep)

    def measured(cell: Cell) -> tuple[Cell, dict[str, Any]]:
        return cell, kept.get(cell.key) or _run(cell, asked.keep)

    for peer in sorted({cell.entry.contestant for cell in plan} & PEERS.keys()):
        _environment(peer)
    rows = [] if asked.no_engine else engine.measure(_engine_of, quick=asked.quick)
    if rows:
        print(tables.text(rows), flush=True)
    with ThreadPoolExecutor(asked.jobs) as pool:
        results = [] if asked.engine else list(pool.map(measured, plan))
    if asked.engine:
        return
    lines = [f"- {time.strftime('%Y-%m-%d')}", f"- {machine()}", f"- {versions()}"]
    lines.append(f"- load average before / after: {before:.1f} / {load():.1f}, {asked.jobs} races at a time")
    if asked.note:
        lines.append(f"- {asked.note}")
    text = report.page(lines, results, rows)
    print(text)
    if asked.write:
        asked.write.write_text(text)


def _read(path: Path | None) -> dict[str, dict[str, Any]]:
    if path is None or not path.exists():
        return {}
    return {key: result for line in path.read_text().splitlines() for key, result in [json.loads(line)]}


def _run(cell: Cell, keep: Path | None) -> dict[str, Any]:
    """One race in a process of its own, one thread for its arithmetic."""
    python = _environment(cell.entry.contestant) if cell.entry.contestant in PEERS else Path(sys.executable)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    command = [str(python), "-m", "benchmarks.nas.race", json.dumps(asdict(cell.entry))]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{cell.key} failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout)
    print(f"{time.strftime('%H:%M:%S')} {cell.key}", file=sys.stderr, flush=True)
    if keep:
        with keep.open("a") as file:
            file.write(json.dumps([cell.key, result]) + "\n")
    return result


def _engine_of(peer: str, arguments: Sequence[str]) -> float:
    """Seconds of a peer as an engine."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    command = [_environment(peer), "-m", "benchmarks.nas.engine_peers", peer, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def _environment(peer: str) -> Path:
    """The interpreter of a peer's own environment, made where it is missing."""
    folder = BIN.parent / "peers" / f"nas-{peer}"
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([BIN / "uv", "venv", "--quiet", "--python", sys.executable, folder], check=True)
        subprocess.run([BIN / "uv", "pip", "install", "--quiet", "--python", python, *PEERS[peer]], check=True)
    return python


if __name__ == "__main__":
    main()
