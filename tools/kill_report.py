"""What a storm did and found, in the same words for the terminal and for docs/reliability.md."""

from __future__ import annotations

import os
import platform
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from kill_workload import Workload


@dataclass
class Tally:
    """What happened and what was found wrong."""

    kills: Counter[str] = field(default_factory=Counter)
    restarts: list[float] = field(default_factory=list)
    consistency: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def report(tally: Tally, workload: Workload, seed: int, elapsed: float) -> str:
    """The result as a paragraph and a table, the same for the terminal and for docs/reliability.md."""
    ready, settled = sorted(tally.restarts), sorted(tally.consistency)
    lines = [
        f"{tally.kills.total():,} kills in {elapsed:,.0f} s over {len(workload.jobs):,} jobs "
        f"({workload.witnessed():,} program starts), seed {seed}, {datetime.now(UTC):%Y-%m-%d}, "
        f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}.",
        "",
        "| killed | times |",
        "|---|---|",
        *(f"| {name} | {count:,} |" for name, count in tally.kills.most_common()),
        "",
        f"Server restarts: {len(ready):,}; ready again after {ready[len(ready) // 2]:.2f} s (median), "
        f"{ready[-1]:.2f} s (worst); "
        f"consistent {settled[len(settled) // 2]:.2f} s (median), {settled[-1]:.2f} s (worst) after that."
        if ready
        else "The server was never hit.",
        "",
        workload.sealed_in_words(),
        "",
        f"Faults found: {len(tally.faults)}.",
    ]
    return "\n".join(lines)
