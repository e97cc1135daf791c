"""PyGlove's tuning backend over a NasJob whose trials are claimed: feedback goes to the service, points come from it.

PyGlove 0.1.0 asks a factory for a backend and sets it up; newer ones make the backend in one go. Both are served here.
"""

from __future__ import annotations

import math
import os
import socket
import uuid
from collections.abc import Mapping
from typing import Any, Final

import pyglove as pg

from trainyard.cli.claims import Claimed, Claims, Heartbeat, find, job_of, join, target_of
from trainyard.cli.problems import Problem, Refused
from trainyard.core.dna import nested
from trainyard.core.parameters import point_of_parameters
from trainyard.core.space import Space
from trainyard.core.space_text import read_space
from trainyard.pyglove_backend.result import SearchResult, measurement

SEARCHERS: Final = ("reinforce", "evolution", "model-based", "random", "grid")
_OF_PYGLOVE: Final[Mapping[str, str]] = {"Random": "random", "Sweeping": "grid"}
# What pg.sample hands on, in the order in which PyGlove 0.1.0 does.
_ASKED: Final = (
    "name",
    "group",
    "dna_spec",
    "algorithm",
    "metrics_to_optimize",
    "early_stopping_policy",
    "num_examples",
)
_UNBOUNDED: Final = 2**31 - 1  # maxTrialCount is an int32
_AT_ONCE: Final = 10


@pg.members(
    [
        ("searcher", pg.typing.Enum("reinforce", list(SEARCHERS)), "How the service is to search."),
        ("seed", pg.typing.Int().noneable(), "Same seed, same rewards in the same order: same proposals."),
    ]
)
class _InTheService(pg.DNAGenerator):
    """Stands where pg.sample wants an algorithm; the service has the real one."""

    def _propose(self) -> Any:
        raise NotImplementedError('The search runs in the service; pass backend="trainyard" to pg.sample.')


def search(searcher: str = "reinforce", seed: int | None = None) -> Any:
    """The `algorithm` for pg.sample: one of SEARCHERS, run by the service."""
    return _InTheService(searcher=searcher, seed=seed)


def _labels(algorithm: Any) -> dict[str, str]:
    """Which searcher an algorithm means. Raises ValueError for one that the service does not have."""
    kind = type(algorithm).__name__
    searcher = algorithm.searcher if isinstance(algorithm, _InTheService) else _OF_PYGLOVE.get(kind)
    if searcher is None:
        ours = ", ".join(repr(each) for each in SEARCHERS)
        raise ValueError(
            f"With backend='trainyard' the service searches, and it does not have {kind}: pass "
            f"trainyard.pyglove_backend.search(…) with one of {ours}, pg.geno.Random() or pg.geno.Sweeping()."
        )
    seed = getattr(algorithm, "seed", None)
    return {"trainyard-searcher": searcher} | ({} if seed is None else {"trainyard-seed": str(seed)})


class _Feedback(pg.tuning.Feedback):
    """One claimed trial."""

    def __init__(self, backend: _Backend, claimed: Claimed, dna: Any, metric: str) -> None:
        super().__init__([metric])
        self._backend = backend
        self._metric = metric
        self._trial = pg.tuning.Trial(
            id=claimed.number, dna=dna, status="PENDING", created_time=0, metadata={}, related_links={}
        )

    @property
    def id(self) -> int:
        """The trial's number, from 1."""
        return int(self._trial.id)

    @property
    def dna(self) -> Any:
        """What is tried."""
        return self._trial.dna

    @property
    def is_pending(self) -> bool:
        """Whether neither `done` nor `skip` was called yet."""
        return bool(self._trial.status == "PENDING")

    @property
    def status(self) -> str:
        """PyGlove's word for the state."""
        return str(self._trial.status)

    @property
    def checkpoint_to_warm_start_from(self) -> None:
        """There is none."""
        return

    def get_trial(self) -> Any:
        """The trial with what this worker has measured."""
        return self._trial

    def _add_measurement(
        self, reward: float | None, metrics: Any, step: int, checkpoint_path: str | None, elapse_secs: float
    ) -> None:
        if not self.is_pending:
            raise _race(f"Trial {self.id} is {self.status}; measurements can only be added while it is PENDING.")
        self._trial.measurements.append(measurement(reward, dict(metrics), step, elapse_secs, checkpoint_path))

    def done(self, metadata: Any = None, related_links: Any = None) -> None:
        """Report the last measurement. Raises RuntimeError (a RaceConditionError where there is one) if it is not ours.

        Metadata and links are not kept: raises NotImplementedError where any is given.
        """
        if metadata or related_links:
            raise _not_kept("metadata and links")
        if not self.is_pending:
            return
        if not self._trial.measurements:
            raise ValueError(f"At least one measurement should be added for trial {self.id}.")
        last = self._trial.measurements[-1]
        if math.isfinite(last.reward):
            self._end(metrics=dict(last.metrics or {}) | {self._metric: last.reward}, stepCount=last.step)
        else:
            self._end(
                infeasible=f"The worker measured {last.reward} for {self._metric!r}; only a finite number counts."
            )
            self._trial.infeasible = True
        self._trial.final_measurement = last

    def skip(self, reason: str | None = None) -> None:
        """The trial is infeasible, which teaches the search."""
        if self.is_pending:
            self._end(infeasible=reason or "The worker skipped it.")
            self._trial.infeasible = True
            self._trial.final_measurement = measurement(0.0, {}, 0, 0.0)

    def _end(self, **told: Any) -> None:
        self._trial.status = "COMPLETED"
        self._backend.tell(self.id, told)

    def should_stop_early(self) -> bool:
        """Whether the policy says so, or the search is over."""
        return self._backend.stops_early(self._trial)

    def end_loop(self) -> None:
        """No worker of the search gets another trial; those under way may still be reported."""
        self._backend.finish()

    def set_metadata(self, *_: Any, **__: Any) -> None:
        """Raises NotImplementedError."""
        raise _not_kept("metadata")

    def get_metadata(self, *_: Any, **__: Any) -> None:
        """None: there is none."""
        return

    def add_link(self, *_: Any, **__: Any) -> None:
        """Raises NotImplementedError."""
        raise _not_kept("links")


