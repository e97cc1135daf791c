"""What comes next for a search, called with plain values: each of its rules, one at a time."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from trainyard.core.jobs import Decision, Intent, Job, Spawn
from trainyard.core.space import Point
from trainyard.core.states import JobState
from trainyard.core.trials import Ending, Goal, Metric, OpenTrial, Stage, Trial, TrialRun, TrialState
from trainyard.kind import Moment
from trainyard.kinds.nas_job.conduct import Scene, conduct
from trainyard.kinds.nas_job.live import LiveSearches
from trainyard.kinds.nas_job.memo import Memo
from trainyard.kinds.nas_job.plan import SearchPlan
from trainyard.testing.searches import METRIC, PlainSearch, search_job, searcher_named

T = 1_000_000_000_000
SECOND = 1_000_000


def report(value: object) -> str:
    """A metric file's line."""
    return json.dumps({METRIC: str(value), "global_step": "2"})


def spawned(stage: Stage, number: int, point: Point) -> Spawn:
    """The job of a trial."""
    return Spawn("nasTrials", stage, number, "", json.dumps(point).encode())


class Story:
    """One search from step to step; runs of trials are what the test says they are."""

    def __init__(self, search: PlainSearch | None = None, **plan: object) -> None:
        self.search = search or PlainSearch(searcher="grid_search")
        self.plan: SearchPlan = replace(self.search.plan(), **plan)  # type: ignore[arg-type]  # a builder takes any field
        self.job: Job = search_job(1, self.search, create_time_us=T)
        self.trials: dict[tuple[Stage, int], Trial] = {}
        self.runs: dict[tuple[Stage, int], TrialRun] = {}
        self.now_us = T
        self.searches = LiveSearches(searcher_named)
        self.told: list[str] = []
        self.ended_runs: list[int] = []

    def step(self, seconds: float = 1.0, *, forget: bool = False, lose: bool = False) -> Decision:
        """One decision, written down unless it is lost; `forget`: after a restart of the server."""
        self.now_us += round(seconds * SECOND)
        if forget:
            self.searches = LiveSearches(searcher_named)
        history = tuple(self.trials[key] for key in sorted(self.trials))
        live = self.searches.of(self.job, self.plan, Memo.parse(self.job.status.memo), lambda: history)
        still_open = [OpenTrial(one, self.runs.get(key)) for key, one in self.trials.items() if one.ended_as is None]
        moment = Moment(self.now_us, self.now_us - T)
        decision = conduct(Scene(self.job, self.plan, still_open, live, spawned, moment))
        if not lose:
            self._write(decision)
        return decision

    def _write(self, decision: Decision) -> None:
        self.job = replace(self.job, status=decision.status)
        self.told += [note.text for note in decision.notes]
        self.ended_runs += decision.ends
        for trial in decision.trials:
            self.trials[trial.stage, trial.number] = trial
        for spawn in decision.spawns:
            job_id = 100 * (spawn.stage is Stage.TRAIN) + spawn.number
            self.runs[spawn.stage, spawn.number] = TrialRun(job_id, JobState.QUEUED)

    def run(self, number: int, stage: Stage = Stage.SEARCH) -> None:
        """The trial's programs come up."""
        before = self.runs[stage, number]
        self.runs[stage, number] = before._replace(state=JobState.RUNNING, start_us=self.now_us)

    def end(
        self,
        number: int,
        value: object = 1,
        state: JobState = JobState.SUCCEEDED,
        *,
        stage: Stage = Stage.SEARCH,
        error: str = "",
    ) -> None:
        """The trial's job ends."""
        run = self.runs[stage, number]
        said = report(value) if state is JobState.SUCCEEDED and value is not None else None
        start_us = run.start_us or self.now_us
        self.runs[stage, number] = TrialRun(run.job_id, state, start_us, self.now_us, error, said)

    def memo(self) -> Memo:
        """The notebook."""
        return Memo.parse(self.job.status.memo)

    def open(self, stage: Stage = Stage.SEARCH) -> list[int]:
        """Numbers of the open trials."""
        return [number for (of, number), one in self.trials.items() if of is stage and one.ended_as is None]


