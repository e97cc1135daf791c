"""Jobs whose every promise can be checked afterwards: known ends, known output, a witness signed at each start."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kill_sealed import BURST_LINES, BURSTS, PROGRAM, SealedJobs
from kill_service import Service, Unanswered

FINAL = {"JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"}
MOST_LIVE_JOBS = 6
JOBS = "/v1/projects/storm/locations/us-central1/customJobs"
SIGN = 'echo "$TRAINYARD_RUN" >> {witness}; '
COUNT = "i=0; while [ $i -lt {lines} ]; do echo line $i; i=$((i+1)); {pause} done; "
COUNTED = {"quick": 40, "slow": 60, "failing": 10, "tree": 20, "sealed": BURSTS * BURST_LINES}


@dataclass(frozen=True)
class Plan:
    """One sort of job: its shell program, how it must end, and the lines that its primary must have printed."""

    label: str
    program: str
    state: str
    lines: int = 0
    replicas: int = 1
    cancel: bool = False
    says: str = ""
    sealed: bool = False


@dataclass
class Tracked:
    """An acknowledged job."""

    name: str
    plan: Plan
    number: int
    cancelled: bool = False
    seen_final: bool = False

    @property
    def id(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]


def plans(witness: Path) -> tuple[tuple[Plan, int], ...]:
    """Every sort of job, with its weight."""
    sign = SIGN.format(witness=witness)
    quick = sign + COUNT.format(lines=COUNTED["quick"], pause="") + "exit 0"
    slow = sign + COUNT.format(lines=COUNTED["slow"], pause="sleep 0.02;") + "exit 0"
    failing = sign + COUNT.format(lines=COUNTED["failing"], pause="") + "exit 3"
    strays = "setsid sh -c 'trap \"\" TERM; sleep 600' & (sleep 600 & ) ; trap '' TERM; "
    tree = sign + strays + COUNT.format(lines=COUNTED["tree"], pause="sleep 0.01;") + "exit 0"
    pair = (
        sign
        + "case $TRAINYARD_RUN in */workerpool0-0/*) sleep 0.3; exit 0;; "
        + "*) trap '' TERM; while :; do sleep 1; done;; esac"
    )
    deaf = sign + "trap '' TERM; while :; do sleep 1; done"
    loud = sign + f'n=0; while [ $n -lt {COUNTED["failing"]} ]; do echo "line $n $SECRET"; n=$((n+1)); done; '
    loud += 'echo "RuntimeError: $SECRET" >&2; exit 3'
    return (
        (Plan("quick", quick, "JOB_STATE_SUCCEEDED", COUNTED["quick"]), 4),
        (Plan("slow", slow, "JOB_STATE_SUCCEEDED", COUNTED["slow"]), 6),
        (Plan("failing", failing, "JOB_STATE_FAILED", COUNTED["failing"], says="non-zero status of 3"), 2),
        (Plan("tree", tree, "JOB_STATE_SUCCEEDED", COUNTED["tree"]), 3),
        (Plan("pair", pair, "JOB_STATE_SUCCEEDED", replicas=2), 2),
        (Plan("deaf", deaf, "JOB_STATE_CANCELLED", cancel=True, says="CANCELED"), 2),
        (Plan("sealed", sign + PROGRAM, "JOB_STATE_SUCCEEDED", COUNTED["sealed"], sealed=True), 4),
        (Plan("sealed failing", loud, "JOB_STATE_FAILED", COUNTED["failing"], says="Error: s3cr3t-", sealed=True), 2),
    )


class Workload:
    """Keeps a few jobs alive, remembers every acknowledged one, and knows what must have become of it."""

    def __init__(self, service: Service, scratch: Path, dice: random.Random) -> None:
        self.jobs: list[Tracked] = []
        self._service = service
        self._dice = dice
        self._witness = scratch / "witness"
        self._plans = plans(self._witness)
        self._sealed_so_far = 0
        self.sealed = SealedJobs(service, dice)

    def top_up(self) -> None:
        """Submit until enough jobs live; cancel some that never end by themselves. Refusals are tried again later."""
        live = [job for job in self.unfinished() if self.look(job) not in FINAL]
        for job in live:
            if job.plan.cancel and self._dice.random() < 0.3:
                self._cancel(job)
            if job.plan.sealed:
                self._read(job)
        for _ in range(MOST_LIVE_JOBS - len(live)):
            plan = self._dice.choices([p for p, _ in self._plans], weights=[w for _, w in self._plans])[0]
            try:
                self._sealed_so_far += plan.sealed
                name = str(self._service.post(JOBS, self._body(plan))["name"])
                self.jobs.append(Tracked(name, plan, self._sealed_so_far))
            except Unanswered:
                return

    def unfinished(self) -> list[Tracked]:
        """Jobs that were not seen in a final state yet."""
        return [job for job in self.jobs if not job.seen_final]

    def _read(self, job: Tracked) -> None:
        """Read a running job's output in one way or the other."""
        with suppress(Unanswered):
            if self._dice.random() < 0.5:
                self.sealed.follow(job.name)
            else:
                self.sealed.check_raw(job.name, self._expected(job))

    def _body(self, plan: Plan) -> dict[str, Any]:
        def pool(count: int) -> dict[str, Any]:
            return {
                "machineSpec": {"machineType": "n1-standard-4"},
                "replicaCount": count,
                "containerSpec": {"imageUri": "host", "command": ["sh", "-c"], "args": [plan.program]},
            }

        pools = [pool(1)] + ([pool(plan.replicas - 1)] if plan.replicas > 1 else [])
        body: dict[str, Any] = {"displayName": plan.label, "jobSpec": {"workerPoolSpecs": pools}}
        if plan.sealed:
            self.sealed.dress(body, self._sealed_so_far)
        return body

    def look(self, job: Tracked) -> str:
        """The job's state now; empty where the service does not answer."""
        try:
            state = str(self._service.get(f"/v1/{job.name}")["state"])
        except Unanswered:
            return ""
        if state in FINAL and not job.seen_final and job.plan.sealed:
            self.sealed.note(job.number)
        job.seen_final = state in FINAL
        return state

    def cancel_what_never_ends(self) -> None:
        """Ask again for every cancel that may not have arrived."""
        for job in self.jobs:
            if job.plan.cancel and not job.cancelled:
                self._cancel(job)

    def _cancel(self, job: Tracked) -> None:
        try:
            self._service.post(f"/v1/{job.name}:cancel", {})
        except Unanswered:
            return
        job.cancelled = True

    def faults_of(self, job: Tracked) -> list[str]:
        """What is wrong with one job at the end: its state, its sentence, its output."""
        who = f"{job.name} ({job.plan.label})"
        try:
            shown = self._service.get(f"/v1/{job.name}")
        except Unanswered as problem:
            return [f"{who} was acknowledged and is lost: {problem}"]
        faults = []
        message = str(shown.get("error", {}).get("message", ""))
        if shown["state"] != job.plan.state:
            faults.append(f"{who} ended {shown['state']}, not {job.plan.state}: {message}")
        elif job.plan.says not in message:
            faults.append(f"{who} does not say {job.plan.says!r}: {message}")
        elif job.plan.lines and self._output(job) != self._expected(job):
            faults.append(f"{who} has {len(self._output(job))} bytes of output, {len(self._expected(job))} expected")
        return faults

    def _expected(self, job: Tracked) -> bytes:
        tail = f" {self.sealed.secret}" if job.plan.sealed else ""
        return "".join(f"line {n}{tail}\n" for n in range(job.plan.lines)).encode()

    def _output(self, job: Tracked) -> bytes:
        """The output of the last incarnation: an earlier one that was lost with its agents may end anywhere."""
        content = self._service.raw(f"/trainyard/v1/{job.name}/logs/workerpool0-0/stdout")
        first = self._expected(job).partition(b"\n")[0] + b"\n"
        return first + content.rpartition(first)[2]

    def sealed_in_words(self) -> str:
        """How much of all this had to do with keys."""
        sealed = sum(job.plan.sealed for job in self.jobs)
        return f"Jobs with a key: {sealed:,}; its rotations: {self.sealed.rotations:,}."

    def check_sealed(self) -> list[str]:
        """What is wrong with the jobs that have a key, once all have ended."""
        sealed = [job for job in self.jobs if job.plan.sealed]
        signed = self._witness.read_text().splitlines() if self._witness.exists() else []
        starts = Counter(mark.partition("-")[0] for mark in signed)
        self.sealed.check(
            {job.name: job.number for job in sealed if job.plan.label == "sealed"},
            {job.name: job.plan.lines for job in sealed},
            {job.name: starts[job.id] for job in sealed},
        )
        return self.sealed.faults

    def witnessed(self) -> int:
        """How many program starts were signed."""
        return len(self._witness.read_text().splitlines()) if self._witness.exists() else 0

    def witness_faults(self) -> list[str]:
        """Starts of the same attempt and incarnation that were signed more than once."""
        if not self._witness.exists():
            return ["no program signed the witness file"]
        signed = Counter(self._witness.read_text().splitlines())
        return [f"{mark} ran {times} times" for mark, times in signed.items() if times > 1]
