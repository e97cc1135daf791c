"""The simulator of searches is itself tried: each defect that we plant is found, within few seeds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from histories import Plant, find

from trainyard.core.jobs import Intent, Step
from trainyard.core.trials import Ending, Stage
from trainyard.kinds.nas_job import conduct, live
from trainyard.stores import memory, memory_files
from trainyard.testing import searches
from trainyard.testing.search_simulation import SearchSimulation


def a_trial_without_its_job(patch: pytest.MonkeyPatch) -> None:
    """Write down that a trial was asked for, and forget who is to run it."""
    original = memory.MemoryStore.commit

    async def commit(self, job, decision, along=()):
        first, *others = [
            step._replace(decision=replace(step.decision, births=step.decision.births[:-1]))
            for step in (Step(job, decision), *along)
        ]
        born = {birth.id for step in (first, *others) for birth in step.decision.births}
        there = [step for step in others if step.job.id in born or self.find(step.job.id)]
        return await original(self, *first, there)

    patch.setattr(memory.MemoryStore, "commit", commit)


def one_place_too_many(patch: pytest.MonkeyPatch) -> None:
    """Count the places wrong."""
    original = conduct._asked

    def asked(scene, memo, draft):
        plan = replace(scene.plan, most_at_once=scene.plan.most_at_once + 1)
        return original(replace(scene, plan=plan), memo, draft)

    patch.setattr(conduct, "_asked", asked)


def trusting_what_was_never_committed(patch: pytest.MonkeyPatch) -> None:
    """Go on with the search in memory, whatever became of the last commit."""
    original = live.LiveSearches.of

    def of(self, job, plan, memo, history):
        kept = self._kept.get(job.id)
        return kept or original(self, job, plan, memo, history)

    patch.setattr(live.LiveSearches, "of", of)


def beginning_anew_after_a_crash(patch: pytest.MonkeyPatch) -> None:
    """Forget what was learned whenever the server comes up."""
    patch.setattr(live.LiveSearch, "take_up", _only_the_points)


def _only_the_points(self, history, metric, queue, mark):
    self._points = [trial.point for trial in history if trial.stage is Stage.SEARCH]
    self.mark = mark


def forgetting_who_was_cut_short(patch: pytest.MonkeyPatch) -> None:
    """Number the trials anew without those that the end of their search cut short."""
    patch.setattr(live, "_untold", lambda trial: trial)


def over_while_trials_run(patch: pytest.MonkeyPatch) -> None:
    """Call the search over as soon as its end is decided."""
    original = conduct._drop

    def drop(scene, memo, draft, open_ones, which):
        memo, draft, _ = original(scene, memo, draft, open_ones, which)
        return memo, draft, []

    patch.setattr(conduct, "_drop", drop)


def asking_on_after_the_verdict(patch: pytest.MonkeyPatch) -> None:
    """Fill the free places of a search that is to end."""
    original = conduct._judged

    def judged(scene, memo, draft, open_ones):
        memo, draft = original(scene, memo, draft, open_ones)
        return conduct._asked(scene, memo, draft) if memo.over else (memo, draft)

    patch.setattr(conduct, "_judged", judged)


def failures_that_do_not_count(patch: pytest.MonkeyPatch) -> None:
    """Take a failed program for one that had nothing to say."""
    original = conduct._end_of

    def end_of(scene, memo, trial, run):
        ended = original(scene, memo, trial, run)
        return replace(ended, ending=Ending.UNMEASURED) if trial.number > 1 and run.error else ended

    patch.setattr(conduct, "_end_of", end_of)


def a_measurement_of_its_own_making(patch: pytest.MonkeyPatch) -> None:
    """Show another value than the program reported."""
    original = memory_files.running

    def running(file):
        run = original(file)
        wrong = run and run.report and run.report.replace('": "3"', '": "4"')
        return run._replace(report=wrong) if wrong else run

    patch.setattr(memory, "running", running)


def ends_in_no_order(patch: pytest.MonkeyPatch) -> None:
    """Number the ends as they are written down twice."""
    original = conduct._take_end

    def take_end(scene, memo, draft, ended):
        memo, draft = original(scene, memo, draft, ended)
        return (replace(memo, ended=memo.ended + 1) if memo.ended == 2 else memo), draft

    patch.setattr(conduct, "_take_end", take_end)


def a_cancel_put_off(patch: pytest.MonkeyPatch) -> None:
    """Heed the cancel of a search, but in its own time, while its trials go on."""
    original = conduct.conduct

    def late(scene):
        asked_us = scene.job.intent_time_us
        is_young = asked_us is not None and 0 <= scene.now_us - asked_us < 15e6
        return original(replace(scene, job=replace(scene.job, intent=Intent.RUN)) if is_young else scene)

    patch.setattr(searches, "conduct", late)


def what_is_carried_along_unguarded(patch: pytest.MonkeyPatch) -> None:
    """Write a search over whatever is there, as long as the trial that carries it along is as it was."""
    original = memory.MemoryStore.commit

    async def commit(self, job, decision, along=()):
        now = [(self.find(step.job.id), step) for step in along]
        anew = [step._replace(job=replace(step.job, revision=job.revision)) if job else step for job, step in now]
        return await original(self, job, decision, anew)

    patch.setattr(memory.MemoryStore, "commit", commit)


PLANTED = (
    a_trial_without_its_job,
    one_place_too_many,
    trusting_what_was_never_committed,
    beginning_anew_after_a_crash,
    forgetting_who_was_cut_short,
    over_while_trials_run,
    asking_on_after_the_verdict,
    failures_that_do_not_count,
    a_measurement_of_its_own_making,
    ends_in_no_order,
    a_cancel_put_off,
    what_is_carried_along_unguarded,
)


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_found(plant: Plant) -> None:
    """The simulator tells a broken search from a sound one."""
    find(SearchSimulation, plant)
