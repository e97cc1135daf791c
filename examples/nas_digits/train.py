"""Trains one architecture on scikit-learn's handwritten digits, by numpy alone, and reports how good it is.

Nothing in here is Trainyard's: the architecture comes as --nas_params_str and the reward goes to the file that
CLOUD_ML_HP_METRIC_FILE names, as Vertex AI's architecture search documents them. The reward is the accuracy on digits
that were not trained on, times a mild penalty for more than 1,000 parameters.
"""

import argparse
import ast
import gzip
import importlib.util
import itertools
import json
import os
import re
import time
from pathlib import Path

import numpy as np

FREE_PARAMETERS = 1000
BATCH, RATE = 50, 0.01


def architecture(text: str) -> tuple[list[int], list[str], bool]:
    """Widths, activations, skip connection from `{"layers[=1/3][0].width": "2/4 (16)", …, "skip": "0/2 (False)"}`."""
    found = {"width": [], "activation": [], "skip": []}
    for path, value in json.loads(text).items():
        kind = re.search(r"\w+$", path)
        if kind and kind.group() in found:
            literal = re.fullmatch(r"\d+/\d+ \((.*)\)", value).group(1)
            found[kind.group()].append(ast.literal_eval(literal))
    return found["width"], found["activation"], found["skip"][0]


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Pixels from 0 to 1 and labels, in a fixed random order.

    Read without importing scikit-learn, which takes longer than a training.
    """
    folder = importlib.util.find_spec("sklearn").submodule_search_locations[0]
    rows = gzip.decompress(Path(folder, "datasets", "data", "digits.csv.gz").read_bytes()).decode().split()
    table = np.array([row.split(",") for row in rows], dtype=float)
    table = table[np.random.RandomState(0).permutation(len(table))]
    return table[:, :-1] / 16, table[:, -1].astype(int)


ACTIVATIONS = {
    # The function, and its derivative by its own output.
    "relu": (lambda x: np.maximum(x, 0), lambda y: (y > 0).astype(float)),
    "tanh": (np.tanh, lambda y: 1 - y * y),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), lambda y: y * (1 - y)),
    "linear": (lambda x: x, np.ones_like),
}


class Network:
    """Dense layers with a softmax on top, which sees the pixels too when there is a skip connection."""

    def __init__(self, widths: list[int], activations: list[str], skip: bool, seed: int) -> None:
        self.random = np.random.RandomState(seed)
        self.activations = [ACTIVATIONS[name] for name in activations]
        self.skip = skip
        sizes = [64, *widths]
        self.weights = [self.random.normal(0, np.sqrt(2 / a), (a, b)) for a, b in itertools.pairwise(sizes)]
        last = widths[-1] + 64 * skip
        self.weights.append(self.random.normal(0, np.sqrt(1 / last), (last, 10)))
        self.weights += [np.zeros(width) for width in (*widths, 10)]
        self.moments = [(np.zeros_like(each), np.zeros_like(each)) for each in self.weights]
        self.steps = 0

    @property
    def parameters(self) -> int:
        """How many weights and biases there are."""
        return sum(each.size for each in self.weights)

    def accuracy(self, pixels: np.ndarray, labels: np.ndarray) -> float:
        """The share that is told right."""
        return float((self.forward(pixels)[0].argmax(1) == labels).mean())

    def forward(self, pixels: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """The logits, and each layer's output."""
        depth, outputs = len(self.activations), [pixels]
        for n, (function, _) in enumerate(self.activations):
            outputs.append(function(outputs[-1] @ self.weights[n] + self.weights[depth + 1 + n]))
        outputs.append(np.hstack([outputs[-1], pixels]) if self.skip else outputs[-1])
        return outputs[-1] @ self.weights[depth] + self.weights[-1], outputs

    def epoch(self, pixels: np.ndarray, labels: np.ndarray) -> None:
        """One pass over the digits."""
        order = self.random.permutation(len(labels))
        for start in range(0, len(labels), BATCH):
            rows = order[start : start + BATCH]
            self.step(pixels[rows], labels[rows])

    def step(self, pixels: np.ndarray, labels: np.ndarray) -> None:
        """Back-propagation and one step of Adam."""
        depth = len(self.activations)
        logits, outputs = self.forward(pixels)
        error = np.exp(logits - logits.max(1, keepdims=True))
        error /= error.sum(1, keepdims=True)
        error[np.arange(len(labels)), labels] -= 1
        error /= len(labels)
        slopes = {depth: outputs[-1].T @ error, 2 * depth + 1: error.sum(0)}
        error = (error @ self.weights[depth].T)[:, : outputs[depth].shape[1]]
        for n in range(depth - 1, -1, -1):
            error = error * self.activations[n][1](outputs[n + 1])
            slopes[n], slopes[depth + 1 + n] = outputs[n].T @ error, error.sum(0)
            error = error @ self.weights[n].T
        self.steps += 1
        for n, (first, second) in enumerate(self.moments):
            np.add(first, 0.1 * (slopes[n] - first), out=first)
            np.add(second, 0.001 * (slopes[n] ** 2 - second), out=second)
            unbiased = np.sqrt(second / (1 - 0.999**self.steps)) + 1e-8
            self.weights[n] = self.weights[n] - RATE * first / (1 - 0.9**self.steps) / unbiased


def report(reward: float, step: int, extra: dict[str, float]) -> None:
    """What cloudml-hypertune writes, with further metrics as the architecture search reads them."""
    name = os.environ.get("CLOUD_ML_HP_METRIC_TAG")
    if not name:
        return
    line = {"timestamp": time.time(), "trial": os.environ.get("CLOUD_ML_TRIAL_ID", "0"), name: str(reward)}
    line |= {"global_step": str(step)}
    for n, (key, value) in enumerate(extra.items()):
        line |= {f"key_{n}": key, f"value_{n}": str(value)}
    path = Path(os.environ.get("CLOUD_ML_HP_METRIC_FILE", "/tmp/hypertune/output.metrics"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(line, sort_keys=True) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nas_params_str", required=True, help="the architecture")
    parser.add_argument("--job-dir", required=True, help="where to leave what was trained")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--final", action="store_true", help="train on all but the test digits, and report those")
    flags = parser.parse_args()
    widths, activations, skip = architecture(flags.nas_params_str)
    pixels, labels = digits()
    # 400 to train on, 600 to judge a search by, 797 that only the final trainings are judged by.
    end, judged = (1000, slice(1000, None)) if flags.final else (400, slice(400, 1000))
    network = Network(widths, activations, skip, seed=0)
    for epoch in range(1, flags.epochs + 1):
        network.epoch(pixels[:end], labels[:end])
        accuracy = network.accuracy(pixels[judged], labels[judged])
        reward = accuracy * min(1.0, FREE_PARAMETERS / network.parameters) ** 0.07
        report(reward, epoch, {"accuracy": accuracy, "parameters": network.parameters})
    shape = " > ".join(f"{width} {activation}" for width, activation in zip(widths, activations, strict=True))
    print(
        f"{shape}{' + skip' if skip else ''}: {accuracy:.1%} right with {network.parameters:,} parameters", flush=True
    )
    if flags.final:
        save(network, flags)


def save(network: Network, flags: argparse.Namespace) -> None:
    folder = Path(re.sub(r"^gs://", os.environ.get("TRAINYARD_GCS_ROOT", "/gcs") + "/", flags.job_dir))
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "network.npz", *network.weights)
    (folder / "nas_params_str.json").write_text(flags.nas_params_str)


if __name__ == "__main__":
    main()
