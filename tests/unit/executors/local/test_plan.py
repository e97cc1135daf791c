"""The plan of a replica: same input, same text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from trainyard.core.errors import Unavailable
from trainyard.core.runs import Capacity, PythonPackage, ReplicaSpec, Resources, RunGroup
from trainyard.executors.local.allotment import Kept, Room, check_reservations, gpus_of_this_machine
from trainyard.executors.local.plan import NO_COMMAND, Allotment, Places, attempt_of, handed_on, notes_on, plan

PLACES = Places(Path("/d/runs"), Path("/d/logs"), Path("/d/buckets"))
GOLDEN = """\
# 7-2/workerpool1-0/1
cd /d/runs/7-2/workerpool1-0.1
env -i \\
  AIP_CHECKPOINT_DIR=gs://b/o/checkpoints/ \\
  AIP_MODEL_DIR=gs://b/o/model/ \\
  AIP_TENSORBOARD_LOG_DIR=gs://b/o/logs/ \\
  CLOUD_ML_JOB_ID=7 \\
  CLOUD_ML_PROJECT_ID=123 \\
  CLOUD_ML_REGION=here \\
  CLUSTER_SPEC='{"cluster":{"workerpool0":["127.0.0.1:20001"],"workerpool1":["127.0.0.1:20002"]},\
"environment":"cloud","task":{"type":"workerpool1","index":0},"job":{}}' \\
  CUDA_DEVICE_ORDER=PCI_BUS_ID \\
  CUDA_VISIBLE_DEVICES=3,5 \\
  HOSTNAME=cmle-training-workerpool1-7902699be4-0 \\
  MASTER_ADDR=127.0.0.1 \\
  MASTER_PORT=20001 \\
  MODE='a b' \\
  PATH=/bin \\
  RANK=1 \\
  TF_CONFIG='{"cluster":{"chief":["127.0.0.1:20001"],"worker":["127.0.0.1:20002"]},\
"task":{"type":"worker","index":0,"cloud":"7902699be4"},"environment":"cloud","job":{}}' \\
  TRAINYARD_GCS_ROOT=/d/buckets \\
  TRAINYARD_RUN=7-2/workerpool1-0/1 \\
  TRAINYARD_RUNS=/d/runs \\
  WORLD_SIZE=2 \\
  train --out=gs://b/o/model/ --root=/d/buckets \
>/d/logs/7/2.workerpool1-0.1/stdout 2>/d/logs/7/2.workerpool1-0.1/stderr
"""


def group(*replicas: ReplicaSpec) -> RunGroup:
    return RunGroup(
        "7-2", "projects/123/locations/here/customJobs/7", 7, "123", "here", replicas, "{}", base_output_uri="gs://b/o/"
    )


CHIEF = ReplicaSpec("workerpool0-0", 0, 0, "img", command=("train",))
WORKER = ReplicaSpec(
    "workerpool1-0",
    1,
    0,
    "img",
    command=("train",),
    args=("--out=$(AIP_MODEL_DIR)", "--root=$(TRAINYARD_GCS_ROOT)"),
    env=(("MODE", "a b"),),
    resources=Resources(gpus=2),
    incarnation=1,
)
ROOM = Allotment({"workerpool0-0": 20001, "workerpool1-0": 20002}, {"workerpool1-0": ("3", "5")})


def test_a_plan_reads_as_its_golden_text() -> None:
    """Command, environment and directories, to the byte."""
    assert str(plan(group(CHIEF, WORKER), WORKER, ROOM, {"PATH": "/bin"}, PLACES)) == GOLDEN


def test_without_a_command_nothing_is_planned() -> None:
    """An image's own entry point can't be known here, and the sentence says what to do; a package has its module."""
    bare = ReplicaSpec("workerpool0-0", 0, 0, "img", args=("--x",))
    planned = plan(group(bare), bare, ROOM, {}, PLACES)
    assert planned.refused == NO_COMMAND
    assert "not started" in str(planned)
    package = ReplicaSpec("workerpool0-0", 0, 0, "img", package=PythonPackage(("gs://b/p.tar.gz",), "trainer.task"))
    assert plan(group(package), package, ROOM, {}, PLACES).argv == ("python3", "-m", "trainer.task")


def test_only_what_programs_need_is_handed_on() -> None:
    """Of the server's environment the allowlisted part; output is unbuffered unless the server says otherwise."""
    given = handed_on({"PATH": "/p", "AWS_SECRET_ACCESS_KEY": "s", "LC_ALL": "C", "TRAINYARD_TOKEN": "t"})
    assert given == {"PATH": "/p", "LC_ALL": "C", "PYTHONUNBUFFERED": "1"}
    assert handed_on({"CUDA_HOME": "/c"})["CUDA_HOME"] == "/c"


