"""Containers: from a job's create to its end by our podman runtime, against the same container by `podman run`.

The image is this machine's static busybox and nothing else; both sides use the same podman, the same network and the
configuration that we derive from the machine (with podman's own where that does not work, nothing could be compared).
Our job has ended when its program has, and its container is removed behind that; `podman run --rm` waits for the
removal. So it is also measured without: then the container is removed after the clock has stopped. In the runs of many
at a time both remove all of them, ours in between.
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
from benchmarks.rest_client import job_ms, request, run

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
            bare, kept, ours = [], [], []
            for _ in range(5 if quick else 20):  # in turns: what else runs on the machine slows all
                bare.append(_bare(one, network))
                kept.append(_bare(one, network, removes=False))
                ours.append(run(_one_job(one)))
            rows += _rows(network, median(ours), median(bare), median(kept))
            if not quick:
                by_shell, by_us = _many_bare(one, network), run(_many(one))
                note = f"{ALL} containers, {AT_ONCE} at a time"
                rows.append(Row(f"{note}, {network} network", by_us, "s", "", {"podman run --rm": by_shell}))
    return rows


def _rows(network: str, ours: float, bare: float, kept: float) -> list[Row]:
    theirs = {"podman run --rm": bare, "podman run, not removed": kept}
    return [
        Row(f"container by {network} network: create sent → end seen, p50", ours, "ms", "", theirs),
        Row("the same as a ratio of podman run --rm's", ours / bare, "×", "≤ 1.15"),
        Row("the same over podman run, not removed", ours - kept, "ms", "≤ 20"),
    ]


async def _one_job(one: Server) -> float:
    """Milliseconds from sending the create to seeing that it has ended."""
    create = request("POST", JOBS_PATH, job_body("/bin/true", image=IMAGE))
    return await job_ms(one.port, create, _LOOK_AGAIN_SECONDS, _MOST_SECONDS)


async def _many(one: Server) -> float:
    """Seconds for all, so many at a time."""
    room = asyncio.Semaphore(AT_ONCE)

    async def each() -> None:
        async with room:
            await _one_job(one)

    began = time.perf_counter()
    await asyncio.gather(*(each() for _ in range(ALL)))
    return time.perf_counter() - began


def _bare(one: Server, network: str, *, removes: bool = True) -> float:
    """Milliseconds of `podman run` from start to exit. The runtime is runc or crun itself, not through our script."""
    runtime = shutil.which("runc") or shutil.which("crun") or ""
    env = {**os.environ, "CONTAINERS_CONF": str(one.data_dir / "containers/containers.conf")}
    name = f"trainyard-bench-{os.getpid()}"
    removal = ["--rm"] if removes else [f"--name={name}"]
    command = ["podman", "--runtime", runtime, "run", *removal, "--init", "--pull=never", f"--network={network}"]
    began = time.perf_counter()
    subprocess.run([*command, IMAGE, "/bin/true"], env=env, check=True, capture_output=True)
    took = (time.perf_counter() - began) * 1000
    if not removes:
        subprocess.run(["podman", "rm", "--force", name], env=env, check=True, capture_output=True)
    return took


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
