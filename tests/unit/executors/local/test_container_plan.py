"""A replica's container is planned purely: same group, same commands, and nothing secret stands in them."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from trainyard.core.runs import PythonPackage, ReplicaSpec, Resources, RunGroup
from trainyard.executors.local.container_plan import (
    Bounds,
    contained,
    container_name,
    notes_on_container,
    notes_on_files,
    notes_on_limits,
    plan_container,
)
from trainyard.executors.local.engine import Image, Network, Talents
from trainyard.executors.local.plan import Allotment, Places, ReplicaPlan
from trainyard.executors.local.podman import Podman

GIB = 2**30
TALENTS = Talents("4.3.1")
PLACES = Places(Path("/d/runs"), Path("/d/logs"), Path("/d/buckets"))
OWN = Network("trainyard-7-1", "10.89.0.1", 0x0A590002, 253)


def a_group(*specs: ReplicaSpec) -> RunGroup:
    remarks = {"host": ("host only.",), "podman": ("containers only.",)}
    return RunGroup("7-1", "projects/1/locations/l/customJobs/7", 7, "1", "l", specs, "{}", remarks=remarks)


def a_spec(name: str = "workerpool0-0", **more: Any) -> ReplicaSpec:
    pool, index = name.removeprefix("workerpool").split("-")
    return replace(ReplicaSpec(name, int(pool), int(index), "img:1"), **more)


def planned(
    spec: ReplicaSpec, network: Network | None = None, talents: Talents = TALENTS, **bounds: Any
) -> ReplicaPlan:
    group = a_group(spec, a_spec("workerpool1-0")) if network and network.own else a_group(spec)
    where = contained(group, {each.name: "sha256:1" for each in group.replicas}, "podman", network)
    ports = {each.name: 20000 + number for number, each in enumerate(group.replicas)}
    gpus = {spec.name: ("0", "3")[: spec.resources.gpus]} if spec.resources.gpus else {}
    engine = Podman("/usr/bin/podman", Path("/d/containers"), {"PATH": "/bin", "AWS_SECRET": "no"})
    limits = Bounds(PLACES, talents, 8, 32 * GIB, **bounds)
    return plan_container(group, spec, Allotment(ports, gpus, where), engine, limits)


def test_the_command_of_a_plain_replica() -> None:
    """Name, labels, the buckets at /gcs and half the machine's memory as shared memory; the image's id comes last."""
    plan = planned(a_spec())
    assert plan.argv[:3] == ("/usr/bin/podman", "run", "--detach")
    assert plan.argv[-1] == "sha256:1"
    for word in (
        "--name=trainyard-7-1-workerpool0-0-0",
        "--label=trainyard.run=7-1",
        "--label=trainyard.runs=/d/runs",
        "--volume=/d/buckets:/gcs",
        "--network=host",
        "--pull=never",
        "--init",
        f"--shm-size={16 * GIB}",
        "--pids-limit=32768",
    ):
        assert word in plan.argv
    assert not any(word.startswith(("--memory", "--cpus", "--entrypoint", "--ip", "--device")) for word in plan.argv)
    assert plan.engine is not None
    assert plan.engine["remove"][-1] == container_name("7-1", "workerpool0-0", 0)
    assert plan.env["CONTAINERS_CONF"] == "/d/containers/containers.conf"
    assert "AWS_SECRET" not in plan.env


def test_what_holds_in_containers_alone_is_told_there() -> None:
    """Of what depends on the runtime, a plan for an engine tells what is true of that engine."""
    assert planned(a_spec()).notes == ("containers only.",)


def test_variables_travel_unseen_unless_podman_would_read_them() -> None:
    """Values stand in podman's environment, not in its arguments; PATH and the like the other way round."""
    plan = planned(
        a_spec(env=(("TOKEN", "secret"), ("PATH", "/mine"), ("CONTAINERS_CONF", "/theirs"), ("no_proxy", "x")))
    )
    assert "--env=TOKEN" in plan.argv
    assert plan.env["TOKEN"] == "secret"
    assert not any("secret" in word for word in plan.argv)
    assert {"--env=PATH=/mine", "--env=CONTAINERS_CONF=/theirs", "--env=no_proxy=x"} <= set(plan.argv)
    assert plan.env["PATH"] == "/bin"


def test_limits_are_those_of_the_machine_type_and_never_more_than_the_machine() -> None:
    """What the machine has not got is no limit; where none can be set, none is asked for and people are told."""
    small = planned(a_spec(resources=Resources(cpus=4, memory_bytes=GIB)))
    assert {f"--memory={GIB}", f"--memory-swap={GIB}", "--cpus=4", f"--shm-size={GIB // 2}"} <= set(small.argv)
    large = planned(a_spec(resources=Resources(cpus=96, memory_bytes=1000 * GIB)))
    assert not any(word.startswith(("--memory", "--cpus")) for word in large.argv)
    unable = Talents("4.3.1", why_no_limits="it may not", why_no_network="it has none", has_init=False)
    bare = planned(a_spec(resources=Resources(cpus=1, memory_bytes=GIB)), talents=unable)
    assert not any(word.startswith(("--memory", "--cpus", "--pids", "--init")) for word in bare.argv)
    where = contained(a_group(a_spec()), {}, "podman", None)
    notes = " ".join(notes_on_container(a_spec(resources=Resources(gpus=1)), unable, where, 0))
    for words in ("it may not", "it has none", "catatonit", "1 GPU"):
        assert words in notes


