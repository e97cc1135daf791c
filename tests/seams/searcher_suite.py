"""What every searcher must keep. Subclass SearcherSuite, say how to open yours, and you have proved it."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from trainyard.core.points import is_point
from trainyard.core.space import CLOSED, Choice, Point, Space, Template, space_of
from trainyard.core.trials import Goal, Measurement, Metric, Trial, TrialState
from trainyard.searcher import Open, Past, past, propose

LEAF = Template()
INNER = Template((Choice("k", (LEAF,) * 3), Choice("deep", (LEAF, Template((Choice("", (LEAF,) * 2),))))))
SPACES = {
    "flat": space_of(Template(tuple(Choice(f"d{n}", (LEAF,) * 4) for n in range(6)))),
    "conditional": space_of(Template((Choice("block", (LEAF, INNER, LEAF)), Choice("stem", (LEAF, INNER))))),
    "sets": space_of(
        Template(
            (
                Choice("sorted", (LEAF,) * 6, (), 3, is_sorted=True),
                Choice("ordered", (LEAF, INNER, LEAF), (), 2),
                Choice("bag", (LEAF,) * 3, (), 3, distinct=False, is_sorted=True),
            )
        )
    ),
    "one candidate": space_of(Template((Choice("only", (LEAF,)), Choice("two", (LEAF,) * 2)))),
}
SMALL = space_of(Template((Choice("a", (LEAF,) * 3), Choice("b", (LEAF, Template((Choice("c", (LEAF,) * 2),)))))))
each_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())


# The mean of `value` over the flat space.
EVEN_VALUE = 18.0


def value(point: Point) -> float:
    """A made-up reward: high options and open decisions are good."""
    return float(sum((number % 3 + 1) * chosen for number, chosen in enumerate(point)))


class Story:
    """A search that is lived through: trials end out of order, some fail, some stay open; all of it kept as history."""

    def __init__(self, opened: Open, space: Space, seed: int) -> None:
        self.searcher = opened(space, seed)
        self.history: list[Past] = []
        self.open: list[int] = []
        self.ended = 0

    def ask(self) -> Point | None:
        point = self.searcher.propose()
        if point is not None:
            self.searcher.asked(point)
            self.history.append(Past(point, self.ended))
            self.open.append(len(self.history))
        return point

    def tell(self, place: int, reward: float | None) -> None:
        number = self.open.pop(place)
        self.ended += 1
        line = self.history[number - 1]
        self.history[number - 1] = Past(line.point, line.asked_after, self.ended, reward)
        self.searcher.told(number, reward)

    def live(self, steps: int, chance: Random, parallel: int = 4) -> None:
        """Ask and tell at random."""
        for _ in range(steps):
            while len(self.open) < parallel and self.ask() is not None:
                pass
            if self.open:
                place = int(chance.random() * len(self.open))
                point = self.history[self.open[place] - 1].point
                self.tell(place, None if chance.random() < 0.2 else value(point))


class SearcherSuite:
    """The promise of `trainyard.searcher.Searcher`."""

    finds_again = False  # whether ended points may be asked once more
    learns = True

    def opened(self, space: Space, seed: int) -> object:
        """A new searcher."""
        raise NotImplementedError

    @pytest.fixture
    def open_one(self) -> Open:
        return self.opened  # type: ignore[return-value]  # subclasses return a Searcher

    @each_space
    def test_same_seed_and_history_give_the_same_points(self, open_one: Open, space: Space) -> None:
        """Two searches that live the same life ask the same points."""
        one, other = (Story(open_one, space, 7) for _ in range(2))
        one.live(60, Random(1))
        other.live(60, Random(1))
        assert one.history == other.history

    @each_space
    def test_a_replayed_history_goes_on_as_the_life_would_have(self, open_one: Open, space: Space) -> None:
        """After a crash at any moment the next points are those that would have come, to the last one."""
        story = Story(open_one, space, 3)
        chance = Random(2)
        for steps in (0, 1, 3, 9, 17, 30):
            story.live(steps, chance)
            again = propose(open_one, space, story.history, 3, 3)
            count = len(story.history)
            ahead = [point for _ in range(3) if (point := story.ask()) is not None]
            assert list(again) == ahead
            assert len(story.history) == count + len(ahead)

    @each_space
    def test_proposing_changes_nothing(self, open_one: Open, space: Space) -> None:
        """A proposal that nobody tries is proposed again."""
        story = Story(open_one, space, 5)
        story.live(25, Random(3))
        assert story.searcher.propose() == story.searcher.propose()

    @each_space
    def test_every_proposal_is_a_point(self, open_one: Open, space: Space) -> None:
        """Closed decisions stay closed, sets stay sorted and distinct, options stay in range."""
        story = Story(open_one, space, 11)
        story.live(80, Random(4))
        assert story.history
        assert all(is_point(space, line.point) for line in story.history)

    @each_space
    def test_parallel_trials_are_different(self, open_one: Open, space: Space) -> None:
        """No point is tried twice at the same time; nor again later, unless the searcher says that it does so."""
        story = Story(open_one, space, 13)
        chance = Random(5)
        for _ in range(60):
            story.live(1, chance, parallel=8)
            running = Counter(story.history[number - 1].point for number in story.open)
            assert max(running.values(), default=1) <= 1 or len(running) == space.size
        if not self.finds_again:
            assert max(Counter(line.point for line in story.history).values()) == 1

    def test_a_small_space_is_asked_whole_and_then_ends(self, open_one: Open) -> None:
        """Every point of a small space is asked; after that None, for ever, or old points again."""
        story = Story(open_one, SMALL, 17)
        asked = set()
        for _ in range(400):
            point = story.ask()
            if point is None:
                break
            asked.add(point)
            story.tell(0, value(point))
        if self.finds_again:
            assert story.ask() is not None
        else:
            assert len(asked) == SMALL.size == len(story.history)
            assert story.ask() is None

    def test_all_open_in_a_small_space(self, open_one: Open) -> None:
        """More parallel trials than points: all points first, then nothing, or what is being tried already."""
        points = propose(open_one, SMALL, (), SMALL.size + 3, 19)
        assert len(set(points[: SMALL.size])) == SMALL.size
        assert len(points) == SMALL.size + 3 * self.finds_again

    def test_good_options_are_asked_more_often(self, open_one: Open) -> None:
        """All in all, 250 proposals are clearly better than even ones would be, by either goal."""
        for goal, sign in ((Goal.MAXIMIZE, 1), (Goal.MINIMIZE, -1)):
            metric = Metric("m", goal)
            story = Story(open_one, SPACES["flat"], 23)
            for number in range(1, 251):
                point = story.ask()
                assert point is not None
                ended = Trial(number, point, TrialState.SUCCEEDED, measurement=Measurement({"m": value(point)}))
                story.tell(0, past(ended, metric).reward)
            gained = sign * (sum(value(line.point) for line in story.history) / 250 - EVEN_VALUE)
            assert gained > 2 or not self.learns

    def test_failures_are_learned_from(self, open_one: Open) -> None:
        """Where half of the space fails, the last hundred proposals fail less often than the first hundred."""
        story = Story(open_one, SPACES["flat"], 29)
        failed = []
        for _ in range(400):
            point = story.ask()
            assert point is not None
            failed.append(point[0] >= 2)
            story.tell(0, None if failed[-1] else 1.0 + 0.1 * point[1])
        assert not self.learns or sum(failed[-100:]) < sum(failed[:100])

    @pytest.mark.parametrize("rewards", [[0.0], [1e308, -1e308], [5.0] * 3, [1e-300, 0.0], [None], [None, 1.0]])
    def test_odd_rewards_hurt_nobody(self, open_one: Open, rewards: list[float | None]) -> None:
        """Huge, tiny, constant or missing rewards: the search goes on."""
        story = Story(open_one, SPACES["conditional"], 31)
        for turn in range(45):
            if story.ask() is None:
                break
            story.tell(0, rewards[turn % len(rewards)])
        assert len(story.history) >= 20

    def test_history_of_another_searcher_is_taken(self, open_one: Open) -> None:
        """A resumed search may go on from points that it would not have asked itself."""
        space = SPACES["conditional"]
        foreign = [Past((2, *[CLOSED] * 3, 0, *[CLOSED] * 3), n, n + 1, float(n)) for n in range(30)]
        assert is_point(space, foreign[0].point)
        (point,) = propose(open_one, space, foreign, 1, 37)
        assert is_point(space, point)

    def test_open_trials_of_a_history_stay_open(self, open_one: Open) -> None:
        """What was being tried when the service died is not proposed beside itself."""
        points = propose(open_one, SPACES["flat"], (), 10, 41)
        history = [Past(point) for point in points]
        again = propose(open_one, SPACES["flat"], history, 10, 41)
        assert not set(points) & set(again)
