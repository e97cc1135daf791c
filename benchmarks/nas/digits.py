"""B3: a small network really trained on scikit-learn's bundled digits; depth, width, activation, skip; 8,736 nets.

The reward is validation accuracy times a mild penalty for more than 1,000 parameters, times 100. Each net is trained
with two seeds: the true value is the mean, an observation is one of the two at random. Trained nets are kept on disk.
"""

from __future__ import annotations

import itertools
import json
import sys
from functools import cached_property
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from trainyard.core.space import CLOSED, Choice, Point, Space, Template, space_of

KEPT = Path(sys.prefix) / "bench" / "nas_digits.jsonl"
WIDTHS = (4, 8, 16, 32)
ACTIVATIONS = ("relu", "tanh", "sigmoid", "linear")
EPOCHS, BATCH, RATE = 12, 50, 0.01
MOST_FREE_PARAMETERS = 1000

Array = NDArray[np.float64]


def digits_space() -> Space:
    """A depth of 1 to 3 with a width and an activation for each layer that there is; and the skip connection."""

    def choice(location: str, values: tuple[object, ...]) -> Choice:
        return Choice(location, (Template(),) * len(values), tuple(map(repr, values)))

    def layers(depth: int) -> Template:
        widths = [choice(f"width[{n}]", WIDTHS) for n in range(depth)]
        return Template((*widths, *(choice(f"activation[{n}]", ACTIVATIONS) for n in range(depth))))

    depth = Choice("layers", tuple(layers(n) for n in (1, 2, 3)), ("1", "2", "3"))
    return space_of(Template((depth, choice("skip", (False, True)))))


class Digits:
    """The problem; `best` is not known without training all, so it is scored by the mean of late proposals."""

    best = 100.0

    def __init__(self) -> None:
        self.space = digits_space()

    def true(self, point: Point) -> float:
        """The mean over both training seeds, times 100."""
        return sum(self._rewards(point)) / 2

    def observed(self, point: Point, chance: Random) -> float | None:
        """One of the two trainings."""
        return self._rewards(point)[int(chance.random() * 2)]

    @cached_property
    def _kept(self) -> dict[str, list[float]]:
        if not KEPT.exists():
            return {}
        return {key: rewards for line in KEPT.read_text().splitlines() for key, rewards in [json.loads(line)]}

    def _rewards(self, point: Point) -> list[float]:
        key = ",".join(map(str, point))
        if key not in self._kept:
            self._kept[key] = [100 * reward(*self.net(point), seed) for seed in (0, 1)]
            KEPT.parent.mkdir(parents=True, exist_ok=True)
            with KEPT.open("a") as file:
                file.write(json.dumps([key, self._kept[key]]) + "\n")
        return self._kept[key]

    def net(self, point: Point) -> tuple[tuple[int, ...], tuple[str, ...], bool]:
        """Widths, activations, skip."""
        open_values = [value for value in point if value != CLOSED]
        depth = open_values[0] + 1
        widths = tuple(WIDTHS[value] for value in open_values[1 : 1 + depth])
        activations = tuple(ACTIVATIONS[value] for value in open_values[1 + depth : 1 + 2 * depth])
        return widths, activations, bool(open_values[-1])


class _Data:
    """The split: 400 to train, 600 to validate."""

    def __init__(self) -> None:
        pixels, labels = load_digits(return_X_y=True)
        order = np.random.RandomState(0).permutation(len(labels))
        pixels, labels = pixels[order] / 16, labels[order]
        self.train = (pixels[:400], labels[:400])
        self.validate = (pixels[400:1000], labels[400:1000])


_DATA = _Data()


def _act(name: str, x: Array) -> Array:
    table = {"relu": lambda: np.maximum(x, 0), "tanh": lambda: np.tanh(x), "linear": lambda: x}
    return table.get(name, lambda: 1 / (1 + np.exp(-x)))()