def test_a_machine_type_that_is_larger_than_the_machine_is_told() -> None:
    """What it has more of is named, and nothing is said where it has no more, or where no limits are set anyway."""
    bounds = Bounds(PLACES, TALENTS, 2, 24 * GIB)

    def told(talents: Talents = TALENTS, **resources: Any) -> str:
        return " ".join(notes_on_limits(a_spec(resources=Resources(**resources)), replace(bounds, talents=talents)))

    assert told(cpus=2, memory_bytes=24 * GIB) == ""
    assert told(cpus=4, memory_bytes=15 * GIB) == (
        "workerpool0-0 may use all of this machine's 2 CPUs: its machine type has 4."
    )
    assert told(cpus=96, memory_bytes=624 * GIB) == (
        "workerpool0-0 may use all of this machine's 2 CPUs and 24 GiB of memory: its machine type has 96 and 624 GiB."
    )
    assert told(replace(TALENTS, why_no_limits="it may not"), cpus=160) == ""


def test_where_and_by_whom_buckets_cannot_be_written_is_told() -> None:
    """Podman lets an image's own user; Docker cannot, which matters for users other than root. Elsewhere is no /gcs."""
    spec = a_spec(args=("--out=gs://b/out",))

    def told(engine: str, user: str | None, places: Places = PLACES) -> tuple[str, ...]:
        image = None if user is None else Image("i", user=user)
        return notes_on_files(a_group(spec), spec, engine, image, places)

    assert told("podman", "1000") == told("docker", None) == ()
    for root in ("", "0", "root:root"):
        assert told("docker", root) == ()
    (note,) = told("docker", "app:app")
    assert "its image's user app, who can write at /gcs only where" in note
    (note,) = told("docker", "app:app", replace(PLACES, elsewhere=True))
    assert note.startswith("There is no /gcs here")


@pytest.mark.parametrize("own", [True, False])
def test_in_a_network_every_replica_has_its_name_and_port_2222(own: bool) -> None:
    """Addresses are fixed before anything starts in a network of their own; in the common one there are none."""
    plan = planned(a_spec(), replace(OWN, own=own), relay={"127.0.0.1:8470": "10.89.0.1:8470"})
    assert ("--network=trainyard-7-1" if own else "--network=bridge") in plan.argv
    assert ("--ip=10.89.0.2" in plan.argv) is own
    others = [word for word in plan.argv if word.startswith("--add-host=")]
    assert len(others) == int(own)
    assert all(word.endswith(":10.89.0.3") for word in others)
    assert ":2222" in plan.env["CLUSTER_SPEC"]


def test_variables_of_the_service_name_its_relay() -> None:
    """What points to this machine's loopback points to the gateway inside."""
    group = replace(a_group(a_spec()), extra_env={"GCE_METADATA_HOST": "127.0.0.1:8470/ticket"})
    where = contained(group, {"workerpool0-0": "i"}, "podman", replace(OWN, own=False))
    engine = Podman("/usr/bin/podman", Path("/d/containers"), {})
    bounds = Bounds(PLACES, TALENTS, 8, GIB, relay={"127.0.0.1:8470": "10.89.0.1:8470"})
    plan = plan_container(group, group.replicas[0], Allotment({"workerpool0-0": 1}, {}, where), engine, bounds)
    assert plan.env["GCE_METADATA_HOST"] == "10.89.0.1:8470/ticket"


def test_gpus_are_given_by_their_description_and_counted_from_0_inside() -> None:
    """CDI names for the engine; what the program sees starts at 0, as only its own are there."""
    plan = planned(a_spec(resources=Resources(gpus=2)))
    assert {"--device=nvidia.com/gpu=0", "--device=nvidia.com/gpu=3"} <= set(plan.argv)
    assert plan.env["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_a_package_is_installed_before_its_module_runs() -> None:
    """The archives at /gcs, then the module and its arguments; a missing Python is told as such."""
    package = PythonPackage(("gs://b/a.tar.gz", "gs://b/b.whl"), "trainer.task")
    plan = planned(a_spec(package=package, args=("--x",)), packages=("/p/0/a.tar.gz", "/p/1/b.whl"))
    assert plan.argv[-6:] == ("sha256:1", "2", "/p/0/a.tar.gz", "/p/1/b.whl", "trainer.task", "--x")
    assert plan.engine is not None
    assert plan.engine["tells"] == {"image": "img:1", "program": "python3", "engine": "podman"}


def test_every_engine_opens_shells() -> None:
    """By a command that knows the container's name."""
    pytest.importorskip("docker", reason="the extra docker is not installed")
    docker = import_module("trainyard.executors.local.docker_engine").DockerEngine("", Path("/d/containers"), {})
    group = replace(a_group(a_spec()), opens_shells=True)
    where = contained(group, {"workerpool0-0": "i"}, "docker", replace(OWN, own=False))
    allotment = Allotment({"workerpool0-0": 1}, {}, where)
    bounds = Bounds(PLACES, TALENTS, 8, GIB)
    by_docker = plan_container(group, group.replicas[0], allotment, docker, bounds)
    assert by_docker.engine is not None
    assert by_docker.engine["shell"][-1] == "trainyard-7-1-workerpool0-0-0"
    podman = Podman("/usr/bin/podman", Path("/d/containers"), {})
    by_podman = plan_container(group, group.replicas[0], allotment, podman, bounds)
    assert by_podman.engine is not None
    assert by_podman.engine["shell"][-2:] == ["trainyard-7-1-workerpool0-0-0", "bash"]
    assert by_docker.shells
    assert by_podman.shells
