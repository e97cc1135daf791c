"""Kill -9 the server, the spawner, guards and supervisors at random moments under load, then check every promise.

    python tools/kill_test.py [--kills 300] [--minutes 90] [--seed N] [--report docs/reliability.md]

Checked: every acknowledged job exists and ends as its program says; no attempt or incarnation ran twice (each program
signs a witness file when it starts); logs are complete to the byte; what had ended before a restart is final within
two seconds of it; no process is left; nothing that jobs with a key were, said or wrote can be found in the data
directory, and all of it be read. Exit status 0 only if all of it held; the seed repeats the choices.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from kill_report import Tally, report
from kill_service import Service, Unanswered
from kill_workload import FINAL, Tracked, Workload
from trainyard.agent import records

# A restart of the server takes most of the time, so it is hit less often than what it leaves behind.
VICTIMS = {
    "server": 3,
    "supervisor": 8,
    "guard": 8,
    "spawner": 4,
    "server and supervisor": 1,
    "guard and supervisor": 2,
    "server as it seals": 2,
}
KILLS_TO_A_ROTATION = 50
MOST_SECONDS_TO_END = 90.0
MOST_SECONDS_TO_CONSISTENCY = 2.0


@dataclass(frozen=True)
class Limit:
    """When the storm is over: after that many kills, or at that time on the monotonic clock."""

    kills: int
    until: float


def controls(service: Service, run_id: str) -> list[str]:
    """The records of every incarnation of a run group, as agent/records.py names them."""
    return [str(path).removesuffix(".state") for path in service.data_dir.glob(f"runs/{run_id}/*.state")]


def agents_of(service: Service, workload: Workload) -> list[tuple[int, int]]:
    """(guard, supervisor) of every program that runs now, found as its parent and grandparent."""
    pairs = []
    for control in (each for job in workload.unfinished() for each in controls(service, f"{job.id}-*")):
        running = records.read_state(control).running
        if running is None or records.read_exit(control):
            continue
        try:
            supervisor = parent_of(int(running["pid"]))
            guard = parent_of(supervisor)
        except OSError:
            continue
        pairs.append((guard, supervisor))
    return pairs


def parent_of(pid: int) -> int:
    """The parent's process id, from the field after the last parenthesis of /proc/PID/stat."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def is_agent(pid: int, service: Service) -> bool:
    """Whether a process is an agent of this service."""
    return pid in service.agents()


