"""NasJob as a kind: what a request for one means, how it reads back with its trials, and what comes next for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

from trainyard.contract.pool import API_PACKAGE, STORED_VERSION, message_class
from trainyard.core.jobs import Decision, Job, Spawn
from trainyard.core.space import Point
from trainyard.core.trials import OpenTrial, Stage, Trial, TrialState
from trainyard.kind import Draft, Moment
from trainyard.kinds.machines import Machines
from trainyard.kinds.nas_job import effects, render, resume, rules, trial_kind
from trainyard.kinds.nas_job.conduct import Scene, conduct
from trainyard.kinds.nas_job.live import LiveSearches
from trainyard.kinds.nas_job.memo import Memo
from trainyard.kinds.nas_job.plan import SearchPlan, plan_of
from trainyard.kinds.nas_job.programless import Programless
from trainyard.kinds.nas_job.trial_spec import trial_spec
from trainyard.kinds.persistent import check_exists
from trainyard.kinds.resource_message import message_of, outline_of, stamp_job
from trainyard.kinds.resource_rules import without_output
from trainyard.kinds.running import spec as running
from trainyard.kinds.running.bereft import end_search, is_bereft
from trainyard.kinds.worker_pools import accounts_named
from trainyard.searcher import Open

_Labels = tuple[tuple[str, str], ...]


class NasJobKind(Programless):
    """Keeps the promises kind.Kind and kind.Searches for nasJobs."""

    collection = "nasJobs"
    message_name = "NasJob"
    fields_of_spec = frozenset({"nas_job_spec", "encryption_spec", "enable_restricted_image_training"})
    fields_never_set = frozenset({"satisfies_pzs", "satisfies_pzi"})
    fields_while_running: frozenset[str] = frozenset()

    def __init__(
        self,
        open_searcher: Callable[[str], Open],
        machines: Machines | None = None,
        default_searcher: str = "reinforce",
        *,
        contained: bool = False,
    ) -> None:
        """`open_searcher` finds a keeper of the Searcher promise by name; `default_searcher` is a label's value.

        `contained`: whether trials may run in containers, where more fields have their effect.
        """
        self._contained = contained
        self._machines = machines or Machines.known()
        self._default_searcher = default_searcher
        self._class: Any = message_class(f"{API_PACKAGE}.{STORED_VERSION}.{self.message_name}")
        self._detail_class: Any = message_class(f"{API_PACKAGE}.{STORED_VERSION}.NasTrialDetail")
        # A job is asked about at each of its steps. What these give is only read.
        self._spec = lru_cache(maxsize=32)(self._read_spec)
        self._plan = lru_cache(maxsize=32)(self._read_plan)
        self._searches = LiveSearches(open_searcher)

    def draft(self, message: Any) -> Draft:
        """Check a NasJob message; raises InvalidArgument with all faults, or says what cannot be kept here."""
        asked = without_output(message, rules.OUTPUT_ONLY)
        rules.check(asked, self._machines, running.priority_faults(asked.labels))
        check_exists(asked, self._machines)
        algorithm = asked.nas_job_spec.multi_trial_algorithm_spec
        search, train = algorithm.search_trial_spec.search_trial_job_spec, algorithm.train_trial_spec
        return Draft(
            display_name=asked.display_name,
            labels=dict(asked.labels),
            key=asked.encryption_spec.kms_key_name,
            outline=outline_of(asked),
            spec=asked.SerializeToString(deterministic=True),
            priority=running.priority_of(asked.labels, search),
            notes=effects.kept_in_part(asked, contained=self._contained),
            run_as=accounts_named(search, train.train_trial_job_spec),
        )

    def render(self, job: Job) -> Any:
        """The NasJob message of a stored job, without its trials."""
        message = message_of(self._class, job)
        algorithm = message.nas_job_spec.multi_trial_algorithm_spec
        running.complete(algorithm.search_trial_spec.search_trial_job_spec)
        if algorithm.HasField("train_trial_spec"):
            running.complete(algorithm.train_trial_spec.train_trial_job_spec)
        stamp_job(message, job)
        return message

    # Searches

    def conduct(
        self, job: Job, trials: Sequence[OpenTrial], history: Callable[[], Sequence[Trial]], moment: Moment
    ) -> Decision:
        """What comes next; the search that is kept in memory is always what a replay of `history` would give."""
        if job.is_final:
            return Decision(job.status)
        if is_bereft(job):
            self._searches.forget(job.id)
            return end_search(job, trials, moment.now_us)
        plan, memo = self._plan_of(job), Memo.parse(job.status.memo)
        plan = replace(plan, searcher=memo.searcher or plan.searcher)
        search = self._searches.of(job, plan, memo, history)
        decision = conduct(Scene(job, plan, trials, search, partial(self._spawn, job, plan), moment))
        if decision.status.end_time_us is not None:
            self._searches.forget(job.id)
        return decision

    def resumes(self, message: Any, job_name_prefix: str) -> str:
        """See Searches."""
        given = message.nas_job_spec.resume_nas_job_id
        return resume.name_of(given, job_name_prefix) if given else ""

    def resumed(self, message: Any, before: Job) -> Any:
        """See Searches."""
        rules.raise_resume_faults(message.nas_job_spec)
        return resume.completed(message, self._class.FromString(before.spec), before)

    def render_whole(self, job: Job, trials: Sequence[Trial]) -> Any:
        """See Searches."""
        message = self.render(job)
        render.put_output(message, trials)
        return message

    def render_trial(self, job: Job, search: Trial, train: Trial | None) -> Any:
        """See Searches."""
        message = self._detail_class()
        render.put_detail(
            message, f"{job.name}/nasTrialDetails/{search.number}", self._plan_of(job).space, search, train
        )
        return message

    def is_claimed(self, job: Job) -> bool:
        """See Searches."""
        return self._plan_of(job).claimed

    def metric_of(self, job: Job) -> str:
        """See Searches."""
        return self._plan_of(job).metric.name

    def best_first(self, job: Job, trials: Sequence[Trial]) -> list[Trial]:
        """See Searches."""
        metric = self._plan_of(job).metric
        rewards = {
            trial.number: metric.reward(trial.measurement)
            for trial in trials
            if trial.stage is Stage.SEARCH and trial.state is TrialState.SUCCEEDED
        }
        measured = [trial for trial in trials if trial.stage is Stage.SEARCH and rewards.get(trial.number) is not None]
        return sorted(measured, key=lambda trial: (-(rewards[trial.number] or 0.0), trial.number))

    def _spawn(self, job: Job, plan: SearchPlan, stage: Stage, number: int, point: Point) -> Spawn:
        algorithm = self._spec(job.spec).multi_trial_algorithm_spec
        stage_spec = (
            algorithm.search_trial_spec.search_trial_job_spec
            if stage is Stage.SEARCH
            else algorithm.train_trial_spec.train_trial_job_spec
        )
        return Spawn(
            collection=trial_kind.COLLECTION,
            stage=stage,
            number=number,
            display_name=f"{job.display_name} {stage} {number}",
            spec=trial_spec(stage_spec, plan.space, point, number, plan.metric.name),
            priority=job.priority,
        )

    def _plan_of(self, job: Job) -> SearchPlan:
        return self._plan(job.spec, tuple(sorted(job.labels.items())))

    def _read_plan(self, text: bytes, labels: _Labels) -> SearchPlan:
        return plan_of(self._spec(text), dict(labels), self._default_searcher)

    def forget(self) -> None:
        """See kind.Remembers."""
        for known in (self._spec, self._plan):
            known.cache_clear()

    def _read_spec(self, text: bytes) -> Any:
        return self._class.FromString(text).nas_job_spec
