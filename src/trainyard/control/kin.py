"""What a search and the jobs of its trials decide together, so that one commit holds all of it or nothing.

The end of a trial carries along what its search makes of it, and a trial that is asked for is admitted with the asking
where there is room. Nothing depends on it: whoever was not taken along takes the same steps alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from trainyard.core.ids import Ids
from trainyard.core.jobs import Decision, Intent, Job, Parentage, Spawn, Status, Step
from trainyard.core.names import JobName
from trainyard.core.states import JobState
from trainyard.core.trials import OpenTrial, TrialRun
from trainyard.kind import Kind, Moment, Room, Searches
from trainyard.store import Ledger


class Kin:
    """`room(job, kind, steady_us)` asks the admission."""

    def __init__(self, store: Ledger, kinds: Mapping[str, Kind], room: Callable[[Job, Kind, int], Room | None]) -> None:
        self._store = store
        self._kinds = kinds
        self._room = room
        self._searching = {name: kind for name, kind in kinds.items() if isinstance(kind, Searches)}
        self._owed: dict[int, Decision] = {}  # by job: what its durable status calls for and nobody has done yet
        self.ids: Ids | None = None  # for the jobs of trials, from the one source that names all jobs

    def searches(self, job: Job) -> bool:
        """Whether it runs trials instead of programs."""
        return job.name.collection in self._searching

    def conduct(self, job: Job, moment: Moment, ended: Step | None = None) -> Decision:
        """What comes next for a search, the jobs of new trials named; `ended`: the last step of one of its trials."""
        trials = self._store.open_trials(job.id)
        if ended is not None:
            trials = tuple(OpenTrial(one.trial, _after(one.run, ended)) for one in trials)
        history = partial(self._store.trial_history, job.id)
        decision = self._searching[job.name.collection].conduct(job, trials, history, moment)
        births = tuple(self._born(job, spawn, moment.now_us) for spawn in decision.spawns)
        return replace(decision, births=births) if births else decision

    def search_after(self, ended: Step, search: Job, moment: Moment) -> Step | None:
        """The step that the search of a trial takes because the trial ends; None: it is to take it alone.

        So it does where several replicas may have reported: whose report counts is the store's to say.
        """
        try:
            if search.is_final or len(self._kinds[ended.job.name.collection].tasks(ended.job)) != 1:
                return None
            return Step(search, self.conduct(search, moment, ended))
        except Exception:  # woken by the end of its trial, the search meets it again and reports it
            return None

    def admitted(self, births: Sequence[Job], moment: Moment) -> list[Step]:
        """The first steps of those for whom there is room at once."""
        found = []
        for job in births:
            decision = self._admission_of(job, moment)
            if decision is not None:
                found.append(Step(job, decision))
        return found

    def owes(self, step: Step) -> None:
        """The step is durable, and what it calls for is left to the next one."""
        self._owed[step.job.id] = Decision(step.decision.status, actions=step.decision.actions)

    def owed(self, job: Job) -> Decision | None:
        """What is left to do for a job; said once, and not where somebody has moved on."""
        left = self._owed.pop(job.id, None)
        return left if left and left.status == job.status and job.intent is Intent.RUN else None

    def _admission_of(self, job: Job, moment: Moment) -> Decision | None:
        kind = self._kinds[job.name.collection]
        try:
            room = self._room(job, kind, moment.steady_us)
            return kind.decide(job, None, room, moment.now_us) if room is not None and room.granted else None
        except Exception:  # its own first step meets it again and reports it
            return None

    def _born(self, parent: Job, spawn: Spawn, now_us: int) -> Job:
        assert self.ids is not None, "a controller of searches shares the ids of whoever makes other jobs (share_ids)"
        return Job(
            name=JobName(parent.name.scope, spawn.collection, self.ids.next_id()),
            create_time_us=now_us,
            display_name=spawn.display_name,
            labels=spawn.labels,
            spec=spawn.spec,
            status=Status(JobState.QUEUED, now_us),
            priority=spawn.priority,
            parent=Parentage(parent.id, spawn.stage, spawn.number),
            seal=parent.seal,
        )


def _after(run: TrialRun | None, ended: Step) -> TrialRun | None:
    """The run as it will be once this last step of a job is durable."""
    if run is None or run.job_id != ended.job.id:
        return run
    status = ended.decision.status
    reports = [one.exit.report for one in ended.decision.records if one.attempt == status.attempt]
    return TrialRun(
        run.job_id,
        status.state,
        status.start_time_us,
        status.end_time_us,
        status.error.message if status.error else "",
        next((report for report in reversed(reports) if report is not None), run.report),
    )
