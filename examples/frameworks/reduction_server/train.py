"""The shape of Vertex AI's Reduction Server: worker pool 2 only adds up what the replicas of pools 0 and 1 send it.

Each reducer owns an equal slice of the gradient; every trainer sends each reducer its slice and reads back the sum. So
a step costs a trainer one vector each way, however many trainers there are.
"""

import json
import os
import socket
import struct
import time

import numpy

SPEC = json.loads(os.environ["CLUSTER_SPEC"])
POOLS, TASK, INDEX = SPEC["cluster"], SPEC["task"]["type"], SPEC["task"]["index"]
REDUCERS = POOLS["workerpool2"]
TRAINERS = POOLS["workerpool0"] + POOLS.get("workerpool1", [])
STEPS, SIZE = 200, 8


def receive(link: socket.socket) -> numpy.ndarray:
    """One vector: its length in bytes, then its numbers."""
    count = struct.unpack("!I", exactly(link, 4))[0]
    return numpy.frombuffer(exactly(link, count), dtype=numpy.float64)


def exactly(link: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        part = link.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return bytes(data)


def send(link: socket.socket, vector: numpy.ndarray) -> None:
    data = vector.tobytes()
    link.sendall(struct.pack("!I", len(data)) + data)


def reduce_for_ever() -> None:
    """A reducer works until the service ends it: the job is over when its primary is."""
    listener = socket.create_server(("0.0.0.0", int(REDUCERS[INDEX].rpartition(":")[2])))
    print(f"reducer {INDEX} waits for {len(TRAINERS)} trainers", flush=True)
    links = [listener.accept()[0] for _ in TRAINERS]
    while True:
        try:
            total = sum(receive(link) for link in links)
        except EOFError:
            break
        for link in links:
            send(link, total)
    print("the trainers are done", flush=True)


def connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection((host, int(port)))
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def train() -> None:
    rank = TRAINERS.index(POOLS[TASK][INDEX])
    links = [connect(address) for address in REDUCERS]
    truth = numpy.arange(1.0, SIZE + 1)
    inputs = numpy.random.default_rng(rank).normal(size=(300, SIZE))
    targets = inputs @ truth
    weights = numpy.zeros(SIZE)
    for _ in range(STEPS):
        gradient = 2 * inputs.T @ (inputs @ weights - targets) / len(inputs)
        parts = numpy.array_split(gradient, len(links))
        for link, part in zip(links, parts, strict=True):
            send(link, part)
        weights -= 0.05 * numpy.concatenate([receive(link) for link in links]) / len(TRAINERS)
    print("weights", [round(float(weight), 3) for weight in weights], flush=True)


if TASK == "workerpool2":
    reduce_for_ever()
else:
    train()
