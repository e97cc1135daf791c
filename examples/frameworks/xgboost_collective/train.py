"""XGBoost's own distributed training: the primary runs the tracker on its address, each replica trains on a shard."""

import hashlib
import json
import os
import socket
import threading

import numpy
import xgboost
from xgboost import collective
from xgboost.tracker import RabitTracker

SPEC = json.loads(os.environ["CLUSTER_SPEC"])
ADDRESSES = [address for pool in sorted(SPEC["cluster"]) for address in SPEC["cluster"][pool]]
RANK = ADDRESSES.index(SPEC["cluster"][SPEC["task"]["type"]][SPEC["task"]["index"]])
HOST, _, PORT = ADDRESSES[0].rpartition(":")


def main() -> None:
    # The tracker listens where CLUSTER_SPEC says that the primary is to be found.
    tracker = (
        RabitTracker(n_workers=len(ADDRESSES), host_ip=socket.gethostbyname(HOST), port=int(PORT))
        if RANK == 0
        else None
    )
    waiting = None
    if tracker:
        tracker.start()
        waiting = threading.Thread(target=tracker.wait_for, daemon=True)
        waiting.start()
    with collective.CommunicatorContext(
        dmlc_tracker_uri=socket.gethostbyname(HOST), dmlc_tracker_port=int(PORT), dmlc_retry=60
    ):
        random = numpy.random.default_rng(RANK)
        inputs = random.normal(size=(2000, 6))
        labels = (inputs[:, 0] * inputs[:, 1] + inputs[:, 2] > 0).astype(int)
        shard = xgboost.DMatrix(inputs, labels)
        told: dict = {}
        model = xgboost.train(
            {"objective": "binary:logistic", "tree_method": "hist", "eval_metric": "error", "nthread": 1},
            shard,
            40,
            evals=[(shard, "train")],
            evals_result=told,
            verbose_eval=False,
        )
        print(
            f"replica {collective.get_rank()} of {collective.get_world_size()}: error {told['train']['error'][-1]:.4f}",
            flush=True,
        )
        print(f"trees {hash_of(model)}", flush=True)
    if waiting:
        waiting.join()


def hash_of(model: xgboost.Booster) -> str:
    """The same on every replica, for it is one model."""
    return hashlib.sha256(model.save_raw("json")).hexdigest()[:16]


main()