def _not_kept(what: str) -> NotImplementedError:
    return NotImplementedError(f"The trainyard backend keeps no {what} of trials; write them where your job writes.")


def _race(sentence: str) -> RuntimeError:
    error: type[RuntimeError] = getattr(pg.tuning, "RaceConditionError", RuntimeError)
    return error(sentence)


class _Backend(pg.tuning.Backend):
    """One worker of a search."""

    def __init__(self, **asked: Any) -> None:
        """As `setup`, where PyGlove makes and sets up in one go; keywords of pg.sample go to `_open` below."""
        self._keywords = {key: asked.pop(key) for key in ("endpoint", "project", "region", "parallel") if key in asked}
        if asked:
            self.setup(**asked)

    def setup(self, *given: Any, **named: Any) -> None:
        """Join the search that these ask for (see _ASKED), or make it. Raises ValueError on what can't be asked for."""
        asked = dict(zip(_ASKED, given, strict=False)) | named
        name, group, dna_spec = asked["name"], asked["group"], asked["dna_spec"]
        metrics, policy = asked["metrics_to_optimize"], asked.get("early_stopping_policy")
        if len(metrics) != 1:
            raise ValueError(f"A search has one metric here, not {list(metrics)!r}.")
        self._metric = str(metrics[0])
        self._dna_spec = dna_spec
        self._policy = policy
        if policy is not None and policy.dna_spec is None:
            policy.setup(dna_spec)
        text = str(dna_spec.to_json_str(hide_default_values=True))
        self._space: Space = read_space(text)
        unique = uuid.uuid4().hex[:12]
        worker = f"{socket.gethostname()}-{os.getpid()}-{unique}" if group is None else f"group-{group}"
        most = asked.get("num_examples") or _UNBOUNDED
        self._open(name or f"pyglove-{unique}", text, _labels(asked["algorithm"]), most, worker)
        self._feedback: _Feedback | None = None

    def _open(self, name: str, text: str, labels: Mapping[str, str], most: int, worker: str) -> None:
        at_once = int(self._keywords.pop("parallel", _AT_ONCE))
        target = target_of(**self._keywords)
        full = join(target, name, lambda: job_of(name, text, self._metric, labels, (most, at_once)))
        self._claims = Claims(target, full, worker)
        job = self._claims.job()
        if read_space(str(job.get("nasJobSpec", {}).get("searchSpaceSpec", ""))) != self._space:
            raise ValueError(f"The search {name!r} ({full}) has another search space; give this one another name.")
        self._heartbeat = Heartbeat(self._claims, target, worker)

    def next(self) -> _Feedback:
        """The next trial, or the one that was neither done nor skipped; StopIteration once there is none."""
        if self._feedback is None or not self._feedback.is_pending:
            claimed = self._claims.claim()
            if claimed is None:
                raise StopIteration
            point = point_of_parameters(self._space, claimed.parameters)
            dna = pg.DNA(nested(self._space, point))
            dna.use_spec(self._dna_spec)
            self._feedback = _Feedback(self, claimed, dna, self._metric)
            self._heartbeat.number = claimed.number
        return self._feedback

    def tell(self, number: int, told: Mapping[str, Any]) -> None:
        """What became of a trial; raises RuntimeError where it is ours no more."""
        self._heartbeat.number = 0
        try:
            self._claims.report(number, **told)
        except Refused as refusal:
            raise _race(refusal.sentence) from None

    def stops_early(self, trial: Any) -> bool:
        """See _Feedback.should_stop_early."""
        if self._heartbeat.is_over:
            return True
        if self._policy is None or not trial.measurements:
            return False
        return bool(self._policy.should_stop_early(trial))

    def finish(self) -> None:
        """See _Feedback.end_loop."""
        self._claims.finish()

    @classmethod
    def poll_result(cls, name: str, **where: Any) -> SearchResult:
        """What the search called `name` has found so far; `where`: endpoint, project, region."""
        target = target_of(**where)
        try:
            return SearchResult(Claims(target, find(target, name), "nobody"), name)
        except Problem as problem:
            raise ValueError(problem.sentence) from None


def _register() -> None:
    if hasattr(pg.tuning.Backend, "create"):
        pg.tuning.add_backend("trainyard")(_Backend)
        return

    class _Factory(pg.tuning.BackendFactory):
        """What PyGlove 0.1.0 registers."""

        def create(self, **keywords: Any) -> _Backend:
            """A backend that is set up next."""
            return _Backend(**keywords)

        def poll_result(self, name: str, **where: Any) -> SearchResult:
            """See _Backend.poll_result."""
            return _Backend.poll_result(name, **where)

    pg.tuning.add_backend("trainyard")(_Factory)


_register()
