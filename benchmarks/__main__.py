"""`python -m benchmarks [--quick] [--write FILE] [name …]`: measure, beside the peers that are installed."""

from __future__ import annotations

import argparse
import compileall
import importlib
import sys
import time
from pathlib import Path

from benchmarks import tables
from benchmarks.harness import Row, load, machine, versions
from benchmarks.peers import PEERS

import trainyard

# In the order of the table that they fill.
BENCHMARKS = (
    "cli_start",
    "server_ready",
    "first_instruction",
    "short_jobs",
    "durable_creates",
    "list_page",
    "sql",
    "log_throughput",
    "fresh_service",
    "sdk_run",
    "objects",
    "containers",
    "package_start",
    "usage_sampling",
)
PAGE = """# Benchmarks

Measured by `python -m benchmarks --write docs/benchmarks.md`; the tables are its output, not edited.

- {date}
- {machine}
- {versions}
- peers: {peers}
- load average before / after: {before:.1f} / {after:.1f} (other work on the machine makes every figure worse)

## How to repeat

    make bench                              # every table below, beside the peers that are installed; minutes
    make bench BENCH_FLAGS=--quick          # a short pass without peers; under a minute
    make bench BENCH_FLAGS=first_instruction    # one of: {names}
    .venv/bin/python -m benchmarks.peers --install    # get the peers: each apart from us; Slurm by apt-get, as root

Every figure is what a client in another process saw; nothing is subtracted. A peer's figure is from the same run.
The million jobs of the list are built once (minutes) and kept in `.venv/bench` (1.5 GB).
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="a short pass without peers that shows that they run")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the whole run as a page of documentation")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.name) - set(BENCHMARKS)):
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    if asked.write and (asked.quick or asked.name):
        parser.error("--write documents a whole run: leave out names and --quick")
    compileall.compile_dir(str(Path(trainyard.__file__).parent), quiet=1)  # as set-up does
    before = load()
    print(f"{machine()}\n{versions()}\nload average {before:.1f}", flush=True)
    results = [measured(name, quick=asked.quick) for name in asked.name or BENCHMARKS]
    if asked.write:
        asked.write.write_text(page(results, before))
    missed = [row.what for _, rows in results for row in rows if row.verdict.startswith("missed")]
    caution = " (a quick pass is no measurement)" if asked.quick else ""
    print(f"\ngoals missed: {', '.join(missed) or 'none'}{caution}")


def measured(name: str, *, quick: bool) -> tuple[str, list[Row]]:
    """Run one benchmark and print its rows."""
    benchmark = importlib.import_module(f"benchmarks.{name}")
    title = str(benchmark.__doc__).splitlines()[0].rstrip(".")
    print(f"\n{title}", flush=True)
    began = time.perf_counter()
    rows: list[Row] = benchmark.measure(quick=quick)
    print(tables.text(rows), flush=True)
    print(f"  ({time.perf_counter() - began:.0f} s)", file=sys.stderr)
    return title, rows


def page(results: list[tuple[str, list[Row]]], before: float) -> str:
    """The whole run as Markdown."""
    head = PAGE.format(
        date=time.strftime("%Y-%m-%d"),
        machine=machine(),
        versions=versions(),
        before=before,
        after=load(),
        peers=", ".join(f"{peer.name} {peer.version}" if peer.is_here else f"{peer.name} (not here)" for peer in PEERS),
        names=", ".join(BENCHMARKS),
    )
    return "\n".join([head, *(f"## {title}\n\n{tables.markdown(rows)}\n" for title, rows in results)])


if __name__ == "__main__":
    main()
