"""A whole Slurm on one machine in a scratch directory: munged, slurmctld and one slurmd, all in a pid namespace.

Tuned as its own guide for high throughput says (no delay before scheduling), and once more with its default delays.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from samples import Samples, resident_mb_of_all, tell, timed

SLOTS = 8
TUNED = "SchedulerParameters=sched_min_interval=0,batch_sched_delay=0,bf_interval=1"
CONFIGURATION = """ClusterName=bench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
SlurmdUser=root
AuthInfo=socket={folder}/munge.sock
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
MpiDefault=none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/ended
ReturnToService=2
{tuning}
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={node_port} CPUs={slots}
PartitionName=all Nodes=n1 Default=YES State=UP OverSubscribe=NO
"""


def program(name: str) -> str:
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin") or name


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def cluster(tuning: str = TUNED) -> Iterator[tuple[Path, float]]:
    """A cluster whose node is idle; its folder, and the seconds that it took."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "state").mkdir()
        (folder / "spool").mkdir()
        (folder / "key").write_bytes(os.urandom(1024))
        (folder / "key").chmod(0o400)
        os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
        (folder / "slurm.conf").write_text(
            CONFIGURATION.format(
                host=socket.gethostname().split(".")[0],
                folder=folder,
                tuning=tuning,
                slots=SLOTS,
                controller_port=free_port(),
                node_port=free_port(),
            )
        )
        began = time.perf_counter()
        daemons = start_daemons(folder)
        try:
            wait_until_idle(daemons)
            yield folder, time.perf_counter() - began
        finally:
            for daemon in reversed(daemons):
                daemon.kill()
                daemon.wait()


def start_daemons(folder: Path) -> list[subprocess.Popen[bytes]]:
    files = {
        "key-file": "key",
        "socket": "munge.sock",
        "pid-file": "munged.pid",
        "log-file": "munged.log",
        "seed-file": "seed",
    }
    munge = [
        program("munged"),
        "--foreground",
        "--force",
        *(f"--{flag}={folder}/{name}" for flag, name in files.items()),
    ]
    with (folder / "daemons.log").open("wb") as log:
        daemons = [subprocess.Popen(munge, stdout=log, stderr=log)]
        while not (folder / "munge.sock").exists():
            time.sleep(0.005)
        daemons += [
            subprocess.Popen([program(command[0]), *command[1:]], stdout=log, stderr=log)
            for command in (["slurmctld", "-D"], ["slurmd", "-D", "-N", "n1"])
        ]
    return daemons


def wait_until_idle(daemons: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        shown = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, check=False).stdout
        if shown.strip() == "idle":
            return
        if any(daemon.poll() is not None for daemon in daemons):
            raise SystemExit("a daemon of Slurm ended at once")
        time.sleep(0.02)
    raise SystemExit("the node did not become idle")


def cli_start(count: int) -> Samples:
    """Seconds of `sbatch --version`."""
    with cluster():  # without a slurm.conf it only complains
        return {"(sbatch)": [timed(["sbatch", "--version"]) for _ in range(count)]}


def server_ready(count: int) -> Samples:
    """Seconds from the start of its daemons until its node is idle."""
    found = []
    for _ in range(count):
        with cluster() as (_folder, ready):
            found.append(ready)
    return {"": found}


def server_memory(_: int) -> Samples:
    """Resident MB of munged, slurmctld and slurmd, some seconds later."""
    with cluster():
        time.sleep(3)
        return {"": [resident_mb_of_all()]}


def submit(folder: Path, script: str, output: str) -> None:
    path = folder / "job.sh"
    if not path.exists() or path.read_text() != script:
        path.write_text(script)
    subprocess.run(
        ["sbatch", "--quiet", "--chdir", str(folder), "--output", output, str(path)], check=True, capture_output=True
    )


def runs(count: int, tuning: str) -> list[tuple[int, int, int]]:
    """Of each job: sent, acknowledged, first instruction, in calendar nanoseconds."""
    found = []
    with cluster(tuning) as (folder, _):
        for number in range(count):
            output = folder / f"{number}.out"
            sent = time.time_ns()
            submit(folder, "#!/bin/sh\nexec date +%s%N\n", str(output))
            done = time.time_ns()
            while not (output.exists() and output.read_text().endswith("\n")):
                time.sleep(0.01)
            found.append((sent, done, int(output.read_text())))
    return found


def first_instruction(count: int) -> Samples:
    """Milliseconds from the start of `sbatch` to the job's reading of the clock."""
    return {
        "(tuned)": [(reading - sent) / 1e6 for sent, _, reading in runs(count, TUNED)],
        "(defaults)": [(reading - sent) / 1e6 for sent, _, reading in runs(max(3, count // 4), "")],
    }


def acknowledged(count: int) -> Samples:
    """The same from the return of `sbatch`."""
    return {
        "(tuned)": [(reading - done) / 1e6 for _, done, reading in runs(count, TUNED)],
        "(defaults)": [(reading - done) / 1e6 for _, done, reading in runs(max(3, count // 4), "")],
    }


def from_shell(count: int) -> Samples:
    """As `first_instruction`: sbatch is its shell command."""
    return {"(tuned)": first_instruction(count)["(tuned)"]}


def short_jobs(count: int) -> Samples:
    """Jobs of `true` a second, 8 submitted at a time, all ended."""
    with cluster() as (folder, _), ThreadPoolExecutor(8) as callers:
        submit(folder, "#!/bin/sh\nexec true\n", "/dev/null")
        began = time.perf_counter()
        list(callers.map(lambda _: submit(folder, "#!/bin/sh\nexec true\n", "/dev/null"), range(count)))
        while ended(folder) < count + 1:
            time.sleep(0.05)
        return {"(tuned)": [count / (time.perf_counter() - began)]}


def ended(folder: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return (folder / "ended").read_text().count("JobState=")
    return 0


if __name__ == "__main__":
    tell(cli_start, server_ready, server_memory, first_instruction, acknowledged, from_shell, short_jobs)
