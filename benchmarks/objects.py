"""Objects through google-cloud-storage: one of 1 GB, and 10,000 of 4 KiB.

The same client program, in a process of its own, is timed against us and against the peers. A plain copy on the same
disk (written to the disk at its end, as an acknowledged upload is) shows how far off the hardware is.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import peers
from benchmarks.harness import Row, scratch, server, status_of

FEWER = {"gcp_storage_emulator": 100}  # 100 MB and 1,000 objects: more do not end within ten minutes
CLIENT = Path(__file__).parent / "storage_client.py"
FIGURES = {
    "upload": ("upload of one object", "MB/s"),
    "download": ("download of it", "MB/s"),
    "small_uploads": ("uploads of small objects", "/s"),
    "small_downloads": ("downloads of them", "/s"),
}


def plain_copies(work: Path, megabytes: int, objects: int) -> dict[str, float]:
    """The client's figures for `cp` and fsync, of the same sources."""
    copy = work / "copy"
    copy.mkdir()
    found = {}
    for name, amount, sources in (
        ("large", megabytes, [work / "large"]),
        ("small", objects, sorted((work / "small").iterdir())),
    ):
        began = time.perf_counter()
        for source in sources:
            with source.open("rb") as read, (copy / source.name).open("wb") as written:
                shutil.copyfileobj(read, written, 1 << 20)
                written.flush()
                os.fsync(written.fileno())
        found[name] = amount / (time.perf_counter() - began)
    return {"upload": found["large"], "small_uploads": found["small"]}


def measure(quick: bool) -> list[Row]:
    megabytes = 20 if quick else 1000
    objects = megabytes * 10
    work = Path(scratch().name) / f"objects-{time.time_ns()}"
    work.mkdir()
    with server() as one:
        one.get("/trainyard/v1/health")
        before = status_of(one.process.pid, "VmHWM")
        asked = [sys.executable, str(CLIENT), one.url, str(work), str(megabytes), str(objects)]
        ours: dict[str, float] = json.loads(subprocess.run(asked, check=True, capture_output=True).stdout)
        grown = (status_of(one.process.pid, "VmHWM") - before) / 1024
    copies = plain_copies(work, megabytes, objects)
    theirs = peers.each("objects", megabytes, quick=quick, fewer=FEWER)
    rows = []
    for name, (what, unit) in FIGURES.items():
        beside = {who.removesuffix(f" {name}"): each for who, each in theirs.items() if who.endswith(f" {name}")}
        beside |= {who: each for who, each in theirs.items() if isinstance(each, str)}
        if name in copies:
            beside["plain copy, fsync"] = copies[name]
        note = f"{objects if 'small' in name else megabytes} {'objects of 4 KiB' if 'small' in name else 'MB'}"
        rows.append(Row(what, ours[name], unit, peers=beside, note=note))
    return [*rows, Row("server memory grown by it, peak", grown, "MB")]
