"""Conformance cases 75 to 82: packages, sockets, severities, mounts, restarts of the server, full queues."""

from __future__ import annotations

import io
import signal
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from edge_server import BUSY_SECONDS, Api, Server, pool, pools, running

RENDEZVOUS = """
import json, os, socket, sys, time

rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
master = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
if rank == 0:
    with socket.create_server(("", master[1])) as listener:
        total = 0
        for _ in range(size - 1):
            with listener.accept()[0] as worker:
                total += int(worker.recv(64))
    print("sum", total)
else:
    deadline = time.monotonic() + 60
    while True:
        try:
            worker = socket.create_connection(master, timeout=5)
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    own = json.loads(os.environ["CLUSTER_SPEC"])["cluster"]["workerpool1"][rank - 1]
    with socket.create_server(("0.0.0.0", int(own.rpartition(":")[2]))), worker:
        worker.sendall(str(rank * 10).encode())
"""
DDP = """
import os, torch, torch.distributed as dist
dist.init_process_group("gloo")
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 1, bias=False))
torch.manual_seed(dist.get_rank())
optimizer = torch.optim.SGD(model.parameters(), 0.1)
for _ in range(20):
    x = torch.randn(32, 4)
    optimizer.zero_grad()
    ((model(x) - x.sum(1, keepdim=True)) ** 2).mean().backward()
    optimizer.step()
print("weights", [round(w, 4) for w in model.module.weight.flatten().tolist()], flush=True)
dist.barrier()
dist.destroy_process_group()
"""


def output(api: Api, name: str, task: str = "workerpool0-0", stream: str = "stdout") -> bytes:
    """What a replica wrote, to the byte."""
    answer = api.call("GET", f"/trainyard/v1/{name}/logs/{task}/{stream}")
    assert answer.status == 200
    return answer.body


def entries(api: Api, name: str, task: str = "workerpool0-0") -> list[dict[str, Any]]:
    """The lines of one task, as the service tells them."""
    found: list[dict[str, Any]] = api.call("GET", f"/trainyard/v1/{name}/logs?task={task}&size=1000").json["entries"]
    return found


def narration(api: Api, name: str) -> str:
    """The job's service log."""
    return "\n".join(entry["text"] for entry in entries(api, name, "service"))


