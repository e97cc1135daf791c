"""Start-up of the command line.

`--version`, median of whole processes: start, import, answer, end.
"""

from __future__ import annotations

import subprocess

from benchmarks import peers
from benchmarks.harness import BIN, Row, median, seconds


def measure(quick: bool) -> list[Row]:
    times = 5 if quick else 30

    def once(*command: str) -> None:
        subprocess.run([BIN / command[0], *command[1:]], check=True, capture_output=True)

    once("trainyard", "--version")
    version = seconds(lambda: once("trainyard", "--version"), times)
    helped = seconds(lambda: once("trainyard", "custom-jobs", "create", "--help"), times)
    bare = seconds(lambda: once("python", "-c", "pass"), times)
    shown = f"python -c pass {median(bare):.3f} s; fastest {min(version):.3f} s"
    return [
        Row("trainyard --version", median(version), "s", "≤ 0.1", peers.each("cli_start", 5, quick=quick), shown),
        Row("trainyard custom-jobs create --help", median(helped), "s"),
    ]