def test_a_search_begins_with_as_many_trials_as_it_may_have_at_once() -> None:
    """Two trials with a job each, in one decision; RUNNING only once a program is up."""
    story = Story()
    decision = story.step()
    assert [spawn.number for spawn in decision.spawns] == [1, 2]
    assert [trial.point for trial in decision.trials] == [(0, 0), (0, 1)]
    assert story.job.status.state is JobState.PENDING
    assert story.step().trials == ()
    story.run(1)
    story.step()
    assert story.job.status.state is JobState.RUNNING
    assert story.job.status.start_time_us == story.now_us


def test_a_place_is_filled_as_soon_as_it_is_free() -> None:
    """One end, one new trial, which knows how much was known."""
    story = Story()
    story.step()
    story.end(2)
    decision = story.step()
    assert [spawn.number for spawn in decision.spawns] == [3]
    assert story.trials[Stage.SEARCH, 3].asked_after == 1
    assert story.trials[Stage.SEARCH, 2].ending is Ending.MEASURED
    assert story.trials[Stage.SEARCH, 2].state is TrialState.SUCCEEDED
    assert story.open() == [1, 3]


@pytest.mark.parametrize(
    ("run", "ending", "why"),
    [
        ({"value": 2}, Ending.MEASURED, ""),
        ({"value": None}, Ending.UNMEASURED, "The trainer wrote no metric file"),
        ({"value": None, "error": "too large"}, Ending.UNMEASURED, "too large"),
        ({"value": "nan"}, Ending.UNMEASURED, "only a finite number counts"),
        ({"state": JobState.FAILED, "error": "It broke."}, Ending.FAILED, "It broke."),
        ({"state": JobState.CANCELLED, "error": "timeout"}, Ending.FAILED, "timeout"),
    ],
)
def test_how_a_trial_ends(run: dict[str, object], ending: Ending, why: str) -> None:
    """By its job's end and what was reported; only what failed counts."""
    story = Story()
    story.step()
    story.end(1, **run)  # type: ignore[arg-type]  # a builder takes any field
    story.step()
    ended = story.trials[Stage.SEARCH, 1]
    assert ended.ending is ending
    assert why in ended.why
    assert (ended.state is TrialState.SUCCEEDED) == (ending is Ending.MEASURED)
    assert story.memo().failed == (ending is Ending.FAILED)
    assert ended.end_time_us == story.now_us - SECOND


def test_the_last_end_is_the_searchs() -> None:
    """All asked, all ended: SUCCEEDED, with a sentence that counts them."""
    story = Story(PlainSearch(options=(2, 2), searcher="grid_search", trials=2))
    story.step()
    story.end(1)
    story.end(2, value=None)
    why = story.step().changes[-1].why
    assert story.job.status.state is JobState.SUCCEEDED
    assert story.job.status.error is None
    assert why == "2 search trials ended, 1 of them with a measurement; 1 were infeasible, 0 of these failed."


def test_an_exhausted_grid_ends_the_search() -> None:
    """Four points, eight trials allowed: it ends after four."""
    story = Story(PlainSearch(options=(2, 2), searcher="grid_search", trials=8, at_once=4))
    story.step()
    for number in (1, 2, 3, 4):
        story.end(number)
    story.step()
    assert story.job.status.state is JobState.SUCCEEDED
    assert len(story.trials) == 4


def test_failures_up_to_the_limit_and_no_further() -> None:
    """At the limit the rest is asked to end, and the job FAILED once it has."""
    story = Story(PlainSearch(searcher="grid_search", at_once=3, failed=2))
    story.step()
    story.end(1, state=JobState.FAILED, error="It broke.")
    story.step()
    assert story.job.status.state is JobState.RUNNING
    story.end(2, state=JobState.FAILED, error="It broke again.")
    decision = story.step()
    assert set(story.ended_runs) == {3, 4}
    assert decision.spawns == ()
    assert story.job.status.state is JobState.RUNNING
    story.end(3)
    story.end(4, state=JobState.CANCELLED)
    story.step()
    assert story.job.status.state is JobState.FAILED
    assert story.job.status.error is not None
    assert story.job.status.error.message == (
        "2 trials failed, which reaches maxFailedTrialCount (2). The last: It broke again."
    )
    assert story.trials[Stage.SEARCH, 3].ending is Ending.MEASURED
    assert story.trials[Stage.SEARCH, 4].ending is Ending.CUT_SHORT


