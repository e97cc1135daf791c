"""A worker's side of a search whose trials are claimed (docs/nas.md); it outlives a restart of the service."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from trainyard.cli.connection import Target
from trainyard.cli.parser import DEFAULT_ENDPOINT, DEFAULT_PROJECT, DEFAULT_REGION
from trainyard.cli.problems import Refused, Unreachable
from trainyard.cli.service_api import FINAL_STATES, NAS_JOB, OWN, Job, ServiceApi

PATIENCE_SECONDS: Final = 600.0
"""How long a worker waits for a service that does not answer before it gives up."""
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 5.0
# A search that has just heard of a result asks for the next trial at once.
_SOON_SECONDS: Final = 0.005
HEARTBEAT_SECONDS: Final = 15.0
_T = TypeVar("_T")
_CLAIMED: Final = {"trainyard-trials": "claimed"}
# The API wants to know what a trial runs; of a claimed one the service runs nothing.
_NOTHING_RUN: Final[Mapping[str, Any]] = {
    "workerPoolSpecs": [
        {
            "machineSpec": {"machineType": "n1-standard-4"},
            "replicaCount": "1",
            "containerSpec": {"imageUri": "claimed"},
        }
    ]
}


@dataclass(frozen=True, slots=True)
class Claimed:
    """A trial that is ours until its lease runs out. `parameters` is the text of nas_params_str."""

    number: int
    parameters: str


def target_of(endpoint: str | None = None, project: str | None = None, region: str | None = None) -> Target:
    """Where the service is: as told, or as the command line takes it from the environment."""
    environment = os.environ
    return Target(
        (endpoint or environment.get("TRAINYARD_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/"),
        project or environment.get("GOOGLE_CLOUD_PROJECT") or DEFAULT_PROJECT,
        region or environment.get("TRAINYARD_REGION") or DEFAULT_REGION,
        environment.get("TRAINYARD_TOKEN", ""),
    )


def job_of(name: str, search_space: str, metric: str, labels: Mapping[str, str], counts: tuple[int, int]) -> Job:
    """The NasJob of a claimed search; `counts`: how many trials, and how many of them may be open at a time."""
    most, at_once = counts
    trial_spec = {
        "maxTrialCount": most,
        "maxParallelTrialCount": min(most, at_once),
        "maxFailedTrialCount": most,
        "searchTrialJobSpec": dict(_NOTHING_RUN),
    }
    algorithm = {"metric": {"metricId": metric, "goal": "MAXIMIZE"}, "searchTrialSpec": trial_spec}
    return {
        "displayName": name,
        "labels": {**_CLAIMED, **labels},
        "nasJobSpec": {"searchSpaceSpec": search_space, "multiTrialAlgorithmSpec": algorithm},
    }


class Claims:
    """One search, as one worker sees it. Not for several threads; a heartbeat has a connection of its own."""

    def __init__(self, target: Target, name: str, worker: str) -> None:
        """`name` is the job's full name, `worker` names who claims: one trial at a time is theirs."""
        self.name = name
        self._api = ServiceApi(target, NAS_JOB)
        self._worker = worker

    def claim(self) -> Claimed | None:
        """The next trial, or the one that is still ours; waits until there is one. None: there will be none."""
        pause = _SOON_SECONDS
        while True:
            answer = self._post(f"{self.name}:claim", {})
            if trial := answer.get("trial"):
                return Claimed(int(trial["id"]), str(trial["parameters"]))
            if "done" in answer:
                return None
            time.sleep(min(pause, float(answer["wait"])))
            pause *= 2

    def report(self, number: int, **told: Any) -> str:
        """Tell what became of a trial (`metrics` and `stepCount`, or `infeasible`), or only that we are still at it.

        Returns the state that the trial is in. Raises Refused where it is ours no more.
        """
        return str(self._post(f"{self.name}/nasTrialDetails/{number}:report", told).get("state", ""))

    def finish(self) -> None:
        """Ask for no further trials; those that are claimed may still be reported."""
        self._post(f"{self.name}:finish", {})

    def job(self) -> Job:
        """The job with its trials."""
        return patient(lambda: self._api.get(self.name))

    def details(self) -> Iterator[dict[str, Any]]:
        """The details of the trials that were measured."""
        return self._api.pages(f"{self.name}/nasTrialDetails", "nasTrialDetails", {"pageSize": "1000"})

    def detail(self, number: int) -> dict[str, Any]:
        """The detail of one trial."""
        return patient(lambda: self._api.get(f"{self.name}/nasTrialDetails/{number}"))

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """All of these may be said twice, so a lost answer is asked for again."""
        told = {"worker": self._worker, **body}
        answer = patient(lambda: self._api.connection.call("POST", f"{OWN}/{path}", body=told))
        return answer if isinstance(answer, dict) else {}