def sdist(path: Path, name: str, files: dict[str, str]) -> None:
    """A source distribution with these modules in it."""
    setup = (
        f"from setuptools import find_packages, setup\nsetup(name={name!r}, version='0.1', packages=find_packages())\n"
    )
    members = {"setup.py": setup, f"{name}/__init__.py": "", **{f"{name}/{file}": text for file, text in files.items()}}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for member, text in members.items():
            info = tarfile.TarInfo(f"{name}-0.1/{member}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))


@pytest.mark.slow
def test_case_75_packages_are_installed_and_run(server: Server, api: Api) -> None:
    """Each tarball of a bucket is installed, then the module runs with its args; the second start finds all ready."""
    bucket = server.data_dir / "buckets" / "case75"
    sdist(bucket / "lib.tar.gz", "case75lib", {"words.py": "GREETING = 'trained with'\n"})
    task = "import sys\nfrom case75lib.words import GREETING\nprint(GREETING, sys.argv[1:])\n"
    sdist(bucket / "dir" / "trainer.tar.gz", "case75trainer", {"task.py": task})
    spec = {
        "executorImageUri": "some/executor:1",
        "packageUris": ["gs://case75/lib.tar.gz", "gs://case75/dir/trainer.tar.gz"],
        "pythonModule": "case75trainer.task",
        "args": ["--epochs", "3"],
    }
    body = pools(pool(containerSpec=None, pythonPackageSpec=spec))
    name = api.made(body)["name"]
    job = api.wait(name, seconds=120)
    assert job["state"] == "JOB_STATE_SUCCEEDED", job
    assert output(api, name) == b"trained with ['--epochs', '3']\n"
    assert "The image some/executor:1 is not run here" in narration(api, name)
    begun = time.monotonic()
    again = api.made(body)["name"]
    assert api.wait(again)["state"] == "JOB_STATE_SUCCEEDED"
    assert time.monotonic() - begun < 5 + BUSY_SECONDS
    assert "Installing" not in narration(api, again)


def test_case_75_a_package_that_is_not_there(api: Api) -> None:
    """The job fails and names the object that is missing."""
    spec = {"executorImageUri": "e", "packageUris": ["gs://case75/none.tar.gz"], "pythonModule": "m"}
    job = api.wait(api.made(pools(pool(containerSpec=None, pythonPackageSpec=spec)))["name"])
    assert job["state"] == "JOB_STATE_FAILED"
    assert "gs://case75/none.tar.gz" in job["error"]["message"]


def test_case_76_replicas_meet(api: Api) -> None:
    """Every replica listens on its own address; workers reach the chief by MASTER_ADDR and MASTER_PORT."""
    spec = {"imageUri": "host", "command": ["python3", "-c", RENDEZVOUS]}
    name = api.made(pools(pool(containerSpec=spec), pool(containerSpec=spec, replicaCount=3)))["name"]
    job = api.wait(name, seconds=60)
    assert job["state"] == "JOB_STATE_SUCCEEDED", job
    assert output(api, name) == b"sum 60\n"


@pytest.mark.slow
@pytest.mark.frameworks
def test_case_76_pytorch_trains_over_two_replicas(api: Api) -> None:
    """torch.distributed's own `env://` rendezvous, with nothing set by hand: both end with the same weights."""
    python = Path(__file__).resolve().parents[2] / ".venv" / "frameworks" / "torch" / "bin" / "python"
    if not python.exists():
        pytest.skip("PyTorch is not installed: make test-frameworks")
    spec = {"imageUri": "host", "command": [str(python), "-c", DDP]}
    name = api.made(pools(pool(containerSpec=spec), pool(containerSpec=spec)))["name"]
    assert api.wait(name, seconds=120)["state"] == "JOB_STATE_SUCCEEDED"
    weights = output(api, name)
    assert weights.startswith(b"weights")
    assert output(api, name, "workerpool1-0") == weights


def test_case_77_lines_have_their_severity(api: Api) -> None:
    """stdout is INFO, stderr ERROR, a JSON line its own severity and payload; bad UTF-8 and 1 MB lines survive."""
    script = (
        "import sys, os, time; print('plain', flush=True); time.sleep(.05)\n"
        "print('oops', file=sys.stderr, flush=True)\n"
        """print('{"severity": "WARNING", "message": "hot", "loss": 0.5}')\n"""
        """print('{"not": "closed"', flush=True)\n"""
        "os.write(1, b'\\xff\\xfe caf\\xc3\\xa9\\n'); os.write(1, b'x' * 1000000 + b'\\n'); os.write(1, b'no newline')"
    )
    name = api.made(running("python3", "-c", script))["name"]
    assert api.wait(name)["state"] == "JOB_STATE_SUCCEEDED"
    told = entries(api, name)
    by_text = {entry.get("payload", {}).get("message", entry["text"]): entry for entry in told}
    assert by_text["plain"]["severity"] == "INFO"
    assert by_text["oops"]["severity"] == "ERROR"
    assert by_text["hot"]["severity"] == "WARNING"
    assert by_text["hot"]["payload"]["loss"] == 0.5
    assert by_text['{"not": "closed"']["severity"] == "INFO"
    assert "\ufffd\ufffd café" in by_text
    assert "no newline" in by_text
    assert sum(entry["text"].count("x") for entry in told if entry["stream"] == "stdout") == 1_000_000
    assert output(api, name).endswith(b"\xff\xfe caf\xc3\xa9\n" + b"x" * 1_000_000 + b"\nno newline")


def test_what_depends_on_the_runtime_is_told_of_the_one_that_ran(api: Api) -> None:
    """A job that names a network hears what that means on the host, where it ran, once, and nothing of containers."""
    pools = running("sh", "-c", "true", job_spec={"network": "projects/1/global/networks/n"})
    name = api.made(pools)["name"]
    api.wait(name)
    told = narration(api, name)
    assert told.count("jobSpec.network has no effect here: no VPC network is peered; replicas use this machine's") == 1
    assert "containers are in" not in told


def test_case_79_mounts_are_refused_in_words(api: Api) -> None:
    """A job that needs a share that this host cannot mount is refused, and not started without its data."""
    mounts = [{"server": "10.0.0.1", "path": "/data", "mountPoint": "data"}]
    answer = api.create(pools(pool(nfsMounts=mounts)))
    assert (answer.status, answer.error["status"]) == (400, "FAILED_PRECONDITION")
    assert "nfsMounts is refused" in answer.error["message"]
    assert api.list().json == {}


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Server]:
    """A server with room for two replicas."""
    with Server(tmp_path / "small", "--replicas", "2") as server:
        yield server


