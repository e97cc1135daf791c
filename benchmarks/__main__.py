"""`python -m benchmarks [--quick] [name …]`: measure, beside the peers that are installed, and print ratios."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from pathlib import Path

from benchmarks.harness import machine, show

NOT_A_BENCHMARK = {"__main__", "harness"}


def main() -> None:
    names = sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    names = [name for name in names if name not in NOT_A_BENCHMARK]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="*", choices=[[], *names], help="which to run; all by default")
    parser.add_argument("--quick", action="store_true", help="a short pass that shows that they run")
    asked = parser.parse_args()
    print(machine())
    for name in asked.name or names:
        benchmark = importlib.import_module(f"benchmarks.{name}")
        show(str(benchmark.__doc__).splitlines()[0], benchmark.measure(quick=asked.quick))


if __name__ == "__main__":
    main()
