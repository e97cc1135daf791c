"""Trains one LightGBM model on several machines at once, over sockets, and saves it where the service says.

Nothing in here is Trainyard's: the replicas find each other by CLUSTER_SPEC and the model goes to AIP_MODEL_DIR, so the
same file runs unchanged as a Vertex AI CustomJob. Every replica reads a shard of its own of scikit-learn's digits.
"""

import json
import os
import socket
import time
from pathlib import Path

SPEC = json.loads(os.environ["CLUSTER_SPEC"])
TASK, INDEX = SPEC["task"]["type"], SPEC["task"]["index"]
ADDRESSES = [address for pool in sorted(SPEC["cluster"]) for address in SPEC["cluster"][pool]]
OWN = SPEC["cluster"][TASK][INDEX]
RANK = ADDRESSES.index(OWN)
ROUNDS = int(os.environ.get("ROUNDS", "50"))

print(f"up as {TASK}-{INDEX}, rank {RANK} of {len(ADDRESSES)}, listening on port {OWN.rpartition(':')[2]}", flush=True)

import lightgbm  # noqa: E402 (the first line of output does not wait for heavy imports)
import numpy  # noqa: E402 (as above)
from sklearn.datasets import load_digits  # noqa: E402 (as above)


def machines() -> str:
    """LightGBM's machine list: it knows its own line by IP address and port, so names are resolved here."""
    pairs = (address.rpartition(":") for address in ADDRESSES)
    return ",".join(f"{resolve(host)}:{port}" for host, _, port in pairs)


def resolve(host: str, patience_seconds: float = 120.0) -> str:
    """The address of another machine, whose name may appear later than we do."""
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            return socket.gethostbyname(host)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def local_path(uri: str) -> Path:
    """A gs:// address as the directory under which this machine sees it."""
    root = os.environ.get("TRAINYARD_GCS_ROOT", "/gcs")
    return Path(root, uri.removeprefix("gs://")) if uri.startswith("gs://") else Path(uri)


def split() -> tuple[tuple[numpy.ndarray, numpy.ndarray], tuple[numpy.ndarray, numpy.ndarray]]:
    """This replica's share of the training part, and the part that nobody trains on (the same on every replica)."""
    images, labels = load_digits(return_X_y=True)
    order = numpy.random.default_rng(seed=7).permutation(len(labels))
    held_out, training = order[:450], order[450:][RANK :: len(ADDRESSES)]
    return (images[training], labels[training]), (images[held_out], labels[held_out])


def main() -> None:
    (images, labels), (test_images, test_labels) = split()
    print(f"training on {len(labels)} digits of my own, together with {len(ADDRESSES) - 1} other replicas", flush=True)

    def accuracy(model: lightgbm.Booster) -> float:
        return float((model.predict(test_images).argmax(axis=1) == test_labels).mean())

    def report(progress: lightgbm.callback.CallbackEnv) -> None:
        done = progress.iteration + 1
        if done % 10 == 0 or done == 1:
            print(f"round {done:>2} of {ROUNDS}: {accuracy(progress.model):.1%} of held-out digits right", flush=True)

    parameters = {
        "objective": "multiclass",
        "num_class": 10,
        "num_leaves": 15,
        "learning_rate": 0.2,
        "verbose": -1,
        "seed": 7,
        "tree_learner": "data",
        "pre_partition": True,
        "machines": machines(),
        "num_machines": len(ADDRESSES),
        "local_listen_port": int(OWN.rpartition(":")[2]),
    }
    model = lightgbm.train(
        parameters,
        lightgbm.Dataset(images, labels),
        num_boost_round=ROUNDS,
        callbacks=[report] if RANK == 0 else [],
    )
    if RANK == 0:
        save(model, accuracy(model), len(test_labels))
    print("done", flush=True)


def save(model: lightgbm.Booster, accuracy: float, tested: int) -> None:
    print(f"accuracy on {tested} digits that no replica has seen: {accuracy:.4f}", flush=True)
    if uri := os.environ.get("AIP_MODEL_DIR"):
        directory = local_path(uri)
        directory.mkdir(parents=True, exist_ok=True)
        model.save_model(directory / "model.txt")
        (directory / "metrics.json").write_text(json.dumps({"accuracy": accuracy, "tested": tested}))
        print(f"model saved to {uri}model.txt", flush=True)


if __name__ == "__main__":
    main()
