"""Distributed training with the frameworks themselves: code that runs unchanged on Vertex AI runs here.

Each framework lies in an environment of its own, made by `make test-frameworks`; without it its tests are skipped.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from trainyard.local_service import LocalService

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "examples" / "frameworks"
PROGRAM = ROOT / ".venv" / "bin" / "trainyard"
WEIGHTS = "weights [1.0, 2.0, 3.0, 4.0"
pytestmark = [pytest.mark.slow, pytest.mark.frameworks]

Follow = Callable[[str, str], list[str]]


@pytest.fixture
def follow(trainyard: LocalService) -> Follow:
    """Run an example with a framework's Python, as its README says, and give what it printed."""

    def run(framework: str, spec: str) -> list[str]:
        python = ROOT / ".venv" / "frameworks" / framework / "bin"
        if not (python.parent / ".made").exists():
            pytest.skip(f"{framework} is not installed: make test-frameworks")
        env = {**trainyard.env(), "PATH": f"{python}:/usr/bin:/bin", "TRAINYARD_ENDPOINT": trainyard.endpoint}
        ended = subprocess.run(
            [str(PROGRAM), "run", str(EXAMPLES / spec)],
            env=env,
            text=True,
            capture_output=True,
            timeout=240,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
        return ended.stdout.splitlines()

    return run


def said(lines: list[str], replica: str, pattern: str) -> str:
    """The first line of a replica that matches."""
    for line in lines:
        who, _, text = line.partition("│")
        if who.strip().endswith(replica) and re.search(pattern, text):
            return text.strip()
    raise AssertionError(f"{replica} never said {pattern!r}: {lines}")


def test_pytorch_trains_in_step_and_goes_on_from_its_checkpoint(follow: Follow, trainyard: LocalService) -> None:
    """DistributedDataParallel over gloo: equal weights on both; the second job finds the first's checkpoint."""
    lines = follow("torch", "torch_ddp/spec.yaml")
    assert said(lines, "workerpool0-0", "^ *weights") == said(lines, "workerpool1-0", "^ *weights")
    assert float(said(lines, "workerpool0-0", "epoch 20 of 20").rpartition(" ")[2]) > 0.97
    assert trainyard.path("gs://demo/torch-ddp/checkpoints/last.pt").exists()
    again = follow("torch", "torch_ddp/spec.yaml")
    assert said(again, "workerpool0-0", "going on") == "going on after epoch 20"


def test_jax_computes_over_three_processes(follow: Follow) -> None:
    """`jax.distributed.initialize` from MASTER_ADDR, RANK and WORLD_SIZE; one gradient over every process's rows."""
    lines = follow("jax", "jax_distributed/spec.yaml")
    for replica in ("workerpool0-0", "workerpool1-0", "workerpool1-1"):
        assert said(lines, replica, "of 3, 3 devices")
        assert said(lines, replica, "weights").startswith(WEIGHTS)


def test_xgboost_builds_one_model(follow: Follow) -> None:
    """The primary's address holds the tracker; every replica ends with the same trees."""
    lines = follow("xgboost", "xgboost_collective/spec.yaml")
    trees = {said(lines, replica, "^ *trees") for replica in ("workerpool0-0", "workerpool1-0", "workerpool1-1")}
    assert len(trees) == 1


def test_a_pool_of_reducers_adds_up_gradients(follow: Follow) -> None:
    """Worker pool 2 in the shape of the Reduction Server: both trainers learn the sum of what both saw."""
    lines = follow("xgboost", "reduction_server/spec.yaml")
    for replica in ("workerpool0-0", "workerpool1-0"):
        assert said(lines, replica, "weights").startswith(WEIGHTS)
    assert said(lines, "workerpool2-1", "reducer 1 waits for 2 trainers")


def test_tensorflow_trains_in_step_by_tf_config(follow: Follow) -> None:
    """MultiWorkerMirroredStrategy reads TF_CONFIG by itself: chief and worker end with the same weights."""
    lines = follow("tensorflow", "tensorflow_roles/mirrored.yaml")
    for replica in ("workerpool0-0", "workerpool1-0"):
        assert said(lines, replica, "2 replicas train in step")
        assert said(lines, replica, "weights").startswith(WEIGHTS)


def test_tensorflow_plays_every_role_of_tf_config(follow: Follow) -> None:
    """Chief, worker, parameter server and evaluator; the servers, which never end, end with the job."""
    lines = follow("tensorflow", "tensorflow_roles/spec.yaml")
    assert said(lines, "workerpool2-0", "ps 0 serves")
    assert said(lines, "workerpool1-0", "worker 0 serves")
    assert said(lines, "workerpool0-0", "weights").startswith(WEIGHTS)
    assert float(said(lines, "workerpool3-0", "evaluator: loss").rpartition(" ")[2]) < 0.001


def test_tensorflow_s_own_event_files_are_read(trainyard: LocalService) -> None:
    """Both of TensorFlow's writers, with histograms, texts and pictures beside: exactly the scalars come back."""
    python = ROOT / ".venv" / "frameworks" / "tensorflow" / "bin" / "python"
    if not (python.parents[1] / ".made").exists():
        pytest.skip("tensorflow is not installed: make test-frameworks")
    body = {
        "displayName": "summaries",
        "jobSpec": {
            "baseOutputDirectory": {"outputUriPrefix": "gs://demo/summaries"},
            "workerPoolSpecs": [
                {
                    "machineSpec": {"machineType": "n1-standard-4"},
                    "replicaCount": 1,
                    "containerSpec": {"imageUri": "host", "command": [str(python), "-c", SUMMARIES]},
                }
            ],
        },
    }
    name = trainyard.api.create(body)["name"]
    assert trainyard.wait(name, 120)["state"] == "JOB_STATE_SUCCEEDED", trainyard.why(name)
    told = trainyard.api.metrics(name)
    assert not told["damaged"]
    series = {(one["run"], one["tag"]): [point["value"] for point in one["points"]] for one in told["series"]}
    assert series == {
        ("two", "loss"): [1.0, 0.5, 0.25],
        ("two", "steps"): [0.0, 1.0, 2.0],
        ("one", "old"): [7.0, 8.0],
    }


SUMMARIES = """
import os, tensorflow as tf
logs = os.environ.get("TRAINYARD_GCS_ROOT", "/gcs") + "/" + os.environ["AIP_TENSORBOARD_LOG_DIR"].removeprefix("gs://")
with tf.summary.create_file_writer(logs + "two").as_default():
    for step in range(3):
        tf.summary.scalar("loss", 0.5 ** step, step=step)
        tf.summary.scalar("steps", tf.constant(step, tf.int64), step=step)
        tf.summary.histogram("weights", tf.random.normal((50,)), step=step)
        tf.summary.text("words", "hello", step=step)
        tf.summary.image("picture", tf.zeros((1, 4, 4, 3)), step=step)
with tf.compat.v1.Graph().as_default():
    writer = tf.compat.v1.summary.FileWriter(logs + "one")
    for step, value in enumerate((7.0, 8.0)):
        summary = tf.compat.v1.Summary(value=[tf.compat.v1.Summary.Value(tag="old", simple_value=value)])
        writer.add_summary(summary, step)
    writer.close()
"""