def _slope(name: str, y: Array) -> Array | float:
    """The derivative of an activation by its output."""
    table = {"relu": lambda: (y > 0).astype(float), "tanh": lambda: 1 - y * y, "linear": lambda: 1.0}
    return table.get(name, lambda: y * (1 - y))()


class Network:
    """Dense layers, softmax on top; trained by Adam."""

    def __init__(self, widths: tuple[int, ...], activations: tuple[str, ...], skip: bool, seed: int) -> None:
        self._activations, self._skip = activations, skip
        self._chance = np.random.RandomState(seed)
        sizes = [64, *widths]
        self._weights = [self._chance.normal(0, np.sqrt(2 / a), (a, b)) for a, b in itertools.pairwise(sizes)]
        last = widths[-1] + 64 * skip
        self._weights.append(self._chance.normal(0, np.sqrt(1 / last), (last, 10)))
        self._weights += [np.zeros(width) for width in (*widths, 10)]
        self._moments = [(np.zeros_like(each), np.zeros_like(each)) for each in self._weights]
        self._steps = 0

    @property
    def parameters(self) -> int:
        """The number of weights and biases."""
        return sum(each.size for each in self._weights)

    def train(self, pixels: Array, labels: NDArray[np.int64]) -> None:
        """All epochs."""
        for _ in range(EPOCHS):
            order = self._chance.permutation(len(labels))
            for start in range(0, len(labels), BATCH):
                rows = order[start : start + BATCH]
                self._step(pixels[rows], labels[rows])

    def accuracy(self, pixels: Array, labels: NDArray[np.int64]) -> float:
        """The share that is told right."""
        return float((self._forward(pixels)[0].argmax(1) == labels).mean())

    def _forward(self, pixels: Array) -> tuple[Array, list[Array]]:
        depth = len(self._activations)
        outputs = [pixels]
        for n, name in enumerate(self._activations):
            outputs.append(_act(name, outputs[-1] @ self._weights[n] + self._weights[depth + 1 + n]))
        top = np.concatenate([outputs[-1], pixels], axis=1) if self._skip else outputs[-1]
        outputs.append(top)
        return top @ self._weights[depth] + self._weights[-1], outputs

    def _step(self, pixels: Array, labels: NDArray[np.int64]) -> None:
        depth = len(self._activations)
        logits, outputs = self._forward(pixels)
        logits = np.exp(logits - logits.max(1, keepdims=True))
        error = logits / logits.sum(1, keepdims=True)
        error[np.arange(len(labels)), labels] -= 1
        error /= len(labels)
        slopes: list[Array] = [np.empty(0)] * (2 * depth + 2)
        slopes[depth], slopes[-1] = outputs[-1].T @ error, error.sum(0)
        error = (error @ self._weights[depth].T)[:, : outputs[depth].shape[1]]
        for n in range(depth - 1, -1, -1):
            error = error * _slope(self._activations[n], outputs[n + 1])
            slopes[n], slopes[depth + 1 + n] = outputs[n].T @ error, error.sum(0)
            error = error @ self._weights[n].T
        self._adam(slopes)

    def _adam(self, slopes: list[Array]) -> None:
        self._steps += 1
        for n, (slope, (first, second)) in enumerate(zip(slopes, self._moments, strict=True)):
            np.add(first, 0.1 * (slope - first), out=first)
            np.add(second, 0.001 * (slope * slope - second), out=second)
            unbiased = np.sqrt(second / (1 - 0.999**self._steps))
            self._weights[n] = self._weights[n] - RATE * first / (1 - 0.9**self._steps) / (unbiased + 1e-8)


def reward(widths: tuple[int, ...], activations: tuple[str, ...], skip: bool, seed: int) -> float:
    """Train one net: validation accuracy, less for more than MOST_FREE_PARAMETERS parameters."""
    network = Network(widths, activations, skip, seed)
    network.train(*_DATA.train)
    return network.accuracy(*_DATA.validate) * min(1.0, MOST_FREE_PARAMETERS / network.parameters) ** 0.07
