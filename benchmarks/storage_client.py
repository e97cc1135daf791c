"""google-cloud-storage against any endpoint, in a process of its own: figures as JSON, the same for us and for peers.

    python benchmarks/storage_client.py ENDPOINT DIRECTORY MEGABYTES OBJECTS

MB/s of one large object, objects/s of many of 4 KiB by the client's transfer manager with 8 threads; up, then down.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.cloud.storage import transfer_manager

SMALL_BYTES = 4096
THREADS = 8
MEGABYTE = 1_000_000


def rate(amount: float, act: Callable[[], object]) -> float:
    """How much of `amount` a second."""
    began = time.perf_counter()
    act()
    return amount / (time.perf_counter() - began)


def measure(directory: Path, megabytes: int, objects: int) -> dict[str, float]:
    """All four figures. Sources are written, and results removed, outside of what is timed."""
    client = storage.Client("bench", AnonymousCredentials())
    bucket = client.create_bucket(f"bench-{time.time_ns()}")
    large, back, small, again = (directory / name for name in ("large", "back", "small", "again"))
    block = os.urandom(MEGABYTE)
    with large.open("wb") as file:
        for _ in range(megabytes):
            file.write(block)
    small.mkdir()
    again.mkdir()
    names = [f"{number:06}" for number in range(objects)]
    for name in names:
        (small / name).write_bytes(block[:SMALL_BYTES])
    threads = {"worker_type": transfer_manager.THREAD, "max_workers": THREADS, "raise_exception": True}
    found = {
        "upload": rate(megabytes, lambda: bucket.blob("large").upload_from_filename(str(large), timeout=600)),
        "download": rate(megabytes, lambda: bucket.blob("large").download_to_filename(str(back), timeout=600)),
        "small_uploads": rate(
            objects,
            lambda: transfer_manager.upload_many_from_filenames(bucket, names, source_directory=str(small), **threads),
        ),
        "small_downloads": rate(
            objects,
            lambda: transfer_manager.download_many_to_path(bucket, names, destination_directory=str(again), **threads),
        ),
    }
    if back.stat().st_size != large.stat().st_size or len(list(again.iterdir())) != objects:
        raise RuntimeError("what came back is not what was sent")
    return found


if __name__ == "__main__":
    os.environ["STORAGE_EMULATOR_HOST"] = sys.argv[1]
    print(json.dumps(measure(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))))
