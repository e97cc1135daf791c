"""Speaks MLflow for the service: a request a line on stdin, its answer a line on stdout, until stdin ends.

A request is a JSON object with `op`, the name of a method of Calls, and its arguments; an answer is {"ok": value} or
{"error": sentence}. The library takes seconds to import and may wait for its server: here neither is in anybody's way.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

_MOST_METRICS: Final = 1000  # of one request of MLflow's REST API (log-batch)
_MOST_PARAMS: Final = 100
_LONGEST_PARAM: Final = 6000
_NOT_IN_KEYS: Final = re.compile(r"[^\w\-. :/]")


class Calls:
    """What can be asked. Each may be asked again."""

    def __init__(self, uri: str) -> None:
        """Nothing is sent yet."""
        self._client = MlflowClient(uri)

    def greet(self) -> None:
        """Have the library loaded, the server reached, the tables of a new database made."""
        self._client.search_experiments(max_results=1)

    def begin(self, experiment: str, run: str, params: dict[str, str], tags: dict[str, str]) -> str:
        """The id of the experiment's run of that name, made where there is none; it is running, with these words."""
        number = self._experiment(experiment)
        found = self._client.search_runs([number], f"attributes.run_name = '{run}'", ViewType.ACTIVE_ONLY, 1)
        if found:
            run_id = found[0].info.run_id
            self._client.update_run(run_id, status="RUNNING")
        else:
            run_id = self._client.create_run(number, run_name=run).info.run_id
        self._client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])
        self._log_params(run_id, params, {} if not found else found[0].data.params)
        return str(run_id)

    def metrics(self, run_id: str) -> list[str]:
        """The names of the metrics that the run has."""
        return list(self._client.get_run(run_id).data.metrics)

    def log(self, run_id: str, points: Sequence[tuple[str, int, int, float]]) -> None:
        """Add points: metric, step, time in milliseconds, value."""
        entities = [Metric(_key(name), value, time_ms, step) for name, step, time_ms, value in points]
        for start in range(0, len(entities), _MOST_METRICS):
            self._client.log_batch(run_id, metrics=entities[start : start + _MOST_METRICS])

    def end(self, run_id: str, status: str, ended_ms: int) -> None:
        """The run has ended so: FINISHED, FAILED or KILLED."""
        self._client.set_terminated(run_id, status, ended_ms)

    def _experiment(self, name: str) -> str:
        known = self._client.get_experiment_by_name(name)
        if known is None:
            return str(self._client.create_experiment(name))
        if known.lifecycle_stage != "active":
            raise MlflowException(f"the experiment {name!r} is deleted; restore it, or name another one")
        return str(known.experiment_id)

    def _log_params(self, run_id: str, params: dict[str, str], known: dict[str, str]) -> None:
        """A parameter can't be changed: what a resumed run says of itself stays."""
        fresh = [Param(_key(name), text[:_LONGEST_PARAM]) for name, text in params.items() if _key(name) not in known]
        for start in range(0, len(fresh), _MOST_PARAMS):
            self._client.log_batch(run_id, params=fresh[start : start + _MOST_PARAMS])


def _key(name: str) -> str:
    """A name as MLflow allows it."""
    return _NOT_IN_KEYS.sub("_", name)[:250]


def main() -> None:
    """The only argument is the tracking URI."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what the library prints must not come between answers
    calls = Calls(sys.argv[1])
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        began = time.monotonic()
        try:
            answer: dict[str, Any] = {"ok": getattr(calls, request.pop("op"))(**request)}
        except Exception as error:  # whatever the library raises: the service hears it, and the next request is served
            answer = {"error": f"{error}"[:1000], "seconds": round(time.monotonic() - began, 3)}
        out.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