def kill(pid: int) -> bool:
    """SIGKILL; False where the process is gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def strike(victim: str, service: Service, workload: Workload, dice: random.Random) -> bool:
    """Kill one victim of that sort; False where there is none just now."""
    hit = False
    if "seals" in victim and not workload.sealed.moment([job.id for job in workload.jobs[-20:] if job.plan.sealed]):
        return False
    if "supervisor" in victim or "guard" in victim:
        pairs = agents_of(service, workload)
        if not pairs:
            return False
        guard, supervisor = dice.choice(pairs)
        targets = [pid for name, pid in (("guard", guard), ("supervisor", supervisor)) if name in victim]
        hit = sum(kill(pid) for pid in targets if is_agent(pid, service)) > 0
    if victim == "spawner":
        spawner = service.spawner()
        hit = spawner is not None and kill(spawner)
    if "server" in victim:
        service.kill()
        hit = True
    return hit


def ended_on_disk(service: Service, job: Tracked) -> bool:
    """Whether every replica of the job's newest attempt has ended for a cause that is not tried again."""
    attempts = sorted(service.data_dir.glob(f"runs/{job.id}-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    newest: dict[str, tuple[int, str]] = {}
    for control in controls(service, attempts[-1].name) if attempts else []:
        replica, _, incarnation = Path(control).name.rpartition(".")
        newest[replica] = max(newest.get(replica, (-1, "")), (int(incarnation), control))
    causes = [(records.read_exit(control) or {}).get("cause", "") for _, control in newest.values()]
    return len(causes) == job.plan.replicas and all(cause not in ("", "lost") for cause in causes)


def check_consistency(service: Service, workload: Workload, tally: Tally) -> None:
    """After a restart: everything acknowledged is there, and what had ended is final within two seconds."""
    ended = [job for job in workload.unfinished() if ended_on_disk(service, job)]
    began = time.monotonic()
    for job in ended:
        attempts = len(list(service.data_dir.glob(f"runs/{job.id}-*")))
        while True:
            shown = service.get(f"/v1/{job.name}")
            moved_on = len(list(service.data_dir.glob(f"runs/{job.id}-*"))) > attempts
            if shown["state"] in FINAL or moved_on or not ended_on_disk(service, job):
                break
            if time.monotonic() - began > MOST_SECONDS_TO_CONSISTENCY:
                tally.faults.append(
                    f"{job.name} ({job.plan.label}) is {shown['state']} two seconds after a restart, yet it had ended"
                )
                break
            time.sleep(0.01)
    tally.consistency.append(time.monotonic() - began)
    tracked = workload.jobs
    for job in random.Random(len(tracked)).sample(tracked, min(20, len(tracked))):
        try:
            service.get(f"/v1/{job.name}")
        except Unanswered as problem:
            tally.faults.append(f"{job.name} was acknowledged and cannot be read after a restart: {problem}")


def storm(service: Service, workload: Workload, tally: Tally, limit: Limit, dice: random.Random) -> None:
    """Keep the service busy and kill something at every turn, until enough were hits or time is up."""
    while tally.kills.total() < limit.kills and time.monotonic() < limit.until:
        workload.top_up()
        time.sleep(dice.expovariate(1 / 0.03))
        victim = dice.choices(list(VICTIMS), weights=list(VICTIMS.values()))[0]
        if strike(victim, service, workload, dice):
            tally.kills[victim] += 1
            if tally.kills.total() % KILLS_TO_A_ROTATION == 0:
                workload.sealed.rotate()
                time.sleep(dice.uniform(0, 0.03))
                service.kill()
                tally.kills["server as it rotates"] += 1
            if tally.kills.total() % 500 == 0:
                print(
                    f"  {tally.kills.total()} kills, {len(workload.jobs)} jobs, {len(tally.faults)} faults", flush=True
                )
        if not service.alive():
            tally.restarts.append(service.start())
            check_consistency(service, workload, tally)


def check_everything(service: Service, workload: Workload, tally: Tally) -> None:
    """Wait for the last job, then hold every promise against what is there."""
    deadline = time.monotonic() + MOST_SECONDS_TO_END
    waiting = list(workload.jobs)
    while waiting and time.monotonic() < deadline:
        workload.cancel_what_never_ends()
        waiting = [job for job in waiting if workload.look(job) not in FINAL]
        time.sleep(0.05)
    for job in workload.jobs:
        tally.faults.extend(workload.faults_of(job))
    tally.faults.extend(workload.witness_faults())
    tally.faults.extend(workload.check_sealed())
    service.stop()
    deadline = time.monotonic() + 5
    while (left := service.processes_left()) and time.monotonic() < deadline:
        time.sleep(0.05)
    tally.faults.extend(f"process left behind: {process}" for process in left)


def main() -> int:
    """Run the storm; print the result; 0 only without a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=90.0, help="stop killing after this long, and check")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    parser.add_argument("--report", type=Path, help="write the result under the mark in this page")
    asked = parser.parse_args()
    dice = random.Random(asked.seed)
    tally = Tally()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="trainyard-kill-", ignore_cleanup_errors=True) as scratch:
        service = Service(Path(scratch) / "data")
        service.start()
        workload = Workload(service, Path(scratch), dice)
        try:
            storm(service, workload, tally, Limit(asked.kills, began + asked.minutes * 60), dice)
            check_everything(service, workload, tally)
            text = report(tally, workload, asked.seed, time.monotonic() - began)
        finally:
            service.end_everything()
    print(text)
    for fault in tally.faults[:40]:
        print("FAULT", fault)
    if asked.report and not tally.faults:
        head, mark, _ = asked.report.read_text().partition("<!-- result of tools/kill_test.py -->")
        asked.report.write_text(f"{head}{mark}\n\n{text}\n")
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
