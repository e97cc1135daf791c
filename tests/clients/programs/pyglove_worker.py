"""A user's script that samples under one name with others: `NAME MODE [COUNT]`; prints what it saw as JSON."""

from __future__ import annotations

import json
import sys
import time

import pyglove as pg

from trainyard.pyglove_backend import search

ONE = pg.oneof if hasattr(pg, "oneof") else pg.one_of
SOME = pg.manyof if hasattr(pg, "manyof") else pg.sublist_of
RANDOM = pg.geno.Random if hasattr(pg.geno, "Random") else pg.generators.Random


def space() -> pg.Dict:
    block = ONE(["plain", pg.Dict(k=ONE([3, 5]), se=ONE([0.0, 0.25]))])
    return pg.Dict(stem=ONE([8, 16, 32]), block=block, pick=SOME(2, [10, 20, 30]))


def reward(network: pg.Dict) -> float:
    return float(network.stem + sum(network.pick)) + (0.0 if network.block == "plain" else network.block.se)


def sampled(name: str, count: int, algorithm: object = None, **more: object) -> object:
    return pg.sample(space(), algorithm or search(seed=1), num_examples=count, name=name, backend="trainyard", **more)


def whole(name: str, count: int) -> dict:
    """Skips what is plain, measures the others in two steps."""
    seen, again = [], []
    for network, feedback in sampled(name, count):
        seen.append(feedback.id)
        if feedback.id == 2 and not again:
            again.append(feedback.id)  # neither done nor skipped: the same one comes again
            continue
        if network.block == "plain":
            feedback.skip("plain blocks are known to be bad")
        else:
            feedback.add_measurement(0.0, step=1)
            feedback.add_measurement(reward(network), metrics={"k": float(network.block.k)}, step=2)
            feedback.done()
    result = pg.poll_result(name, backend="trainyard")
    best = result.best_trial
    kept = [each.final_measurement.metrics for each in result.trials if not each.infeasible]
    return {
        "seen": seen,
        "trials": [each.id for each in result.trials],
        "infeasible": sum(each.infeasible for each in result.trials),
        "best": best.final_measurement.reward,
        "best_again": reward(pg.template(space()).decode(best.dna)),
        "step": best.final_measurement.step,
        "k": sorted({metrics["k"] for metrics in kept}),
        "active": result.is_active,
    }


def shared(name: str, count: int) -> dict:
    """One of several workers."""
    seen = []
    for network, feedback in sampled(name, count, parallel=6):
        seen.append(feedback.id)
        time.sleep(0.02)
        feedback(reward(network))
    return {"seen": seen}


def ended(name: str, count: int) -> dict:
    """Ends the loop for all after the third."""
    seen = []
    for network, feedback in sampled(name, count):
        seen.append(feedback.id)
        feedback(reward(network))
        if len(seen) == 3:
            feedback.end_loop()
    return {"seen": seen}


def grouped(name: str, count: int) -> dict:
    """Of a group: says which trial it has and, at its first life, waits to be killed."""
    for network, feedback in sampled(name, count, group=7):
        print(json.dumps({"has": feedback.id}), flush=True)
        if sys.argv[4:] == ["first"]:
            time.sleep(600)
        feedback(reward(network))
        return {"id": feedback.id}
    return {}


def refused(name: str, _count: int) -> dict:
    """What can't be asked for, and what is said."""
    said = {}
    evolution = type("Evolution", (RANDOM,), {})
    for case, ask in {
        "algorithm": lambda: sampled(name + "a", 3, evolution()),
        "objectives": lambda: sampled(name + "b", 3, metrics_to_optimize=["reward", "cost"]),
        "space": lambda: pg.sample(ONE([1, 2]), search(), num_examples=3, name=name, backend="trainyard"),
        "result": lambda: pg.poll_result(name + "nothing", backend="trainyard"),
    }.items():
        if case == "space":
            next(sampled(name, 3))
        try:
            next(ask())
        except ValueError as error:
            said[case] = str(error)
    for network, feedback in sampled(name + "c", 2, RANDOM(seed=3)):
        if feedback.id == 1:
            feedback(float("nan"))
            continue
        for case, ask in {"metadata": feedback.set_metadata, "links": feedback.add_link}.items():
            try:
                ask("a", "b")
            except NotImplementedError as error:
                said[case] = str(error)
        feedback(reward(network))
        try:
            feedback.add_measurement(1.0)
        except RuntimeError as error:
            said["late"] = str(error)
    said["nan"] = pg.poll_result(name + "c", backend="trainyard").trials[0].infeasible
    return said


if __name__ == "__main__":
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 12
    print(json.dumps(globals()[sys.argv[2]](sys.argv[1], count)))