def test_a_cancel_ends_every_trial_first() -> None:
    """CANCELLING while one still runs; then CANCELLED, with the one word that the public client takes."""
    story = Story()
    story.step()
    story.run(1)
    story.job = replace(story.job, intent=Intent.CANCEL, intent_by="ann")
    story.step()
    assert story.job.status.state is JobState.CANCELLING
    assert story.ended_runs == [1, 2]
    assert story.step().ends == ()
    story.end(2, state=JobState.CANCELLED)
    story.step()
    assert story.job.status.state is JobState.CANCELLING
    story.end(1, state=JobState.CANCELLED)
    story.step()
    assert story.job.status.state is JobState.CANCELLED
    assert story.job.status.error is not None
    assert (story.job.status.error.code, story.job.status.error.message) == (1, "CANCELED")
    assert any("by ann" in line for line in story.told)


def test_a_cancel_before_the_first_step_asks_for_nothing() -> None:
    """CANCELLED at once."""
    story = Story()
    story.job = replace(story.job, intent=Intent.CANCEL)
    assert story.step().trials == ()
    assert story.job.status.state is JobState.CANCELLED
    assert story.step() == Decision(story.job.status)


def test_the_timeout_is_measured_on_the_steady_clock() -> None:
    """From the first step on; then it is as if it were cancelled."""
    story = Story(timeout_seconds=10.0)
    first = story.step()
    assert first.look_again_us == story.now_us + 10 * SECOND
    story.step(9.0)
    assert story.ended_runs == []
    story.step(1.0)
    assert story.ended_runs == [1, 2]
    for number in (1, 2):
        story.end(number, state=JobState.CANCELLED)
    story.step()
    assert story.job.status.state is JobState.CANCELLED
    assert any("ran into its timeout of 10 s" in line for line in story.told)


def test_the_best_of_a_window_are_trained_once_each() -> None:
    """After two ends the best; after four the best two but the one trained before; all before the job ends."""
    story = Story(PlainSearch(options=(9,), searcher="grid_search", trials=4, at_once=1, train=(2, 1)))
    for number, value in ((1, 5), (2, 7), (3, 6), (4, 6)):
        story.step()
        story.end(number, value)
    story.step()
    assert [one.of for (stage, _), one in story.trials.items() if stage is Stage.TRAIN] == [2]
    assert story.job.status.state is JobState.RUNNING
    story.end(1, stage=Stage.TRAIN, state=JobState.FAILED, error="x")
    story.step()
    assert story.job.status.state is JobState.SUCCEEDED
    assert story.memo().failed == 0


def test_no_more_are_trained_at_once_than_allowed() -> None:
    """Two windows of two: the second pair waits for the first."""
    story = Story(PlainSearch(options=(9,), searcher="grid_search", trials=4, at_once=2, train=(2, 2)))
    story.step()
    story.end(1, 1)
    story.end(2, 2)
    story.step()
    assert story.open(Stage.TRAIN) == [1, 2]
    story.end(3, 3)
    story.end(4, 4)
    story.step()
    assert story.open(Stage.TRAIN) == [1, 2]
    assert story.memo().queue == (4, 3)
    story.end(1, stage=Stage.TRAIN)
    story.step()
    assert story.open(Stage.TRAIN) == [2, 3]
    assert story.trials[Stage.TRAIN, 3].of == 4


def test_a_search_shorter_than_its_window_trains_its_best_at_the_end() -> None:
    """Also where the space is exhausted first."""
    for search in (
        PlainSearch(options=(9,), searcher="grid_search", trials=2, at_once=1, train=(5, 1)),
        PlainSearch(options=(2,), searcher="grid_search", trials=9, at_once=1, train=(5, 1)),
    ):
        story = Story(search)
        for number, value in ((1, 5), (2, 4)):
            story.step()
            story.end(number, value)
        story.step()
        assert [one.of for (stage, _), one in story.trials.items() if stage is Stage.TRAIN] == [1]
        assert story.job.status.state is JobState.RUNNING


def test_minimize_turns_the_best_round() -> None:
    """The smallest value is trained."""
    search = PlainSearch(options=(9,), searcher="grid_search", trials=2, at_once=1, train=(2, 1))
    story = Story(search, metric=Metric(METRIC, Goal.MINIMIZE))
    for number, value in ((1, 5), (2, 4)):
        story.step()
        story.end(number, value)
    story.step()
    assert story.trials[Stage.TRAIN, 1].of == 2


