"""Jobs with an experiment have their run in a real MLflow: a database, and a server where one is installed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from edge_server import Api, Server, running
from test_run_metrics import record

mlflow = pytest.importorskip("mlflow")
pytestmark = [pytest.mark.clients, pytest.mark.slow]

CONTEXT = "projects/p/locations/us-central1/metadataStores/default/contexts/"
MLFLOW_VENV = Path(os.environ.get("TRAINYARD_MLFLOW_VENV") or Path(sys.prefix) / ".clients-mlflow")
PROGRAM = """
import os, sys, time, mlflow
given = os.environ["MLFLOW_RUN_ID"]
with mlflow.start_run() as run:
    assert run.info.run_id == given
    mlflow.log_metric("own", 0.5, step=1)
    mlflow.log_param("lr", 0.1)
print(os.environ["MLFLOW_EXPERIMENT_NAME"], flush=True)
while os.path.exists(sys.argv[1]):
    time.sleep(0.05)
sys.exit(int(sys.argv[2]))
"""


def runs(uri: str) -> list[dict[str, Any]]:
    """All runs, as MLflow's own client sees them."""
    client = mlflow.tracking.MlflowClient(uri)
    return [
        {
            "experiment": experiment.name,
            "run": run.info.run_name,
            "status": run.info.status,
            "id": run.info.run_id,
            "params": run.data.params,
            "tags": run.data.tags,
            "metrics": {name: points(client, run.info.run_id, name) for name in run.data.metrics},
        }
        for experiment in client.search_experiments()
        for run in client.search_runs([experiment.experiment_id])
    ]


def points(client: Any, run_id: str, name: str) -> list[list[float]]:
    """Steps and values of one metric."""
    return [[point.step, point.value] for point in client.get_metric_history(run_id, name)]


def ended(server: Server, uri: str, name: str) -> dict[str, Any]:
    """The one run that there is, once the service has ended it for the job."""
    deadline = time.monotonic() + 120
    while not (server.data_dir / "tracking" / "ended" / f"{name.rpartition('/')[2]}.json").exists():
        assert time.monotonic() < deadline, runs(uri)
        time.sleep(0.1)
    (found,) = runs(uri)
    return found


def training(gate: Path, code: int, bucket: str) -> dict[str, Any]:
    """A job that logs to MLflow, waits for its gate and ends with a code."""
    return running(
        sys.executable,
        "-c",
        PROGRAM,
        str(gate),
        str(code),
        labels={"team": "vision"},
        job_spec={
            "experiment": f"{CONTEXT}digits",
            "experimentRun": f"{CONTEXT}digits-first",
            "baseOutputDirectory": {"outputUriPrefix": f"gs://{bucket}/out"},
        },
    )


def event_files(server: Server, bucket: str) -> None:
    """What TensorBoard's writer would have left."""
    logs = server.data_dir / "buckets" / bucket / "out" / "logs" / "train"
    logs.mkdir(parents=True)
    logs.joinpath("events.out.tfevents.1.host").write_bytes(b"".join(record("loss", step, 2.0) for step in range(3)))


def waited(api: Api, name: str) -> None:
    """Until the program has said its experiment: it is through with MLflow then."""
    deadline = time.monotonic() + 120
    while "digits" not in str(api.call("GET", f"/trainyard/v1/{name}/logs?task=workerpool0-0").json["entries"]):
        assert time.monotonic() < deadline, api.call("GET", f"/trainyard/v1/{name}/logs").json
        assert api.get(name).json["state"] != "JOB_STATE_FAILED"
        time.sleep(0.2)


