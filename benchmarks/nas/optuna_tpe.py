"""Optuna's TPE with its defaults, as a contestant; needs optuna."""

from __future__ import annotations

import optuna

from trainyard.core.points import filled
from trainyard.core.space import CLOSED, Point, Space


class Tpe:
    """Define by run: closed decisions are not suggested."""

    def __init__(self, space: Space, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space = space
        sampler = optuna.samplers.TPESampler(seed=seed)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)

    def ask(self) -> tuple[optuna.Trial, Point]:
        """See Contestant."""
        trial = self._study.ask()
        values = [CLOSED] * len(self._space.decisions)

        def pick(number: int, among: object) -> int:
            del among
            return int(trial.suggest_categorical(f"d{number}", list(range(self._space.options[number]))))

        filled(self._space, values, 0, len(values), pick)
        return trial, tuple(values)

    def tell(self, handle: optuna.Trial, value: float | None) -> None:
        """See Contestant."""
        if value is None:
            self._study.tell(handle, state=optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(handle, value)


def open_contestant(space: Space, seed: int) -> Tpe:
    """A study in memory."""
    return Tpe(space, seed)