def join(target: Target, name: str, job: Callable[[], Job]) -> str:
    """The full name of the claimed search called `name`, made from `job` where there is none yet.

    Of several that want to make it at once all get the same one: jobs become visible in the order of their ids, so
    everybody who made one finds the oldest; the others go again.
    """
    api = ServiceApi(target, NAS_JOB)
    if found := patient(lambda: _oldest(api, name)):
        return found
    made = str(patient(lambda: api.create(job()))["name"])
    found = patient(lambda: _oldest(api, name)) or made
    if found != made:
        patient(lambda: _remove(api, made))
    return found


def find(target: Target, name: str) -> str:
    """The full name of a search given by id, full name or display name. Raises Problem where there is none."""
    api = ServiceApi(target, NAS_JOB)
    return patient(lambda: _oldest(api, name) or api.name_of(name))


def _oldest(api: ServiceApi, name: str) -> str:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    (label, value), *_ = _CLAIMED.items()
    found = api.jobs(f'displayName="{quoted}" AND labels.{label}={value}')
    names = [str(each["name"]) for each in found if each.get("displayName") == name]
    return min(names, key=lambda each: int(each.rpartition("/")[2]), default="")


def _remove(api: ServiceApi, name: str) -> None:
    """Take a search away that nobody will work on; one that is not gone in time stays, cancelled."""
    api.cancel(name)
    deadline = time.monotonic() + _LONGEST_PAUSE_SECONDS
    while api.get(name).get("state") not in FINAL_STATES and time.monotonic() < deadline:
        time.sleep(_FIRST_PAUSE_SECONDS)
    with suppress(Refused):
        api.delete(name)


def patient(ask: Callable[[], _T]) -> _T:
    """The answer, asked for again while the service is away. Raises Unreachable after PATIENCE_SECONDS."""
    deadline, pause = time.monotonic() + PATIENCE_SECONDS, _FIRST_PAUSE_SECONDS
    while True:
        try:
            return ask()
        except (Unreachable, Refused) as problem:
            is_away = isinstance(problem, Unreachable) or getattr(problem, "status", "") == "UNAVAILABLE"
            if not is_away or time.monotonic() > deadline:
                raise
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


class Heartbeat:
    """Says that a worker is still at its trial, for as long as somebody holds on to this."""

    def __init__(self, claims: Claims, target: Target, worker: str) -> None:
        """Nothing is said until `begin`."""
        self.number = 0
        self.is_over = False
        mine = weakref.ref(self)
        beat = Claims(target, claims.name, worker)
        threading.Thread(target=_beat, args=(mine, beat), name="trainyard heartbeat", daemon=True).start()


def _beat(of: weakref.ref[Heartbeat], claims: Claims) -> None:
    while True:
        time.sleep(HEARTBEAT_SECONDS)
        heartbeat = of()
        if heartbeat is None:
            return
        number = heartbeat.number
        try:
            state = claims.report(number) if number else "ACTIVE"
        except (Refused, Unreachable):
            state = "STOPPING"
        heartbeat.is_over = heartbeat.number == number and state not in ("ACTIVE", "REQUESTED")
        del heartbeat
