"""The laws of searches, held against every commit and every end: places, numbers, what was learned, and who runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from trainyard.core.errors import NotFound
from trainyard.core.jobs import Decision, Intent, Job
from trainyard.core.runs import RunGroup
from trainyard.core.states import FINAL, JobState
from trainyard.core.trials import Ending, Metric, Stage, Trial
from trainyard.searcher import Past, past, replay
from trainyard.stores.memory import MemoryStore
from trainyard.testing.fake_executor import FakeExecutor
from trainyard.testing.searches import METRIC, plain_search, searcher_named


class SearchLaws:
    """Says what is broken through `tell`."""

    def __init__(self, world: FakeExecutor, tell: Callable[[str], None]) -> None:
        self._world = world
        self._tell = tell
        self._trials: dict[tuple[int, Stage, int], Trial] = {}
        self._final: set[int] = set()

    def on_start(self, group: RunGroup, job: Job) -> None:
        """No program of a trial that is not durable, has ended, or whose search is over."""
        assert job.parent is not None
        trial = self._trials.get((job.parent.job_id, job.parent.stage, job.parent.number))
        if trial is None or trial.ending is not None:
            self._tell(f"{group.run_id} was started for {job.parent}, which is {trial}")
        if job.parent.job_id in self._final:
            self._tell(f"{group.run_id} was started after its search {job.parent.job_id} was over")

    def on_commit(self, job: Job, decision: Decision, store: MemoryStore) -> None:
        """A search's decision is about to be written."""
        search = plain_search(job.spec)
        for trial in decision.trials:
            self._check_change(job, trial)
            self._trials[job.id, trial.stage, trial.number] = trial
        born = {(birth.parent.stage, birth.parent.number) for birth in decision.births if birth.parent}
        asked = {(trial.stage, trial.number) for trial in decision.trials if trial.ending is None}
        if born != asked:
            self._tell(f"search {job.id}: {asked} were asked for and {born} born")
        for stage, most in ((Stage.SEARCH, search.at_once), (Stage.TRAIN, search.train[1] if search.train else 0)):
            mine = self._of(job.id, stage)
            if [trial.number for trial in mine] != list(range(1, len(mine) + 1)):
                self._tell(f"search {job.id}: {stage} trials are {[trial.number for trial in mine]}")
            if sum(trial.ending is None for trial in mine) > most:
                self._tell(f"search {job.id}: more than {most} {stage} trials are open")
            ends = sorted(trial.ended_as for trial in mine if trial.ended_as is not None)
            if ends != list(range(1, len(ends) + 1)):
                self._tell(f"search {job.id}: the ends of {stage} are numbered {ends}")
        if decision.status.state in FINAL:
            self._final.add(job.id)
            self._check_final(job, decision, store)

    def _check_change(self, job: Job, trial: Trial) -> None:
        before = self._trials.get((job.id, trial.stage, trial.number))
        if before is not None and before.ending is not None and before != trial:
            self._tell(f"search {job.id}: ended {before} became {trial}")
        if before is not None and before.point != trial.point:
            self._tell(f"search {job.id}: trial {trial.number} changed its point")
        if job.id in self._final:
            self._tell(f"search {job.id}: {trial.stage} trial {trial.number} was written after its end")

    def _check_final(self, job: Job, decision: Decision, store: MemoryStore) -> None:
        search, state = plain_search(job.spec), decision.status.state
        mine = [*self._of(job.id, Stage.SEARCH), *self._of(job.id, Stage.TRAIN)]
        if any(trial.ending is None for trial in mine):
            self._tell(f"search {job.id} is {state.name} with open trials")
        runs = [one.id for one in MemoryStore.live(store) if one.parent is not None and one.parent.job_id == job.id]
        if runs:
            self._tell(f"search {job.id} is {state.name} while {runs} go on")
        failed = sum(trial.ending is Ending.FAILED for trial in self._of(job.id, Stage.SEARCH))
        if (state is JobState.FAILED) != (failed >= search.failed) and state is not JobState.CANCELLED:
            self._tell(f"search {job.id} is {state.name} with {failed} failures")
        tried = len(self._of(job.id, Stage.SEARCH))
        if state is JobState.SUCCEEDED and tried != search.trials and job.intent is not Intent.FINISH:
            self._tell(f"search {job.id} succeeded after {tried} trials")
        if state is JobState.CANCELLED and job.intent is not Intent.CANCEL and search.timeout_seconds > 1000:
            self._tell(f"search {job.id} was cancelled by nobody")
        self._check_lessons(job)

    def check_end(self, store: MemoryStore, job: Job) -> None:
        """Every ended trial's measurement is what its program really said."""
        for trial in store.trial_history(job.id):
            try:
                run = store.run_of(job.name, trial.stage, trial.of or trial.number)
            except NotFound as error:
                self._tell(error.message)
                continue
            said = [one.exit.report for one in self._world.of(f"{run.id}-{run.status.attempt}") if one.exit.report]
            if (run.status.state is JobState.FAILED) != (trial.ending is Ending.FAILED):
                self._tell(f"search {job.id}: trial {trial.number} is {trial.ending}, its job {run.status.state.name}")
            measured = trial.measurement.metrics[METRIC] if trial.measurement else None
            if measured is not None and float(json.loads(said[0])[METRIC]) != measured:
                self._tell(f"search {job.id}: trial {trial.number} has {measured}, and its program said {said}")

    def _check_lessons(self, job: Job) -> None:
        """Whatever crashed meanwhile, each point is what a searcher proposes that lived through the same in peace."""
        plan, mine = plain_search(job.spec).plan(), self._of(job.id, Stage.SEARCH)
        for trial in mine:
            searcher = searcher_named(plan.searcher)(plan.space, plan.seed or 0)
            replay(searcher, [_known_to(trial, one, plan.metric) for one in mine[: trial.number - 1]])
            if searcher.propose() != trial.point:
                self._tell(f"search {job.id}: trial {trial.number} is not what follows from its history")

    def _of(self, job_id: int, stage: Stage) -> list[Trial]:
        return [self._trials[key] for key in sorted(self._trials) if key[:2] == (job_id, stage)]


def _known_to(asked: Trial, other: Trial, metric: Metric) -> Past:
    """What was known of the other trial when this one was asked for."""
    line = past(other, metric)
    if other.ending is not Ending.CUT_SHORT and (other.ended_as or 0) <= asked.asked_after:
        return line
    return replace(line, ended_as=None, reward=None)
