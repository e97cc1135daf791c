"""What the engine itself costs: trials a second, what it adds to the spawn of a process, and a real search run by it.

A trial is a shell that writes its metric file and ends; it is measured bare, under our engine, and under peers that
keep their trials in a file as we do. The time of a search is from its createTime to its endTime.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.harness import Row, median, server
from benchmarks.nas.problems import Chain

from trainyard.cli.claims import Claims, job_of, join
from trainyard.cli.connection import Target
from trainyard.cli.job_specs import add_places
from trainyard.cli.nas_results import Search, load
from trainyard.cli.service_api import FINAL_STATES, NAS_JOB, Job, ServiceApi
from trainyard.core.space import Space

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLE = ROOT / "examples" / "nas_digits"
# What a trial runs, in a shell: with CLOUD_ML_HP_METRIC_FILE as the original sets it.
PROGRAM = 'echo \'{"m": "1"}\' > "$CLOUD_ML_HP_METRIC_FILE"'
AT_ONCE = 8
POLL_SECONDS = 0.02
LIVE = ("random", "evolution", "reinforce", "model-based")
LIVE_TRIALS = 60
OF_PEERS = 200  # trials; more of them only take longer
Peer = Callable[[str, Sequence[str]], float]


@dataclass(frozen=True, slots=True)
class Counts:
    """How many trials each measurement makes."""

    rate: int
    alone: int
    long: int
    claimed: int


WHOLE = Counts(rate=1000, alone=200, long=10_000, claimed=2000)
QUICK = Counts(rate=40, alone=10, long=100, claimed=50)


def measure(peer: Peer, *, quick: bool) -> list[Row]:
    """All rows; `peer(name, arguments)` gives a peer's seconds, or raises CalledProcessError."""
    counts = QUICK if quick else WHOLE
    with server("--replicas", str(AT_ONCE)) as one:
        api = ServiceApi(Target(one.url, "bench", "us-central1"), NAS_JOB)
        _searched(api, 10, AT_ONCE)
        return [
            *_busy(api, counts.rate, {} if quick else _peers(peer, AT_ONCE)),
            _alone(api, counts.alone, {} if quick else _peers(peer, 1)),
            _flat(api, counts.long),
            _claimed(api, counts.claimed),
            *([] if quick else map(_live, [api] * len(LIVE), LIVE)),
        ]


def _peers(peer: Peer, at_once: int) -> dict[str, float]:
    """Seconds of each peer for a trial of the same program."""
    arguments = [PROGRAM, str(OF_PEERS), str(at_once)]
    return {name: peer(name, arguments) / OF_PEERS for name in ("optuna_tpe", "pyglove_evolution")}


def _busy(api: ServiceApi, count: int, theirs: Mapping[str, float]) -> list[Row]:
    """With all places taken: how many a second, and what that adds to each."""
    ours, bare = _searched(api, count, AT_ONCE)[0] / count, _bare(count, AT_ONCE) / count
    note = f"{count:,} trials of 42 decisions; the same programs without any engine: {1 / bare:.0f}/s"
    what = f"trivial trials end to end, {AT_ONCE} at a time"
    rates = {name: 1 / taken for name, taken in theirs.items()}
    return [Row(what, 1 / ours, "trials/s", "≥ 50", rates, note), _added(f"{AT_ONCE} at a time", ours, bare, theirs)]


def _alone(api: ServiceApi, count: int, theirs: Mapping[str, float]) -> Row:
    """One at a time, so that nothing hides behind anything else: medians of five."""
    few = count // 5
    bare = median([_bare(few, 1) / few for _ in range(5)])
    ours = median([_searched(api, few, 1)[0] / few for _ in range(5)])
    return _added("one at a time", ours, bare, theirs)


def _added(how: str, ours: float, bare: float, theirs: Mapping[str, float]) -> Row:
    peers = {name: 1000 * (taken - bare) for name, taken in theirs.items()}
    note = f"{1000 * ours:.1f} ms each, without an engine {1000 * bare:.1f} ms"
    return Row(f"added to the spawn of a trial's process, {how}", 1000 * (ours - bare), "ms", "≤ 5", peers, note)


