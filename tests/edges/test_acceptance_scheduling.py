"""Who runs when, how often and on what: priorities, fairness, waits with an end, restarts, GPUs, with real programs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from edge_server import BUSY_SECONDS, Api, Server, pool, pools, running

RUNNING = {"JOB_STATE_RUNNING"}


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Server]:
    """A server with room for one replica."""
    with Server(tmp_path / "one", "--replicas", "1", "--grace", "1") as server:
        yield server


def shell(script: str, count: int = 1, **machine: Any) -> dict[str, Any]:
    spec = {"imageUri": "host", "command": ["sh", "-c", script]}
    return pool(replicaCount=count, containerSpec=spec, machineSpec={"machineType": "n1-standard-4", **machine})


def held_open(api: Api, gate: Path) -> str:
    """A running job that lasts until the gate is there."""
    name: str = api.made(running("sh", "-c", f"while [ ! -e {gate} ]; do sleep 0.02; done"))["name"]
    api.wait(name, RUNNING)
    return name


def narration(api: Api, name: str) -> str:
    page = api.call("GET", f"/trainyard/v1/{name}/logs?task=service").json
    return "\n".join(entry["text"] for entry in page["entries"])


def test_priorities_go_first(one: Server, tmp_path: Path) -> None:
    """With one place, the job of high priority runs before those that came earlier; SPOT after all of them."""
    api, gate, order = Api(one.port), tmp_path / "gate", tmp_path / "order"
    held_open(api, gate)
    jobs = [
        ("spot", {}, {"scheduling": {"strategy": "SPOT"}}),
        ("low", {"trainyard-priority": "low"}, {}),
        ("first", {}, {}),
        ("second", {}, {}),
        ("high", {"trainyard-priority": "high"}, {}),
    ]
    names = []
    for word, labels, spec in jobs:
        body = running("sh", "-c", f"echo {word} >> {order}", job_spec=spec, labels=labels)
        names.append(api.made(body)["name"])
    gate.touch()
    for name in names:
        assert api.wait(name)["state"] == "JOB_STATE_SUCCEEDED"
    assert order.read_text().split() == ["high", "first", "second", "low", "spot"]
    api.close()


SAVES = """
trap 'echo saved >> {log}; exit 1' TERM
echo began >> {log}
while [ ! -e {gate} ]; do sleep 0.05; done
"""


def test_spot_gives_way_with_grace_and_comes_back(tmp_path: Path) -> None:
    """A STANDARD job takes the place of a SPOT one: SIGTERM, the queue, and again once there is room."""
    with Server(tmp_path / "two", "--replicas", "2", "--grace", "5") as server:
        api, gate, log = Api(server.port), tmp_path / "gate", tmp_path / "log"
        spot = {"scheduling": {"strategy": "SPOT"}}
        kept = held_open(api, gate) and api.made(running("sh", "-c", SAVES.format(log=log, gate=gate), job_spec=spot))
        api.wait(kept["name"], RUNNING)
        done = api.wait(api.made(running("sh", "-c", f"echo standard >> {log}"))["name"])
        assert done["state"] == "JOB_STATE_SUCCEEDED"
        api.wait(kept["name"], RUNNING)
        gate.touch()
        assert api.wait(kept["name"])["state"] == "JOB_STATE_SUCCEEDED"
        assert log.read_text().split() == ["began", "saved", "standard", "began"]
        told = narration(api, kept["name"])
        assert f"taken by customJobs/{done['name'].rpartition('/')[2]} of project" in told
        assert "The job waits for room again, restart 1 of 6." in told
        api.close()


SAVES_SLOWLY = """
trap 'echo asked >> {log}; sleep 2; echo saved >> {log}; exit 1' TERM
echo began >> {log}
while [ ! -e {gate} ]; do sleep 0.05; done
"""


def test_a_server_killed_amid_a_preemption_ends_nobody_else(tmp_path: Path) -> None:
    """kill -9 while one of two SPOT jobs saves its work: the next server waits for it and spares the other."""
    flags, gate = ("--replicas", "2", "--grace", "20"), tmp_path / "gate"
    logs = [tmp_path / f"log{number}" for number in range(2)]
    spot = {"scheduling": {"strategy": "SPOT"}}
    with Server(tmp_path / "data", *flags) as first:
        api = Api(first.port)
        saving = [running("sh", "-c", SAVES_SLOWLY.format(log=log, gate=gate), job_spec=spot) for log in logs]
        names = [api.made(body)["name"] for body in saving]
        for name in names:
            api.wait(name, RUNNING)
        needy = api.made(running("true"))["name"]
        deadline = time.monotonic() + 60
        while "asked" not in logs[1].read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        first.process.kill()
        first.process.wait()
        api.close()
    with Server(tmp_path / "data", *flags) as second:
        api = Api(second.port)
        assert api.wait(needy)["state"] == "JOB_STATE_SUCCEEDED"
        api.wait(names[1], RUNNING)
        gate.touch()
        assert [api.wait(name)["state"] for name in names] == ["JOB_STATE_SUCCEEDED"] * 2
        assert logs[1].read_text().split() == ["began", "asked", "saved", "began"]
        assert logs[0].read_text().split() == ["began"]
        assert "restart 1 of 6" in narration(api, names[1])
        api.close()


def test_simulated_preemptions_try_a_jobs_checkpoints(tmp_path: Path) -> None:
    """With --simulate-preemption a SPOT job alone on the machine loses its place and goes on; others never do."""
    with Server(tmp_path / "sim", "--grace", "2", "--simulate-preemption", "3600,7") as server:
        api, gate, log = Api(server.port), tmp_path / "gate", tmp_path / "log"
        firm = held_open(api, gate)
        spot = {"scheduling": {"strategy": "SPOT"}}
        name = api.made(running("sh", "-c", SAVES.format(log=log, gate=gate), job_spec=spot))["name"]
        deadline = time.monotonic() + 60
        while not log.exists() or log.read_text().split().count("began") < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        gate.touch()
        assert api.wait(name)["state"] == "JOB_STATE_SUCCEEDED"
        assert log.read_text().split()[:3] == ["began", "saved", "began"]
        assert "the setting simulate_preemption has it tried" in narration(api, name)
        assert "Attempt 2" not in narration(api, firm)
        api.close()


def test_enforced_machine_types_are_counted(tmp_path: Path) -> None:
    """With --machines=enforced a type that this machine could never hold fails with what it has; labels take it."""
    large = pools(shell("true", machineType="n1-highmem-96"))
    with Server(tmp_path / "labels") as server:
        api = Api(server.port)
        assert api.wait(api.made(large)["name"])["state"] == "JOB_STATE_SUCCEEDED"
        api.close()
    with Server(tmp_path / "enforced", "--machines", "enforced") as server:
        api = Api(server.port)
        job = api.wait(api.made(large)["name"])
        assert (job["state"], job["error"]["code"]) == ("JOB_STATE_FAILED", 8)
        assert "asks for 1 replica, 96 CPUs and 624.0 GiB of memory; all there is here is" in job["error"]["message"]
        assert "have machine types taken for labels (the setting machines)" in job["error"]["message"]
        api.close()


def test_a_reservation_is_kept_for_those_who_name_it(tmp_path: Path) -> None:
    """With one of two places reserved the second plain job waits, and one that names the reservation runs at once."""
    with Server(tmp_path / "res", "--replicas", "2", "--reservations", "team-a=1", "--grace", "1") as server:
        api, gate = Api(server.port), tmp_path / "gate"
        held_open(api, gate)
        waits = api.made(running("true"))["name"]

        def naming(name: str) -> Any:
            affinity = {
                "reservationAffinityType": "SPECIFIC_RESERVATION",
                "key": "compute.googleapis.com/reservation-name",
                "values": [f"projects/p/zones/z/reservations/{name}"],
            }
            return pools(shell("true", reservationAffinity=affinity))

        assert api.wait(api.made(naming("team-a"))["name"])["state"] == "JOB_STATE_SUCCEEDED"
        assert api.get(waits).json["state"] == "JOB_STATE_QUEUED"
        refused = api.create(naming("team-b"))
        assert refused.status == 400
        assert "The reservation does not exist; this server has team-a." in refused.json["error"]["message"]
        gate.touch()
        assert api.wait(waits)["state"] == "JOB_STATE_SUCCEEDED"
        api.close()


def test_any_reservation_takes_reserved_gpus_that_are_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two GPUs one is reserved: a second plain job waits for the other one, who takes any reservation runs."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    reserved = "--reservations", "team-g=1:n1-standard-4+1gpu"
    gpu = {"acceleratorType": "NVIDIA_TESLA_T4", "acceleratorCount": 1}
    with Server(tmp_path / "gpus", "--replicas", "8", *reserved, "--grace", "1") as server:
        api, gate = Api(server.port), tmp_path / "gate"

        def asking(script: str, **affinity: Any) -> str:
            more = {"reservationAffinity": affinity} if affinity else {}
            return str(api.made(pools(shell(script, **gpu, **more)))["name"])

        waiting = f"until test -e {gate}; do sleep 0.02; done; echo $CUDA_VISIBLE_DEVICES"
        first = asking(waiting)
        api.wait(first, RUNNING)
        second = asking("true")
        chosen = asking(waiting, reservationAffinityType="ANY_RESERVATION")
        api.wait(chosen, RUNNING)
        assert api.get(second).json["state"] == "JOB_STATE_QUEUED"
        gate.touch()
        for name in (first, second, chosen):
            assert api.wait(name)["state"] == "JOB_STATE_SUCCEEDED"
        printed = {api.call("GET", f"/trainyard/v1/{name}/logs/workerpool0-0/stdout").body for name in (first, chosen)}
        assert printed == {b"0\n", b"1\n"}
        api.close()


def test_more_reserved_gpus_than_there_are_are_refused_at_the_start(tmp_path: Path) -> None:
    """With a sentence that says how many there are."""
    command = [sys.executable, "-m", "trainyard", "serve", "--port=0", "--sql-port=off", f"--data-dir={tmp_path}"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "0"}
    command.append("--reservations=a=2+1gpu")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "The setting reservations sets 2 GPUs aside; this machine has 1." in done.stderr
    assert "Traceback" not in done.stderr


def test_projects_take_turns(tmp_path: Path) -> None:
    """With two places, a project that came with many jobs does not keep another's one job waiting for all."""
    with Server(tmp_path / "two", "--replicas", "2", "--grace", "1") as server:
        many, few = Api(server.port, "p-many"), Api(server.port, "p-few")
        gates = [tmp_path / f"gate{number}" for number in range(6)]
        waits = [running("sh", "-c", f"while [ ! -e {gate} ]; do sleep 0.02; done") for gate in gates]
        names = [many.made(body)["name"] for body in waits[:5]]
        late = few.made(waits[5])["name"]
        many.wait(names[0], RUNNING)
        many.wait(names[1], RUNNING)
        assert few.get(late).json["state"] == "JOB_STATE_QUEUED"
        gates[0].touch()
        few.wait(late, RUNNING)
        assert [many.get(name).json["state"] for name in names[2:]] == ["JOB_STATE_QUEUED"] * 3
        for gate in gates:
            gate.touch()
        for name in names:
            many.wait(name)
        many.close()
        few.close()


