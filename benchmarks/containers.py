"""Containers: from a job's create to its end by our podman runtime, against the same container by `podman run`.

The image is this machine's static busybox and nothing else; both sides use the same podman, the same network and the
configuration that we derive from the machine (with podman's own where that does not work, nothing could be compared).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.harness import JOBS_PATH, Row, Server, job_body, median, server
from benchmarks.rest_client import connect, request, run, wait_until_final

IMAGE = "localhost/trainyard-bench/busybox:1"
AT_ONCE, ALL = 4, 40
_LOOK_AGAIN_SECONDS = 0.005
_MOST_SECONDS = 120.0
_NETWORKS = ("bridge", "host")


def measure(quick: bool) -> list[Row]:
    if why := _why_not():
        return [Row(f"containers: not measured ({why})", 0, "")]
    rows = []
    for network in _NETWORKS:
        with server("--runtime=podman", "--image-pull=never", f"--container-network={network}") as one:
            run(_one_job(one))  # its configuration is written, the image known
            bare, ours = [], []
            for _ in range(5 if quick else 20):  # in turns: what else runs on the machine slows both
                bare.append(_bare(one, network))
                ours.append(run(_one_job(one)))
            theirs = median(bare)
            rows.append(
                Row(
                    f"container by {network} network: create sent → end seen, p50",
                    median(ours),
                    "ms",
                    "",
                    {"podman run": theirs},
                )
            )
            rows.append(Row("the same as a ratio of podman run's", median(ours) / theirs, "×", "≤ 1.15"))
            if not quick:
                by_shell, by_us = _many_bare(one, network), run(_many(one))
                note = f"{ALL} containers, {AT_ONCE} at a time"
                rows.append(Row(f"{note}, {network} network", by_us, "s", "", {"podman run": by_shell}))
    return rows


async def _one_job(one: Server) -> float:
    """Milliseconds from sending the create to seeing that it has ended."""
    connection = await connect(one.port)
    began = time.perf_counter()
    answer = await connection.ask(request("POST", JOBS_PATH, job_body("/bin/true", image=IMAGE)))
    state = await wait_until_final(connection, answer.json["name"], _LOOK_AGAIN_SECONDS, _MOST_SECONDS)
    took = time.perf_counter() - began
    connection.close()
    if state != "JOB_STATE_SUCCEEDED":
        raise RuntimeError(f"a container ended {state}")
    return took * 1000


async def _many(one: Server) -> float:
    """Seconds for all, so many at a time."""
    room = asyncio.Semaphore(AT_ONCE)

    async def each() -> None:
        async with room:
            await _one_job(one)

    began = time.perf_counter()
    await asyncio.gather(*(each() for _ in range(ALL)))
    return time.perf_counter() - began


def _bare(one: Server, network: str) -> float:
    """Milliseconds of `podman run` from start to exit. The runtime is runc or crun itself, not through our script."""
    runtime = shutil.which("runc") or shutil.which("crun") or ""
    env = {**os.environ, "CONTAINERS_CONF": str(one.data_dir / "containers/containers.conf")}
    command = ["podman", "--runtime", runtime, "run", "--rm", "--init", "--pull=never", f"--network={network}"]
    began = time.perf_counter()
    subprocess.run([*command, IMAGE, "/bin/true"], env=env, check=True, capture_output=True)
    return (time.perf_counter() - began) * 1000


def _many_bare(one: Server, network: str) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda _: _bare(one, network), range(ALL)))
    return time.perf_counter() - began


def _why_not() -> str:
    for program in ("podman", "busybox"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if subprocess.run(["podman", "image", "exists", IMAGE], check=False).returncode == 0:
        return ""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree.tar")
        with tarfile.open(tree, "w") as archive:
            archive.add(shutil.which("busybox") or "", "bin/true")
        done = subprocess.run(["podman", "import", str(tree), IMAGE], check=False, capture_output=True, text=True)
    return done.stderr.strip()[-200:] if done.returncode else ""