def played(server: Server, uri: str, gate: Path) -> None:
    """One job to its end, and all that is seen of it in MLflow and here."""
    api = Api(server.port)
    gate.touch()
    event_files(server, "tracked")
    name = api.made(training(gate, 0, "tracked"))["name"]
    waited(api, name)
    (begun,) = runs(uri)
    assert (begun["experiment"], begun["run"], begun["status"]) in (
        ("digits", "first", "RUNNING"),
        ("digits", "first", "FINISHED"),  # its own end_run
    )
    told = api.call("GET", f"/trainyard/v1/{name}:explain").json["tracking"]
    assert told == {"experiment": "digits", "run": "first", "where": uri, "runId": begun["id"]}
    gate.unlink()
    api.wait(name)
    run = ended(server, uri, name)
    assert (run["run"], run["status"]) == ("first", "FINISHED")
    assert run["params"]["lr"] == "0.1"
    assert run["params"]["label.team"] == "vision"
    assert run["params"]["workerpool0.machineType"] == "n1-standard-4"
    assert run["tags"]["trainyard.job"] == name
    assert run["metrics"]["own"] == [[1, 0.5]]
    assert run["metrics"]["train/loss"] == [[0, 2.0], [1, 2.0], [2, 2.0]]


def test_a_job_has_its_run_in_a_database(tmp_path: Path) -> None:
    """Made before it starts, logged to by the program, completed with parameters and event files, ended as it ends.

    A second job of the same name goes on in the same run, also over a kill -9 of the service, and fails it.
    """
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert runs(uri) == []  # a new database takes its time
    gate = tmp_path / "gate"
    flags = ("--mlflow-tracking-uri", uri)
    with Server(tmp_path / "data", *flags) as server:
        played(server, uri, gate)
        gate.touch()
        api = Api(server.port)
        second = api.made(training(gate, 7, "tracked"))["name"]
        waited(api, second)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    gate.unlink()
    with Server(tmp_path / "data", *flags) as server:
        assert Api(server.port).wait(second)["state"] == "JOB_STATE_FAILED"
        run = ended(server, uri, second)
        assert (run["run"], run["status"]) == ("first", "FAILED")
        assert run["tags"]["trainyard.job"] == second
        kept = {each.stem for each in (tmp_path / "data" / "tracking" / "ended").iterdir()}
        assert kept == {each.name for each in (tmp_path / "data" / "logs").iterdir()}
        assert not list((tmp_path / "data" / "tracking" / "open").iterdir())


def test_an_unreachable_server_stops_no_job(tmp_path: Path) -> None:
    """The job runs without, and its service log says why; explain names its experiment and no run."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        uri = f"http://user:secret@127.0.0.1:{taken.getsockname()[1]}"
        with Server(tmp_path / "data", "--mlflow-tracking-uri", uri) as server:
            api = Api(server.port)
            name = api.made(running("true", job_spec={"experiment": f"{CONTEXT}digits"}))["name"]
            assert api.wait(name, seconds=60)["state"] == "JOB_STATE_SUCCEEDED"
            told = api.call("GET", f"/trainyard/v1/{name}:explain").json["tracking"]
            assert (told["experiment"], told["runId"]) == ("digits", "")
            assert told["run"] == f"job-{name.rpartition('/')[2]}"
            log = json.dumps(api.call("GET", f"/trainyard/v1/{name}/logs?task=service").json)
            assert "Its programs start without MLFLOW_RUN_ID" in log
            assert "secret" not in log + told["where"]


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A tracking server of MLflow's."""
    program = MLFLOW_VENV / "bin" / "mlflow"
    if not program.exists():
        pytest.skip(f"there is no MLflow with its server in {MLFLOW_VENV} (uv venv; uv pip install mlflow)")
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    store = f"sqlite:///{folder}/server.db"
    command = [program, "server", "--backend-store-uri", store, "--port", port, "--workers", "1"]
    environment = {**os.environ, "PATH": f"{MLFLOW_VENV}/bin:{os.environ['PATH']}"}
    with (folder / "log").open("wb") as log:
        serving = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True)
    try:
        deadline = time.monotonic() + 180
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", int(port))) == 0:
                    break
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(serving.pid, signal.SIGKILL)
        serving.wait()


def test_a_job_has_its_run_on_a_server(tmp_path: Path, mlflow_server: str) -> None:
    """The same, over HTTP."""
    with Server(tmp_path / "data", "--mlflow-tracking-uri", mlflow_server) as server:
        played(server, mlflow_server, tmp_path / "gate")
