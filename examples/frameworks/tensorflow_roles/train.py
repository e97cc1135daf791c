"""One TensorFlow program for every role of TF_CONFIG: chief, worker, parameter server and evaluator.

With a `ps` in the cluster the chief coordinates ParameterServerStrategy; without, chief and workers run
MultiWorkerMirroredStrategy. An evaluator stands outside of the cluster and scores what the chief has saved.
"""

import json
import os
import time
from pathlib import Path

import tensorflow as tf

CONFIG = json.loads(os.environ["TF_CONFIG"])
ROLE = CONFIG["task"]["type"]
STEPS, BATCH = 60, 64
TRUTH = [[1.0], [2.0], [3.0], [4.0]]


def local_path(uri: str) -> Path:
    """A gs:// address as the directory under which every replica sees it."""
    root = os.environ.get("TRAINYARD_GCS_ROOT", "/gcs")
    return Path(root, uri.removeprefix("gs://")) if uri.startswith("gs://") else Path(uri)


SAVED = local_path(os.environ.get("AIP_CHECKPOINT_DIR", ".")) / "weights.json"


def rows(seed: int, number: tf.Tensor | int, count: int = BATCH) -> tuple[tf.Tensor, tf.Tensor]:
    inputs = tf.random.stateless_normal((count, 4), tf.stack([tf.cast(seed, tf.int64), tf.cast(number, tf.int64)]))
    return inputs, inputs @ tf.constant(TRUTH)


def batches(seed: int) -> tf.data.Dataset:
    """Batch after batch of a linear function."""
    return tf.data.Dataset.range(1 << 30).map(lambda number: rows(seed, number))


def step_of(weights: tf.Variable, inputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((inputs @ weights - targets) ** 2)
    gradient = tape.gradient(loss, weights)
    context = tf.distribute.get_replica_context()
    if context and context.num_replicas_in_sync > 1:
        gradient = context.all_reduce(tf.distribute.ReduceOp.MEAN, gradient)
    weights.assign_sub(0.1 * gradient)
    return loss


def mirrored() -> list[float]:
    options = tf.distribute.experimental.CommunicationOptions(
        implementation=tf.distribute.experimental.CommunicationImplementation.RING
    )
    strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    print(f"{ROLE}: {strategy.num_replicas_in_sync} replicas train in step", flush=True)
    with strategy.scope():
        weights = tf.Variable(tf.zeros((4, 1)))

    @tf.function
    def step(inputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        return strategy.reduce("MEAN", strategy.run(step_of, (weights, inputs, targets)), axis=None)

    for _, (inputs, targets) in zip(range(STEPS), batches(CONFIG["task"]["index"]), strict=False):
        step(inputs, targets)
    return [round(float(value), 3) for value in weights.numpy().ravel()]


def serve() -> None:
    """A worker or parameter server of the other strategy: it serves until the service ends it with the job."""
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    server = tf.distribute.Server(
        resolver.cluster_spec(), job_name=resolver.task_type, task_index=resolver.task_id, protocol="grpc", start=True
    )
    print(f"{ROLE} {resolver.task_id} serves", flush=True)
    server.join()


def coordinate() -> list[float]:
    strategy = tf.distribute.ParameterServerStrategy(tf.distribute.cluster_resolver.TFConfigClusterResolver())
    with strategy.scope():
        weights = tf.Variable(tf.zeros((4, 1)))
    coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
    source = iter(coordinator.create_per_worker_dataset(lambda: batches(1)))

    @tf.function
    def step(iterator: tf.data.Iterator) -> None:
        inputs, targets = next(iterator)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((inputs @ weights - targets) ** 2)
        weights.assign_sub(0.1 * tape.gradient(loss, weights))

    for _ in range(STEPS):
        coordinator.schedule(step, args=(source,))
    coordinator.join()
    return [round(float(value), 3) for value in weights.numpy().ravel()]


def evaluate() -> None:
    """Wait for what the chief saves and score it; the job does not wait for the evaluator."""
    while not SAVED.exists():
        time.sleep(0.1)
    weights = tf.constant(json.loads(SAVED.read_text()))[:, None]
    inputs, targets = rows(99, 0, 1000)
    print(f"evaluator: loss {float(tf.reduce_mean((inputs @ weights - targets) ** 2)):.6f}", flush=True)


def main() -> None:
    if ROLE == "evaluator":
        evaluate()
        return
    has_servers = "ps" in CONFIG["cluster"]
    if has_servers and ROLE != "chief":
        serve()
        return
    weights = coordinate() if has_servers else mirrored()
    print("weights", weights, flush=True)
    if ROLE == "chief":
        SAVED.parent.mkdir(parents=True, exist_ok=True)
        unfinished = SAVED.with_suffix(".new")
        unfinished.write_text(json.dumps(weights))
        unfinished.replace(SAVED)
        time.sleep(float(os.environ.get("SECONDS_FOR_EVALUATOR", "0")))


main()