@pytest.mark.kill
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_case_80_jobs_survive_a_restart(tmp_path: Path, number: int) -> None:
    """State, timestamps and logs are as before; what runs is taken up again, what ended meanwhile is told."""
    gate, soon = tmp_path / "gate", tmp_path / "soon"
    waits = f"echo before; while [ ! -e {gate} ]; do sleep 0.02; done; echo after"
    with Server(tmp_path / "data") as server:
        api = Api(server.port)
        done = api.wait(api.made(running("sh", "-c", "echo done; exit 3"))["name"])
        alive = api.made(running("sh", "-c", waits))["name"]
        says = f"while [ ! -e {soon} ]; do sleep 0.02; done; echo brief; echo > {tmp_path}/said"
        brief = api.made(running("sh", "-c", says))["name"]
        before = api.wait(alive, {"JOB_STATE_RUNNING"})
        api.wait(brief, {"JOB_STATE_RUNNING"})
        api.close()
        server.process.send_signal(number)
        server.process.wait(60)
    soon.touch()
    deadline = time.monotonic() + 60
    while not (tmp_path / "said").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.3)  # for its agents to record that it has ended
    with Server(tmp_path / "data") as server:
        api = Api(server.port)
        assert api.get(done["name"]).json == done
        assert output(api, done["name"]) == b"done\n"
        ended = api.wait(brief, seconds=2 + BUSY_SECONDS)
        assert ended["state"] == "JOB_STATE_SUCCEEDED"
        assert api.get(alive).json == before
        gate.touch()
        after = api.wait(alive)
        assert (after["state"], after["startTime"]) == ("JOB_STATE_SUCCEEDED", before["startTime"])
        assert output(api, alive) == b"before\nafter\n"
        assert len({entry["text"] for entry in entries(api, alive)}) == 2
        api.close()


def test_case_82_no_room_is_queued_until_freed(small: Server, tmp_path: Path) -> None:
    """All or none: a job of two waits QUEUED beside one that holds a place, says why, and runs when it is free."""
    api, gate = Api(small.port), tmp_path / "gate"
    first = api.made(running("sh", "-c", f"while [ ! -e {gate} ]; do sleep 0.02; done"))["name"]
    api.wait(first, {"JOB_STATE_RUNNING"})
    two = running("true")
    two["jobSpec"]["workerPoolSpecs"].append(pool(containerSpec={"imageUri": "host", "command": ["true"]}))
    second = api.made(two)["name"]
    deadline = time.monotonic() + 60
    while "Waiting for job to be provisioned" not in narration(api, second):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert api.get(second).json["state"] == "JOB_STATE_QUEUED"
    told = api.call("GET", f"/trainyard/v1/{second}:explain").json
    assert "asks for 2 replicas" in told["sentence"]
    assert "1 of 1" in told["sentence"]
    gate.touch()
    assert api.wait(first)["state"] == "JOB_STATE_SUCCEEDED"
    assert api.wait(second)["state"] == "JOB_STATE_SUCCEEDED"
    api.close()


def test_case_82_what_never_fits_is_failed_at_once(small: Server) -> None:
    """Three replicas where there is room for two: FAILED with 8 (RESOURCE_EXHAUSTED) and what there is."""
    api = Api(small.port)
    three = pools(pool(), pool(replicaCount=2))
    job = api.wait(api.made(three)["name"])
    assert (job["state"], job["error"]["code"]) == ("JOB_STATE_FAILED", 8)
    assert "all there is here is 2 replicas" in job["error"]["message"]
    api.close()
