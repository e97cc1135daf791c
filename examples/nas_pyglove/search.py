"""Searches for a small network with PyGlove; run it in as many terminals, or on as many machines, as you like.

Every process that samples under the same name is a worker of one search. What a worker measures goes to Trainyard,
which decides what is tried next; a worker that is killed loses nothing but the network that it was trying.
"""

import os
import sys
from pathlib import Path

import pyglove as pg

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "nas_digits"))
os.environ.setdefault("OMP_NUM_THREADS", "1")

from train import FREE_PARAMETERS, Network, digits

from trainyard.pyglove_backend import search


@pg.members([("width", pg.typing.Int()), ("activation", pg.typing.Str())])
class Layer(pg.Object):
    """One dense layer."""


def layer() -> Layer:
    return Layer(pg.oneof([4, 8, 16, 32]), pg.oneof(["relu", "tanh", "sigmoid", "linear"]))


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "digits"
    pixels, labels = digits()
    space = pg.Dict(
        layers=pg.oneof([pg.List([layer() for _ in range(depth)]) for depth in (1, 2, 3)]),
        skip=pg.oneof([False, True]),
    )
    for found, feedback in pg.sample(space, search("evolution"), num_examples=100, name=name, backend="trainyard"):
        network = Network(
            [each.width for each in found.layers], [each.activation for each in found.layers], found.skip, 0
        )
        for epoch in range(1, 13):
            network.epoch(pixels[:400], labels[:400])
            accuracy = network.accuracy(pixels[400:1000], labels[400:1000])
            if epoch == 4 and accuracy < 0.3:
                break
        if accuracy < 0.3:
            feedback.skip(f"{accuracy:.0%} right after {epoch} epochs")
            print(f"trial {feedback.id:>3}  given up", flush=True)
            continue
        reward = accuracy * min(1.0, FREE_PARAMETERS / network.parameters) ** 0.07
        feedback(reward, metrics={"accuracy": accuracy, "parameters": float(network.parameters)}, step=epoch)
        print(f"trial {feedback.id:>3}  {reward:.4f}", flush=True)
    result = pg.poll_result(name, backend="trainyard")
    best = result.best_trial
    print(f"best of {len(result.trials)}: trial {best.id}, {best.final_measurement.reward:.4f}")
    print(pg.template(space).decode(best.dna))


if __name__ == "__main__":
    main()
