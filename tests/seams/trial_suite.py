"""What every store must keep of searches: trials, the jobs that run them, and workers who claim them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from store_suite import HERE, a_deletion, a_job, ended

from trainyard.core.errors import FailedPrecondition, NotFound
from trainyard.core.jobs import Decision, Intent, Job, Parentage, ReplicaRecord, Step
from trainyard.core.runs import Cause, Exit
from trainyard.core.states import Event, JobState
from trainyard.core.trials import Ending, Measurement, OpenTrial, Stage, Trial, TrialRun, TrialState
from trainyard.store import ClaimReport, Run, Store

SECOND = 1_000_000


def a_search(**parts: object) -> Job:
    """A search, queued."""
    return a_job(collection="nasJobs", **parts)


def a_run(search: Job, number: int, stage: Stage = Stage.SEARCH) -> Job:
    """The job of a trial, made after its search."""
    id_ = search.id + (1000 if stage is Stage.TRAIN else 0) + number
    return a_job(id_, collection="nasTrials", parent=Parentage(search.id, stage, number))


def measured(trial: Trial, value: float = 0.5, ended_as: int = 1) -> Trial:
    """The trial once it has ended well."""
    return replace(
        trial,
        state=TrialState.SUCCEEDED,
        measurement=Measurement({"AP": value, "é": 1e-300}, 7, 8),
        ended_as=ended_as,
        start_time_us=5,
        end_time_us=9,
        ending=Ending.MEASURED,
    )


def asking(search: Job, *numbers: int) -> Decision:
    """A decision that asks for trials and the jobs that run them."""
    trials = tuple(Trial(number, (number, 0, -1), asked_after=2) for number in numbers)
    births = tuple(a_run(search, number) for number in numbers)
    return replace(Decision(search.status), trials=trials, births=births)


def reported(text: str | None, replica: str = "workerpool0-0", attempt: int = 1) -> ReplicaRecord:
    """The end of a replica that reported."""
    return ReplicaRecord(attempt, replica, 0, Exit(Cause.EXITED, code=0, report=text))


class TrialSuite:
    """One test per promise about searches. `tell` is StoreSuite's."""

    tell: Any

    def test_trials_and_their_jobs_are_one_commit(self, tmp_path: Path) -> None:
        """Both are there afterwards, or, where somebody moved first, neither."""

        async def story(store: Store) -> None:
            search = a_search()
            await store.insert(search)
            assert await store.commit(replace(search, revision=9), asking(search, 1)) is None
            assert store.open_trials(search.id) == ()
            assert store.find(search.id + 1) is None
            await store.commit(search, asking(search, 1, 2))
            assert [one.trial for one in store.open_trials(search.id)] == [
                Trial(1, (1, 0, -1), asked_after=2),
                Trial(2, (2, 0, -1), asked_after=2),
            ]
            run = store.find(search.id + 2)
            assert run
            assert run.parent == Parentage(search.id, Stage.SEARCH, 2)
            assert {job.id for job in store.live()} == {search.id, search.id + 1, search.id + 2}
            assert [one.id for one in store.census(0, 9)] == [search.id, search.id + 1, search.id + 2]

        self.tell(tmp_path, story)

    def test_an_open_trial_shows_how_its_job_is(self, tmp_path: Path) -> None:
        """State, times, error and report of the run; what people see follows from it until the trial has ended."""

        async def story(store: Store) -> None:
            search = a_search()
            await store.insert(search)
            search = await store.commit(search, asking(search, 1))
            assert search
            run = store.find(search.id + 1)
            assert run
            assert store.open_trials(search.id)[0].run == TrialRun(run.id, JobState.QUEUED)
            assert (await store.trials(search.name))[0].state is TrialState.REQUESTED
            up = Decision(replace(run.status, attempt=1, run_id=f"{run.id}-1")).moved(Event.ADMITTED, 5, "room")
            run = await store.commit(run, up.moved(Event.STARTED, 6, "up"))
            assert run
            shown = (await store.trials(search.name))[0]
            assert (shown.state, shown.start_time_us) == (TrialState.ACTIVE, run.status.start_time_us)
            over = Decision(run.status, records=(reported("b", "workerpool1-0"), reported("a")))
            run = await store.commit(run, over.moved(Event.SUCCEEDED, 9, "0"))
            assert run
            seen = store.open_trials(search.id)[0].run
            assert seen == TrialRun(
                run.id, JobState.SUCCEEDED, run.status.start_time_us, run.status.end_time_us, "", "a"
            )
            assert (await store.trials(search.name))[0].state is TrialState.ACTIVE
            done = measured(Trial(1, (1, 0, -1), asked_after=2))
            await store.commit(search, replace(Decision(search.status), trials=(done,)))
            assert store.open_trials(search.id) == ()
            assert store.trial_history(search.id) == (done,)
            assert await store.trials(search.name) == (done,)
            assert store.run_of(search.name, Stage.SEARCH, 1) == run

        self.tell(tmp_path, story)

    def test_the_report_is_the_last_attempts(self, tmp_path: Path) -> None:
        """What an attempt before said is not taken for what this one said."""

        async def story(store: Store) -> None:
            search = a_search()
            await store.insert(search)
            await store.commit(search, asking(search, 1))
            run = store.find(search.id + 1)
            assert run
            first = Decision(replace(run.status, attempt=1), records=(reported("old"),))
            run = await store.commit(run, first)
            assert run
            await store.commit(run, Decision(replace(run.status, attempt=2)))
            assert store.open_trials(search.id)[0].run.report is None  # type: ignore[union-attr]  # it has a run

        self.tell(tmp_path, story)

    def test_a_search_asks_its_runs_to_end(self, tmp_path: Path) -> None:
        """Once each; a step that was made from the run as it was before is dropped."""

        async def story(store: Store) -> None:
            search = a_search()
            await store.insert(search)
            search = await store.commit(search, asking(search, 1, 2))
            assert search
            run = store.find(search.id + 1)
            assert run
            search = await store.commit(search, replace(Decision(search.status), ends=(run.id,)))
            assert search
            asked = store.find(run.id)
            assert asked
            assert asked.intent is Intent.CANCEL
            assert await store.commit(run, Decision(run.status)) is None
            await store.commit(search, replace(Decision(search.status), ends=(run.id,)))
            assert store.find(run.id) == asked
            other = store.find(search.id + 2)
            assert other
            assert other.intent is Intent.RUN

        self.tell(tmp_path, story)

    def test_deleting_a_search_deletes_all_of_it(self, tmp_path: Path) -> None:
        """Trials, claims and runs go, each run leaving its files to be removed; other searches keep theirs."""

        async def story(store: Store) -> None:
            search, other = a_search(), a_search()
            for each in (search, other):
                await store.insert(each)
                await store.commit(each, asking(each, 1, 2))
            search = store.get(search.name)
            run = store.find(search.id + 1)
            assert run
            await store.commit(run, Decision(run.status, records=(reported("x"),)))
            final = await store.commit(search, ended(search))
            assert final
            await store.delete(final.name, a_deletion(final))
            assert set(store.removals()) == {search.id, search.id + 1, search.id + 2}
            assert store.find(search.id + 1) is None
            assert store.open_trials(search.id) == ()
            with pytest.raises(NotFound):
                await store.trials(search.name)
            assert len(store.open_trials(other.id)) == 2
            assert store.find(other.id + 1)

        self.tell(tmp_path, story)

    def test_an_heir_has_the_past_of_the_one_before(self, tmp_path: Path) -> None:
        """Its ended search trials, as a stage of its own that is never shown; it outlives the job that it came from."""

        async def story(store: Store) -> None:
            search = a_search()
            await store.insert(search)
            done, cut = measured(Trial(1, (1,))), Trial(2, (2,))
            trained = replace(measured(Trial(1, (1,))), stage=Stage.TRAIN, of=1)
            decision = replace(Decision(search.status), trials=(done, cut, trained))
            await store.commit(search, decision)
            heir = a_search()
            await store.insert_heir(heir, (), search.name)
            assert store.trial_history(heir.id) == (replace(done, stage=Stage.PAST),)
            assert await store.trials(heir.name) == ()
            assert store.open_trials(heir.id) == ()
            final = store.get(search.name)
            await store.commit(final, ended(final))
            await store.delete(final.name, a_deletion(final))
            assert len(store.trial_history(heir.id)) == 1
            with pytest.raises(NotFound):
                await store.insert_heir(a_search(), (), search.name)

        self.tell(tmp_path, story)

    def test_runs_are_listed_in_the_order_of_their_making(self, tmp_path: Path) -> None:
        """Behind one, up to a number; and nobody lists them among a project's jobs."""

        async def story(store: Store) -> None:
            search = a_search()
            await store.insert(search)
            births = (a_run(search, 1), a_run(search, 2), a_run(search, 1, Stage.TRAIN))
            trained = Trial(1, (2,), stage=Stage.TRAIN, of=2)
            await store.commit(search, replace(Decision(search.status), births=births, trials=(trained,)))
            listed = store.runs_after(search.id, 0, 9)
            assert list(listed) == [
                Run(search.id + 1, Stage.SEARCH, 1, JobState.QUEUED),
                Run(search.id + 2, Stage.SEARCH, 2, JobState.QUEUED),
                Run(search.id + 1001, Stage.TRAIN, 1, JobState.QUEUED),
            ]
            assert list(store.runs_after(search.id, search.id + 1, 1)) == [listed[1]]
            assert [job.id for job in await store.recent(HERE.project, 9)] == [search.id]
            assert store.run_of(search.name, Stage.TRAIN, 2).id == search.id + 1001
            with pytest.raises(NotFound):
                store.run_of(search.name, Stage.TRAIN, 1)
            with pytest.raises(NotFound):
                store.run_of(search.name, Stage.SEARCH, 3)

        self.tell(tmp_path, story)

    def test_steps_of_several_jobs_are_one_commit(self, tmp_path: Path) -> None:
        """The end of a trial, what its search makes of it, and the first step of the next one: all of it or nothing."""

        async def story(store: Store) -> None:
            search = a_search()
            await store.insert(search)
            search = await store.commit(search, asking(search, 1)) or search
            run, asks = store.find(search.id + 1), asking(search, 2)
            assert run is not None
            ends, born = replace(ended(run), records=(reported("{}"),)), asks.births[0]
            asks = replace(asks, trials=(*asks.trials, measured(Trial(1, (1, 0, -1), asked_after=2))))
            along = [Step(search, asks), Step(born, ended(born))]
            for moved in ([along[0]._replace(job=replace(search, revision=7)), along[1]], [Step(a_job(), asks)]):
                assert await store.commit(run, ends, moved) is None
            assert await store.commit(replace(run, revision=7), ends, along) is None
            assert (store.find(run.id), store.find(search.id), store.find(born.id)) == (run, search, None)
            assert [one.trial.number for one in store.open_trials(search.id)] == [1]
            assert await store.commit(run, ends, along) == Step(run, ends).after == store.find(run.id)
            assert store.find(search.id) == along[0].after
            assert store.find(born.id) == along[1].after
            assert [one.trial.number for one in store.open_trials(search.id)] == [2]

        self.tell(tmp_path, story)

    def test_a_trial_is_claimed_by_one_worker_at_a_time(self, tmp_path: Path) -> None:
        """Asking again gives the same one; who is not heard of loses it; what is told counts once."""

        async def story(store: Store) -> None:
            search = a_search()
            await store.insert(search)
            two = (Trial(1, (0,)), Trial(2, (1,)))
            await store.commit(search, replace(Decision(search.status), trials=two))
            name = search.name
            assert await store.claim(name, "ann", 10 * SECOND, 0) == two[0]
            assert await store.claim(name, "bob", 11 * SECOND, 0) == two[1]
            assert await store.claim(name, "ann", 12 * SECOND, 0) == two[0]
            assert await store.claim(name, "eve", 13 * SECOND, 11 * SECOND) is None
            assert await store.claim(name, "eve", 13 * SECOND, 12 * SECOND) == two[1]
            with pytest.raises(FailedPrecondition):
                await store.report(name, 2, ClaimReport("bob", line="{}"), 14 * SECOND)
            with pytest.raises(NotFound):
                await store.report(name, 3, ClaimReport("bob"), 14 * SECOND)
            assert await store.report(name, 2, ClaimReport("eve"), 14 * SECOND) is TrialState.ACTIVE
            assert await store.report(name, 2, ClaimReport("eve", line="one"), 15 * SECOND) is TrialState.ACTIVE
            await store.report(name, 2, ClaimReport("eve", line="two"), 16 * SECOND)
            await store.report(name, 1, ClaimReport("ann", infeasible="big"), 17 * SECOND)
            assert store.open_trials(search.id) == (
                OpenTrial(two[0], TrialRun(0, JobState.SUCCEEDED, 10 * SECOND, 17 * SECOND, "big")),
                OpenTrial(two[1], TrialRun(0, JobState.SUCCEEDED, 13 * SECOND, 15 * SECOND, "", "one")),
            )
            assert await store.claim(name, "ann", 18 * SECOND, 17 * SECOND) is None
            await store.ask_cancel(name, "ann", 19 * SECOND)
            assert await store.claim(name, "new", 20 * SECOND, 0) is None

        self.tell(tmp_path, story)
