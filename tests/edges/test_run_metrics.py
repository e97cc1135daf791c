"""What a job's programs write to AIP_TENSORBOARD_LOG_DIR, and how far they say they are, through the real service."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import google_crc32c
import pytest
from edge_server import Api, Server, running

PROGRAM = str(Path(sys.executable).with_name("trainyard"))


def masked(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(tag: str, step: int, value: float) -> bytes:
    """One event with one scalar, as SummaryWriter leaves it."""
    told = b"\x0a" + bytes([len(tag)]) + tag.encode() + b"\x15" + struct.pack("<f", value)
    summary = b"\x0a" + bytes([len(told)]) + told
    number = bytes([step & 0x7F | 0x80, step >> 7])
    event = b"\x09" + struct.pack("<d", 1.7e9 + step) + b"\x10" + number + b"\x2a" + bytes([len(summary)]) + summary
    length = struct.pack("<Q", len(event))
    return length + masked(length) + event + masked(event)


@pytest.fixture
def trained(server: Server, api: Api, project: str) -> str:
    """A job that has ended, with two runs of event files, one of them damaged at its end."""
    bucket = f"metrics-{project}"
    logs = server.data_dir / "buckets" / bucket / "out" / "logs"
    for run in ("train", "validation"):
        (logs / run).mkdir(parents=True)
    loss = b"".join(record("loss", step, 1 / (1 + step)) for step in range(300))
    (logs / "train" / "events.out.tfevents.1.host").write_bytes(loss + record("acc", 7, float("nan")))
    broken = bytearray(record("loss", 0, 2.0) + record("loss", 1, 1.0))
    broken[-1] ^= 1
    (logs / "validation" / "events.out.tfevents.2.host").write_bytes(broken)
    (logs / "notes.txt").write_text("no event file")
    output = {"baseOutputDirectory": {"outputUriPrefix": f"gs://{bucket}/out"}}
    name: str = api.made(running("true", job_spec=output))["name"]
    api.wait(name)
    return name


def test_scalars_by_run_and_metric(api: Api, trained: str) -> None:
    """Every series with its points; a damaged file is told, and what stands before the damage is shown."""
    told = api.call("GET", f"/trainyard/v1/{trained}:metrics").json
    assert told["source"].endswith("/out/logs/")
    series = {(one["run"], one["tag"]): one for one in told["series"]}
    assert set(series) == {("train", "loss"), ("train", "acc"), ("validation", "loss")}
    assert series["train", "loss"]["count"] == 300
    assert [point["step"] for point in series["train", "loss"]["points"]] == list(range(300))
    assert series["train", "loss"]["points"][1]["value"] == 0.5
    assert series["train", "acc"]["points"][0]["value"] == "NaN"
    assert [point["value"] for point in series["validation", "loss"]["points"]] == [2.0]
    assert [(one["file"].rpartition("/")[2], one["why"][:19]) for one in told["damaged"]] == [
        ("events.out.tfevents.2.host", "the record at byte ")
    ]


def test_a_long_series_is_thinned_evenly(api: Api, trained: str) -> None:
    """First and newest point are always there, the rest at even distances; one metric can be asked for alone."""
    told = api.call("GET", f"/trainyard/v1/{trained}:metrics?tag=loss&points=10").json
    steps = [point["step"] for point in told["series"][0]["points"]]
    assert len(steps) <= 10
    assert (steps[0], steps[-1]) == (0, 299)
    assert len({after - before for before, after in pairwise(steps[:-1])}) == 1
    assert {one["tag"] for one in told["series"]} == {"loss"}


def test_wrong_questions_have_clear_answers(api: Api, trained: str) -> None:
    """A bad number, an unknown parameter, a job without output, a job that is not there."""
    for points in ("1", "100001", "x"):
        assert "points must be" in api.call("GET", f"/trainyard/v1/{trained}:metrics?points={points}").error["message"]
    assert "no parameter 'size'" in api.call("GET", f"/trainyard/v1/{trained}:metrics?size=1").error["message"]
    bare = api.made(running("true"))["name"]
    answer = api.call("GET", f"/trainyard/v1/{bare}:metrics")
    assert answer.error["status"] == "FAILED_PRECONDITION"
    assert "jobSpec.baseOutputDirectory" in answer.error["message"]
    assert api.call("GET", f"/trainyard/v1/{api.parent}/customJobs/5:metrics").status == 404


def test_the_command_line_shows_and_draws_them(server: Server, project: str, trained: str, tmp_path: Path) -> None:
    """`metrics` prints a line a series, `plot` a page with a curve for each; damage goes to stderr."""
    options = ["--endpoint", f"http://127.0.0.1:{server.port}", "--project", project]

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [PROGRAM, "custom-jobs", *words, *options]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    shown = run("metrics", trained.rpartition("/")[2])
    assert shown.returncode == 0, shown.stderr
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert lines[0] == ["RUN", "METRIC", "POINTS", "STEP", "LAST", "LOWEST", "HIGHEST"]
    assert ["train", "loss", "300", "299", "0.00333333", "0.00333333", "1"] in lines
    assert ["train", "acc", "1", "not", "a", "number"] in lines
    assert "events.out.tfevents.2.host: the record at byte" in shown.stderr
    drawn = run("plot", trained.rpartition("/")[2], "--output", "m.html")
    assert (drawn.returncode, drawn.stdout) == (0, "m.html\n"), drawn.stderr
    page = (tmp_path / "m.html").read_text()
    assert page.count("<polyline") == 2
    assert "1 values are not finite" in page
    assert "<script" not in page
    assert "validation" in page
    wrong = run("plot", trained.rpartition("/")[2], "--output", "m.svg")
    assert wrong.returncode == 2
    assert "--output=m.svg: the name ends in .html or in .png" in wrong.stderr


def test_time_left_is_reckoned_where_the_program_does_not_say_it(api: Api) -> None:
    """By its pace so far; a program that was restarted may have gone on from a checkpoint, so nothing is said of it."""
    counts = """echo '{"progress": {"done": 1, "of": 4}}'; sleep 60"""
    steady = api.made(running("sh", "-c", f"sleep 1; {counts}"))["name"]
    crashing = (
        f"test -e $TRAINYARD_GCS_ROOT/{steady[-9:]} || {{ touch $TRAINYARD_GCS_ROOT/{steady[-9:]}; exit 6; }}; {counts}"
    )
    restarted = api.made(running("sh", "-c", f"echo begun; {crashing}"))["name"]

    def told(name: str) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while not (far := api.call("GET", f"/trainyard/v1/{name}:explain").json["progress"]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert far["percent"] == 25
        return dict(far)

    assert told(steady)["secondsLeftBy"] == "pace"
    assert told(steady)["secondsLeft"] > 2.5
    assert (told(restarted)["secondsLeft"], told(restarted)["secondsLeftBy"]) == (None, None)
    for each in (steady, restarted):
        assert api.call("POST", f"/v1/{each}:cancel", {}).status == 200


def test_a_running_job_says_how_far_it_is(server: Server, api: Api, project: str) -> None:
    """explain, describe and list show percent and time left while it runs; nobody who says nothing is guessed at."""
    silent = api.made(running("sleep", "60"))["name"]
    bar = r"printf ' 42%%|####      | 42/100 [00:10<01:30,  1.00it/s]\r' >&2; sleep 60"
    name = api.made(running("sh", "-c", bar))["name"]
    deadline = time.monotonic() + 60
    while not (told := api.call("GET", f"/trainyard/v1/{name}:explain").json)["progress"]:
        assert time.monotonic() < deadline, told
        time.sleep(0.05)
    assert (told["progress"]["percent"], told["progress"]["secondsLeft"]) == (42, 90)
    assert told["progress"]["secondsLeftBy"] == "program"
    assert api.call("GET", f"/trainyard/v1/{silent}:explain").json["progress"] is None
    options = ["--endpoint", f"http://127.0.0.1:{server.port}", "--project", project]
    for command, words in ((["describe", name], "42%, 1m30s left"), (["list"], "PROGRESS")):
        shown = subprocess.run(
            [PROGRAM, "custom-jobs", *command, *options], capture_output=True, text=True, check=False
        )
        assert words in shown.stdout, shown.stdout + shown.stderr
    for each in (silent, name):
        api.call("POST", f"/v1/{each}:cancel", {})
        api.wait(each)
    assert api.call("GET", f"/trainyard/v1/{name}:explain").json["progress"] is None