def test_projects_do_not_see_each_other(server: Server, api: Api) -> None:
    """Another project finds a job neither by list nor by its id, and can neither cancel, delete, read nor follow it."""
    name = api.made(running("sleep", "300"))["name"]
    other = Api(server.port, f"{api.parent.split('/')[1]}-other")
    own = other.made(running("true"))["name"]
    assert [job["name"] for job in other.list().json["customJobs"]] == [own]
    wrong = own.rpartition("/")[0] + "/" + name.rpartition("/")[2]
    assert other.get(wrong).status == 404
    assert other.call("DELETE", wrong).status == 404
    assert other.call("POST", f"{wrong}:cancel", {}).status == 404
    for below in ("logs", "logs?follow=true", "logs/workerpool0-0/stdout"):
        assert other.call("GET", f"/trainyard/v1/{wrong}/{below}").status == 404, below
    assert other.call("GET", f"/trainyard/v1/{wrong}:explain").status == 404
    api.wait(name, RUNNING)
    api.call("POST", f"{name}:cancel", {})
    other.close()


def test_flex_start_waits_so_long_and_no_longer(one: Server, tmp_path: Path) -> None:
    """maxWaitDuration 1 s beside a full machine: FAILED with 8, a sentence with the wait, never started."""
    api, gate = Api(one.port), tmp_path / "gate"
    held_open(api, gate)
    flex = {"scheduling": {"strategy": "FLEX_START", "maxWaitDuration": "1s"}}
    gpu = {"acceleratorType": "NVIDIA_L4", "acceleratorCount": 1, "machineType": "g2-standard-4"}
    body = pools(shell("true", **gpu), **flex)
    begun = time.monotonic()
    job = api.wait(api.made(body)["name"])
    assert 0.9 < time.monotonic() - begun < 6 + BUSY_SECONDS
    assert (job["state"], job["error"]["code"]) == ("JOB_STATE_FAILED", 8)
    assert "waited 1 s" in job["error"]["message"]
    assert "startTime" not in job
    gate.touch()
    api.close()


