"""Every built-in searcher keeps the promise."""

from __future__ import annotations

import importlib
import itertools
import json
import statistics
import time
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from searcher_suite import SMALL, SPACES, SearcherSuite, Story, value

from trainyard.core.points import drawn, every_point, is_point
from trainyard.core.space import Choice, Space, Template, space_of
from trainyard.core.trials import Measurement, Metric, Trial, TrialState
from trainyard.searcher import Past, Searcher, past, propose, replay
from trainyard.searchers import BUILT_IN

CHEAP = ("reinforce", "evolution", "random_search", "grid_search")
MNASNET = space_of(
    Template(
        tuple(
            Choice(f"b{block}.d{n}", (Template(),) * options)
            for block in range(7)
            for n, options in enumerate((3, 2, 3, 2, 2, 3))
        )
    )
)


def opened(name: str, space: Space, seed: int) -> Searcher:
    """A built-in searcher by name."""
    found: Searcher = importlib.import_module(BUILT_IN[name]).open_searcher(space, seed)
    return found


class TestReinforce(SearcherSuite):
    """Reinforcement learning asks again what it likes."""

    finds_again = True

    def opened(self, space: Space, seed: int) -> Searcher:
        return opened("reinforce", space, seed)


class TestEvolution(SearcherSuite):
    """Regularised evolution."""

    def opened(self, space: Space, seed: int) -> Searcher:
        return opened("evolution", space, seed)


class TestModelBased(SearcherSuite):
    """The Gaussian process."""

    def opened(self, space: Space, seed: int) -> Searcher:
        return opened("model_based", space, seed)


class TestRandomSearch(SearcherSuite):
    """Random search learns nothing."""

    learns = False

    def opened(self, space: Space, seed: int) -> Searcher:
        return opened("random_search", space, seed)


class TestGridSearch(SearcherSuite):
    """Grid search learns nothing."""

    learns = False

    def opened(self, space: Space, seed: int) -> Searcher:
        return opened("grid_search", space, seed)


def test_the_grid_is_row_major_without_repeats() -> None:
    """All points in order, the last decision fastest, then the end."""
    points = propose(lambda space, seed: opened("grid_search", space, seed), SMALL, (), 100, 0)
    assert list(points) == list(every_point(SMALL))
    history = [Past(point, n, n + 1, 0.0) for n, point in enumerate(points)]
    assert propose(lambda space, seed: opened("grid_search", space, seed), SMALL, history, 5, 0) == ()


def test_the_policy_of_closed_decisions_does_not_move() -> None:
    """What was never open keeps its even probabilities to the last bit."""
    space = SPACES["conditional"]
    story = Story(lambda s, seed: opened("reinforce", s, seed), space, 1)
    plain = (0, *[-1] * 3, 0, *[-1] * 3)
    for turn in range(40):
        story.searcher.asked(plain)
        story.searcher.told(turn + 1, float(turn % 3))
    policy = story.searcher._policy  # type: ignore[attr-defined]  # looks inside on purpose
    assert policy.probabilities[1] == [1 / 3] * 3
    assert policy.probabilities[0] != [1 / 3] * 3


@pytest.mark.parametrize("name", CHEAP)
def test_asking_and_telling_takes_no_time_worth_naming(name: str) -> None:
    """At 42 decisions the median of ask and tell stays under 0.2 ms, and does not grow with the trials."""
    searcher = opened(name, MNASNET, 1)
    spent = []
    for number in range(1, 3001):
        began = time.process_time_ns()
        point = searcher.propose()
        assert point is not None
        searcher.asked(point)
        searcher.told(number, value(point))
        spent.append((time.process_time_ns() - began) / 1e6)
    early, late = statistics.median(spent[:500]), statistics.median(spent[-500:])
    assert statistics.median(spent) <= 0.2
    assert late <= 2 * early + 0.02


@pytest.mark.parametrize("name", CHEAP)
def test_replaying_ten_thousand_trials_takes_seconds(name: str) -> None:
    """A service that comes back is not held up by its searches."""
    story = Story(lambda space, seed: opened(name, space, seed), MNASNET, 2)
    story.live(2000, Random(1), parallel=10)
    began = time.process_time()
    propose(lambda space, seed: opened(name, space, seed), MNASNET, story.history, 1, 2)
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize("name", BUILT_IN)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**63 - 1), moment=st.integers(0, 40), parallel=st.integers(1, 12))
def test_replay_equals_life(name: str, seed: int, moment: int, parallel: int) -> None:
    """Any seed, any parallelism, any moment of dying; history as JSON loses nothing."""
    story = Story(lambda space, number: opened(name, space, number), SPACES["conditional"], seed)
    story.live(moment, Random(seed), parallel)
    told = [(list(line.point), line.asked_after, line.ended_as, line.reward) for line in story.history]
    history = [Past(tuple(point), *rest) for point, *rest in json.loads(json.dumps(told))]
    searcher = opened(name, SPACES["conditional"], seed)
    replay(searcher, history)
    assert searcher.propose() == story.searcher.propose()


def test_what_is_still_tried_or_failed_has_no_reward() -> None:
    """An open trial teaches nothing whatever it has reported; an infeasible one that it failed."""
    metric, reported = Metric("m"), Measurement({"m": 1.0})
    running = Trial(1, (0,), TrialState.ACTIVE, 3, measurement=reported)
    failed = Trial(2, (1,), TrialState.INFEASIBLE, 3, 4)
    done = Trial(3, (1,), TrialState.SUCCEEDED, 3, 5, reported)
    assert past(running, metric) == Past((0,), 3)
    assert past(failed, metric) == Past((1,), 3, 4)
    assert past(done, metric) == Past((1,), 3, 5, 1.0)


def test_the_model_keeps_the_best_and_the_latest_of_many() -> None:
    """Its cost stops growing: a thousand trials weigh as much as some four hundred, and the best is never dropped."""
    searcher = opened("model_based", MNASNET, 3)
    random = Random(9)
    for number in range(1, 1001):
        point = drawn(MNASNET, random)
        searcher.asked(point)
        searcher.told(number, 1000.0 if number == 17 else value(point))
    assert is_point(MNASNET, searcher.propose() or ())
    rows = searcher._belief.rows  # type: ignore[attr-defined]  # looks inside on purpose
    assert 16 in rows
    assert 999 in rows
    assert len(rows) <= 450


def test_milestones_are_reached_and_never_rare() -> None:
    """The model is made anew at numbers of ends that depend on nothing else, and at least every fifty."""
    from trainyard.searchers.expected_improvement import last_milestone

    reached = sorted({last_milestone(told) for told in range(2000)})
    assert reached[:5] == [0, 10, 20, 30, 40]
    assert all(last_milestone(milestone) == milestone for milestone in reached)
    assert max(later - earlier for earlier, later in itertools.pairwise(reached)) <= 50


def test_without_numpy_the_model_based_searcher_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the one searcher that needs a package, and says so in one sentence."""
    from trainyard.core.errors import FailedPrecondition

    monkeypatch.setitem(__import__("sys").modules, "numpy", None)
    for module in ("expected_improvement", "gaussian", "encoding"):
        monkeypatch.delitem(__import__("sys").modules, f"trainyard.searchers.{module}", raising=False)
    with pytest.raises(FailedPrecondition, match="needs numpy"):
        opened("model_based", SMALL, 0)
