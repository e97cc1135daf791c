"""Programs see every bucket at /gcs, as on the original, and what they write there is in the bucket at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from one_program import ran

from trainyard.executors.local.client import LocalOptions


async def output_of(data_dir: Path, program: str, *, gcs_mount: bool = True) -> tuple[str, tuple[str, ...]]:
    """Run a shell program as a job's only replica; its stdout, and what people are told of the run."""
    reading, printed = await ran(data_dir, program, LocalOptions(gcs_mount=gcs_mount))
    return printed, reading.notes


def test_a_program_reads_and_writes_buckets_at_gcs(tmp_path: Path) -> None:
    """The same file under /gcs/<bucket>, under $TRAINYARD_GCS_ROOT, and in the data directory."""
    bucket = tmp_path / "buckets" / "bkt"
    bucket.mkdir(parents=True)
    (bucket / "in put").write_text("from outside")
    program = 'cat "/gcs/bkt/in put"; echo inside > /gcs/bkt/out; cat "$TRAINYARD_GCS_ROOT/bkt/out"'
    printed, notes = asyncio.run(output_of(tmp_path, program))
    assert printed == "from outsideinside\n"
    assert (bucket / "out").read_text() == "inside\n"
    assert not any("/gcs" in note for note in notes)


def test_the_rest_of_the_machine_looks_as_ever(tmp_path: Path) -> None:
    """Files, users, temporary directory and processes are the host's own; only /gcs is new, and only to programs."""
    mark = tmp_path / "mark"
    mark.write_text("here")
    printed, _ = asyncio.run(output_of(tmp_path, f"cat {mark}; echo; id -u; ls -d /proc/1 /tmp /usr /gcs"))
    assert printed.split() == ["here", str(tmp_path.stat().st_uid), "/gcs", "/proc/1", "/tmp", "/usr"]
    assert not Path("/gcs").exists() or Path("/gcs").stat().st_ino != (tmp_path / "buckets").stat().st_ino


@pytest.mark.parametrize(("program", "told"), [("echo gs://bkt/x", True), ("echo plain", False)])
def test_who_needs_buckets_is_told_where_they_are_without_the_mount(tmp_path: Path, program: str, told: bool) -> None:
    """Without /gcs the job still runs, and its service log says where the buckets lie if it has to do with them."""
    printed, notes = asyncio.run(output_of(tmp_path, f"{program}; test -e /gcs || echo none", gcs_mount=False))
    assert printed.endswith("none\n")
    assert any("TRAINYARD_GCS_ROOT" in note for note in notes) is told