@pytest.mark.parametrize("searcher", ["evolution", "reinforce", "random_search", "model_based"])
@pytest.mark.parametrize("disturbance", ["forget", "lose"])
def test_neither_a_restart_nor_a_lost_commit_changes_what_is_asked(searcher: str, disturbance: str) -> None:
    """The points of a search that was disturbed at each step are those of one left in peace."""

    def points(disturbed: bool) -> list[tuple[int, ...]]:
        story = Story(PlainSearch(options=(4, 4, 4), searcher=searcher, trials=15, at_once=2, failed=99, train=(4, 1)))
        story.step()
        for number in range(1, 16):
            value = sum(story.trials[Stage.SEARCH, number].point)
            story.end(number, value, JobState.FAILED if number % 5 == 0 else JobState.SUCCEEDED)
            if disturbed and disturbance == "lose":
                story.step(0.0, lose=True)
            story.step(forget=disturbed and disturbance == "forget")
        return [one.point for one in story.trials.values()] + [(one.of,) for one in story.trials.values()]

    assert points(True) == points(False)


def test_trials_that_workers_claim_have_no_jobs() -> None:
    """They end by what the worker told, and at once when the search is to end."""
    story = Story(claimed=True)
    decision = story.step()
    assert decision.spawns == ()
    assert len(decision.trials) == 2
    assert story.job.status.state is JobState.RUNNING
    story.runs[Stage.SEARCH, 1] = TrialRun(0, JobState.SUCCEEDED, T, T + 1, "", report(3))
    story.step()
    assert story.trials[Stage.SEARCH, 1].ending is Ending.MEASURED
    story.runs[Stage.SEARCH, 2] = TrialRun(0, JobState.RUNNING, T)
    story.job = replace(story.job, intent=Intent.CANCEL)
    story.step()
    assert story.ended_runs == []
    assert story.job.status.state is JobState.CANCELLED
    assert {one.ending for one in story.trials.values()} == {Ending.MEASURED, Ending.CUT_SHORT}


def test_a_restart_in_the_middle_of_a_cancel_loses_no_trial() -> None:
    """One was cut short before it; another one that ends well after it keeps its number and its measurement."""
    story = Story(PlainSearch(searcher="evolution"))
    story.step()
    story.job = replace(story.job, intent=Intent.CANCEL)
    story.step()
    story.end(1, state=JobState.CANCELLED)
    story.step()
    story.end(2, 7)
    story.step(forget=True)
    assert story.job.status.state is JobState.CANCELLED
    assert [one.ending for one in story.trials.values()] == [Ending.CUT_SHORT, Ending.MEASURED]


def test_what_was_cut_short_in_the_past_teaches_nothing() -> None:
    """A search that goes on from another one's skips what that had not finished."""
    story = Story(PlainSearch(options=(9,), searcher="grid_search", at_once=1))
    tried = Trial(1, (0,), TrialState.INFEASIBLE, 0, 1, ending=Ending.FAILED, stage=Stage.PAST)
    cut = Trial(2, (1,), TrialState.INFEASIBLE, 1, 2, ending=Ending.CUT_SHORT, stage=Stage.PAST)
    story.trials = {(Stage.PAST, 1): tried, (Stage.PAST, 2): cut}
    story.searches.forget(1)
    history = tuple(story.trials.values())
    story.searches = LiveSearches(searcher_named)
    live = story.searches.of(story.job, story.plan, Memo(mark=1), lambda: history)
    assert live.propose() == (1,)


def test_only_the_newest_searches_are_kept_in_memory() -> None:
    """Who is asked about again later is replayed; who is over is forgotten."""
    searches, read = LiveSearches(searcher_named, most=1), []
    jobs = [search_job(number, PlainSearch()) for number in (1, 2)]
    plan = PlainSearch().plan()

    def history() -> tuple[Trial, ...]:
        read.append(1)
        return ()

    first = searches.of(jobs[0], plan, Memo(), history)
    assert searches.of(jobs[0], plan, Memo(), history) is first
    searches.of(jobs[1], plan, Memo(), history)
    assert searches.of(jobs[0], plan, Memo(), history) is not first
    searches.forget(1)
    searches.forget(1)
    assert len(read) == 3
