"""A peer as an engine: `python -m benchmarks.nas.engine_peers PEER PROGRAM COUNT AT_ONCE` prints its seconds.

Optuna keeps its trials in SQLite, as it advises for more than one process; pyglove has memory only. Both start each
trial's program themselves, in as many threads as trials may run at a time; 42 decisions.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.nas.problems import Chain


def ran(program: str, path: Path) -> float:
    """Run a trial's program, read what it measured."""
    environment = {**os.environ, "CLOUD_ML_HP_METRIC_FILE": str(path)}
    subprocess.run(["sh", "-c", program], env=environment, check=True)
    return float(json.loads(path.read_text())["m"])


def optuna_tpe(program: str, count: int, at_once: int, folder: Path) -> None:
    import optuna  # noqa: PLC0415 - in its own environment only

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    options = Chain(0).space.options
    study = optuna.create_study(direction="maximize", storage=f"sqlite:///{folder}/study.db")

    def objective(trial: optuna.Trial) -> float:
        for number, choices in enumerate(options):
            trial.suggest_categorical(f"d{number}", list(range(choices)))
        return ran(program, folder / str(trial.number))

    study.optimize(objective, n_trials=count, n_jobs=at_once)


def pyglove_evolution(program: str, count: int, at_once: int, folder: Path) -> None:
    import pyglove as pg  # noqa: PLC0415 - in its own environment only

    options = Chain(0).space.options
    space = pg.Dict(**{f"d{number}": pg.oneof(list(range(choices))) for number, choices in enumerate(options)})
    algorithm = pg.evolution.regularized_evolution(population_size=50, tournament_size=10)

    def work() -> None:
        for _, feedback in pg.sample(space, algorithm, num_examples=count, name="engine"):
            feedback(ran(program, folder / str(feedback.id)))

    workers = [threading.Thread(target=work) for _ in range(at_once)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def main() -> None:
    peer, program, count, at_once = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        globals()[peer](program, count, at_once, Path(folder))
        print(time.perf_counter() - began)


if __name__ == "__main__":
    main()