def _flat(api: ServiceApi, count: int) -> Row:
    """The last tenth's time per trial over the first tenth's, by the trials' own end times."""
    _, search = _searched(api, count, AT_ONCE)
    ends = sorted(datetime.fromisoformat(trial.end).timestamp() for trial in search.trials)
    tenth = max(2, count // 10)
    first, last = ends[tenth - 1] - ends[0], ends[-1] - ends[-tenth]
    return Row(
        f"{count:,} no-op trials: time of the last tenth over the first",
        last / first,
        "×",
        "≤ 2",
        note=f"{1000 * first / (tenth - 1):.1f} ms a trial at first, {1000 * last / (tenth - 1):.1f} ms at the end",
    )


def _claimed(api: ServiceApi, count: int) -> Row:
    """One worker claims and reports; every answer durable before it is given."""
    space = Chain(0).space
    name = join(
        api.target, f"claims-{count}", lambda: job_of(f"claims-{count}", spec_text(space), "m", {}, (count, 10))
    )
    worker = Claims(api.target, name, "bench")
    taken = []
    began = time.perf_counter()
    while (claimed := worker.claim()) is not None:
        worker.report(claimed.number, metrics={"m": 1.0})
        taken.append(time.perf_counter() - began)
        began = time.perf_counter()
    return Row(
        "claimed and reported by a worker, over HTTP", 1000 * median(taken), "ms", note=f"median of {count:,} trials"
    )


def _live(api: ServiceApi, searcher: str) -> Row:
    """The example's trainer on real digits: what the engine, its searcher and its processes find together."""
    import yaml  # noqa: PLC0415 - the only one who reads YAML here

    spec = yaml.safe_load((EXAMPLE / "spec.yaml").read_text())
    algorithm = spec["multiTrialAlgorithmSpec"]
    del algorithm["trainTrialSpec"]
    search = algorithm["searchTrialSpec"]
    search["maxTrialCount"] = LIVE_TRIALS
    add_places({"jobSpec": search["searchTrialJobSpec"]}, str(EXAMPLE / "spec.yaml"), sys.executable)
    spec["searchSpaceSpec"] = (EXAMPLE / "search_space.json").read_text()
    labels = {"trainyard-searcher": searcher, "trainyard-seed": "1"}
    began = time.perf_counter()
    found = _finished(api, {"displayName": f"live {searcher}", "labels": labels, "nasJobSpec": spec})
    seconds = time.perf_counter() - began
    values = [trial.value for trial in found.trials if trial.value is not None]
    late = values[-LIVE_TRIALS // 3 :]
    return Row(
        f"B3 live, {LIVE_TRIALS} real trainings by {searcher}: mean reward of the last third",
        100 * sum(late) / len(late),
        "",
        note=f"best {100 * max(values):.1f}, {len(values)} measured, {seconds:.0f} s; one run with seed 1, no average",
    )


def _searched(api: ServiceApi, count: int, at_once: int) -> tuple[float, Search]:
    """Seconds that a search took, and the search."""
    pool = {
        "machineSpec": {"machineType": "n1-standard-4"},
        "replicaCount": 1,
        "containerSpec": {"imageUri": "host", "command": ["sh", "-c", PROGRAM]},
    }
    trial = {"workerPoolSpecs": [pool]}
    search = {"searchTrialJobSpec": trial, "maxTrialCount": count, "maxParallelTrialCount": at_once}
    algorithm = {"metric": {"metricId": "m", "goal": "MAXIMIZE"}, "searchTrialSpec": search}
    spec = {"searchSpaceSpec": spec_text(Chain(0).space), "multiTrialAlgorithmSpec": algorithm}
    found = _finished(api, {"displayName": "trivial", "nasJobSpec": spec})
    states = {trial.state for trial in found.trials}
    assert (len(found.trials), states) == (count, {"SUCCEEDED"}), states
    start, end = (datetime.fromisoformat(str(found.job[each])) for each in ("createTime", "endTime"))
    return (end - start).total_seconds(), found


def _finished(api: ServiceApi, job: Job) -> Search:
    unique = f"{job['displayName']} {time.monotonic_ns()}"
    name = str(api.create(job | {"displayName": unique})["name"])
    # A list leaves the trials out: asking how far it is costs the same at any length.
    while next(api.jobs(f'displayName="{unique}"'))["state"] not in FINAL_STATES:
        time.sleep(POLL_SECONDS)
    return load(api, name, best_only=True)


def _bare(count: int, at_once: int) -> float:
    """Seconds for the same programs by subprocess alone, each with a metric file of its own."""
    with tempfile.TemporaryDirectory() as folder:

        def one(number: int) -> None:
            environment = {**os.environ, "CLOUD_ML_HP_METRIC_FILE": f"{folder}/{number}"}
            subprocess.run(["sh", "-c", PROGRAM], env=environment, check=True)
            json.loads(Path(folder, str(number)).read_text())

        began = time.perf_counter()
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(one, range(count)))
        return time.perf_counter() - began


def spec_text(space: Space) -> str:
    """The searchSpaceSpec of a flat space."""
    kind = "pyglove.generators.geno"

    def choice(number: int, options: int) -> dict[str, Any]:
        candidates = [{"_type": f"{kind}.Template", "index": option} for option in range(options)]
        return {"_type": f"{kind}.Choices", "location": f"d{number}", "candidates": candidates}

    elements = [choice(number, options) for number, options in enumerate(space.options)]
    return json.dumps({"_type": f"{kind}.Template", "elements": elements})