@pytest.mark.slow
@pytest.mark.parametrize("whole", [False, True], ids=["worker", "job"])
def test_what_a_lost_worker_restarts(api: Api, tmp_path: Path, whole: bool) -> None:
    """A worker killed from outside is restarted in place; with restartJobOnWorkerRestart every replica is."""
    starts = tmp_path / "starts"
    chief = shell(f"echo chief >> {starts}; while [ ! -e {tmp_path}/gate ]; do sleep 0.05; done")
    once = f"echo worker >> {starts}; if mkdir {tmp_path}/first 2>/dev/null; then kill -9 $$$$; fi; exec sleep 300"
    spec = {"scheduling": {"restartJobOnWorkerRestart": whole}}
    name = api.made(pools(chief, shell(once), **spec))["name"]
    deadline = time.monotonic() + 60
    wanted = ["chief", "chief", "worker", "worker"] if whole else ["chief", "worker", "worker"]
    while not starts.exists() or sorted(starts.read_text().split()) != wanted:
        assert time.monotonic() < deadline, starts.read_text()
        time.sleep(0.05)
    (tmp_path / "gate").touch()
    assert api.wait(name)["state"] == "JOB_STATE_SUCCEEDED"
    assert sorted(starts.read_text().split()) == wanted
    assert ("retry 1 of 3" if whole else "restarted in place, restart 1 of 5") in narration(api, name)