def test_people_are_told_where_it_runs() -> None:
    """Host instead of image, unless the environment has told already; GPUs that are not there."""
    nothing = Allotment({}, {})
    told = notes_on(WORKER, nothing, prepared=False)
    assert told[0] == "workerpool1-0 runs on this host, not in its image img."
    assert "asks for 2 GPU(s); this machine has none" in told[1]
    assert "may use all" not in "".join(told)
    sized = replace(WORKER, resources=Resources(cpus=4))
    assert any("may use all of its CPUs and memory" in each for each in notes_on(sized, nothing, prepared=True))
    assert notes_on(WORKER, ROOM, prepared=True) == ()
    for none in ("", "host"):
        assert notes_on(ReplicaSpec("workerpool0-0", 0, 0, none), nothing, prepared=False) == ()


def test_what_holds_on_the_host_alone_is_told_there() -> None:
    """Of what depends on the runtime, a plan for the host tells what is true of the host."""
    said = replace(group(CHIEF), remarks={"host": ("host only.",), "podman": ("containers only.",)})
    assert plan(said, CHIEF, ROOM, {}, PLACES).notes == ("host only.",)


def test_a_run_id_tells_job_and_attempt() -> None:
    """And anything else is refused."""
    assert attempt_of("7-2") == (7, 2)
    with pytest.raises(ValueError, match="invalid literal"):
        attempt_of("seven")


def test_room_is_given_once() -> None:
    """Ports and GPUs are different while held, refused when out, and come back on release."""
    room = Room(range(24000, 24040), ("0", "1", "2"))
    two = ReplicaSpec("workerpool0-0", 0, 0, "", resources=Resources(gpus=2))
    first = room.allot(group(two))
    assert first.gpus == {"workerpool0-0": ("0", "1")}
    other = RunGroup("8-1", "n", 8, "1", "l", (two,), "{}")
    with pytest.raises(Unavailable, match="1 of 3 are free"):
        room.allot(other)
    room.give_back("7-2")
    second = room.allot(other)
    assert second.gpus == {"workerpool0-0": ("0", "1")}
    assert second.ports["workerpool0-0"] != first.ports["workerpool0-0"]
    assert second.addresses() == {"workerpool0-0": f"127.0.0.1:{second.ports['workerpool0-0']}"}


def test_ports_run_out_with_a_sentence() -> None:
    """More replicas than ports: nothing is held, and the sentence names the range."""
    room = Room(range(24100, 24101), ())
    many = tuple(ReplicaSpec(f"workerpool0-{n}", 0, n, "") for n in range(2))
    with pytest.raises(Unavailable, match="24100"):
        room.allot(group(*many))
    assert Room.imagined(group(*many)).ports == {"workerpool0-0": 0, "workerpool0-1": 0}


@pytest.mark.parametrize(("visible", "devices"), [("0,2", ("0", "2")), ("", ()), ("-1", ()), ("GPU-ab", ("GPU-ab",))])
def test_the_servers_own_devices_are_the_limit(visible: str, devices: tuple[str, ...]) -> None:
    """Where CUDA_VISIBLE_DEVICES is set for the server, programs get of those and no others."""
    assert gpus_of_this_machine({"CUDA_VISIBLE_DEVICES": visible}) == devices


def test_no_more_is_reserved_than_there_is() -> None:
    """A service that could not keep its reservations does not start, and says by how much."""
    one, two = Kept("a", 1), Kept("b", 2, Resources(gpus=1))
    check_reservations(Capacity(3, 2).keeping((one, two)))
    with pytest.raises(Unavailable, match="sets 3 replicas aside; 2 run here"):
        check_reservations(Capacity(2, 2).keeping((one, two)))
    for gpus, there in ((1, 1), (None, 0)):
        with pytest.raises(Unavailable, match=f"sets 2 GPUs aside; this machine has {there}"):
            check_reservations(Capacity(3, gpus).keeping((one, two)))