def test_disable_retries_starts_nothing_twice(api: Api, tmp_path: Path) -> None:
    """With disableRetries a worker killed from outside fails the job, whatever restartJobOnWorkerRestart says."""
    starts = tmp_path / "starts"
    killed = shell(f"echo x >> {starts}; kill -9 $$$$")
    spec = {"scheduling": {"disableRetries": True, "restartJobOnWorkerRestart": True}}
    job = api.wait(api.made(pools(shell("exec sleep 300"), killed, **spec))["name"])
    assert job["state"] == "JOB_STATE_FAILED"
    assert "killed with SIGKILL" in job["error"]["message"]
    assert starts.read_text() == "x\n"


def test_gpus_are_handed_out_exclusively(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two devices each of two jobs gets its own; a third waits until one is free; a job without any sees none."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    l4 = {"acceleratorType": "NVIDIA_L4", "acceleratorCount": 1, "machineType": "g2-standard-4"}
    with Server(tmp_path / "gpus", "--replicas", "8", "--grace", "1") as server:
        api, gate = Api(server.port), tmp_path / "gate"
        script = f'echo "[$CUDA_VISIBLE_DEVICES]"; while [ ! -e {gate} ]; do sleep 0.02; done'
        holders = [api.made(pools(shell(script, **l4)))["name"] for _ in range(2)]
        for name in holders:
            api.wait(name, RUNNING)
        waits = api.made(pools(shell(script, **l4)))["name"]
        none = api.made(pools(shell('echo "[$CUDA_VISIBLE_DEVICES]"')))["name"]
        assert api.wait(none)["state"] == "JOB_STATE_SUCCEEDED"
        assert api.get(waits).json["state"] == "JOB_STATE_QUEUED"
        gate.touch()
        seen = []
        for name in (*holders, waits, none):
            assert api.wait(name)["state"] == "JOB_STATE_SUCCEEDED"
            seen.append(api.call("GET", f"/trainyard/v1/{name}/logs/workerpool0-0/stdout").body)
        assert sorted(seen[:2]) == [b"[0]\n", b"[1]\n"]
        assert seen[2] in seen[:2]
        assert seen[3] == b"[]\n"
        two = {"acceleratorType": "NVIDIA_L4", "acceleratorCount": 2, "machineType": "g2-standard-24"}
        both = api.made(pools(shell(script, **two)))["name"]
        assert api.wait(both)["state"] == "JOB_STATE_SUCCEEDED"
        assert api.call("GET", f"/trainyard/v1/{both}/logs/workerpool0-0/stdout").body == b"[0,1]\n"
        api.close()
