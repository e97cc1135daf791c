"""What a picture of a search shows, and how its scales and names are chosen."""

from __future__ import annotations

from typing import Any

import pytest

from trainyard.cli.nas_html import colour, page, rewards, ticks
from trainyard.cli.nas_picture import heading, option_name, picture, scale
from trainyard.cli.nas_results import Found, Search
from trainyard.core.parameters import parameters_text
from trainyard.core.space import Choice, Template, space_of

LEAF = Template()
INNER = Template((Choice("k", (LEAF,) * 2, ("3", "5")),))
SPACE = space_of(
    Template((Choice("a", (LEAF, INNER), ("'plain'", "a literal that is much too long")), Choice("only", (LEAF,))))
)


def search(values: list[float | None], points: list[tuple[int, ...]] | None = None, goal: str = "MAXIMIZE") -> Search:
    """A search with these measurements, None being infeasible."""
    algorithm: dict[str, Any] = {"metric": {"metricId": "m", "goal": goal}, "searchTrialSpec": {"maxTrialCount": 9}}
    job = {"name": "x/nasJobs/7", "state": "JOB_STATE_RUNNING", "nasJobSpec": {"multiTrialAlgorithmSpec": algorithm}}
    texts = [parameters_text(SPACE, point) for point in points or [(0, -1, 0)] * len(values)]
    trials = [
        Found(number, "INFEASIBLE" if value is None else "SUCCEEDED", value, {}, "", "", text)
        for number, (value, text) in enumerate(zip(values, texts, strict=True), 1)
    ]
    return Search(job, SPACE, trials)


def test_the_running_best_follows_the_goal() -> None:
    """The largest or the smallest so far; infeasible trials are shown apart."""
    values = [3.0, None, 5.0, 4.0, 1.0]
    shown = picture(search(values))
    assert list(shown.running) == [(1, 3.0), (3, 5.0), (4, 5.0), (5, 5.0)]
    assert list(shown.infeasible) == [2]
    assert [value for _, value in picture(search(values, goal="MINIMIZE")).running] == [3.0, 3.0, 3.0, 1.0]


def test_shares_are_of_all_trials_around() -> None:
    """What was not asked is missing to 1; the best trial's option is named; a decision without choice is not shown."""
    points = [(0, -1, 0)] * 20 + [(1, 0, 0)] * 20
    shown = picture(search([0.0] * 39 + [1.0], points)).shares
    assert [(each.name, each.condition) for each in shown] == [("a", ""), ("a.k", "when a is 1/2")]
    assert list(shown[0].options) == ["'plain'", "1/2"]
    assert (shown[0].columns[0], shown[0].columns[-1]) == ([1.0, 0.0], [0.0, 1.0])
    assert (shown[1].columns[0], shown[1].columns[-1]) == ([0.0, 0.0], [1.0, 0.0])
    assert (shown[0].best, shown[1].best) == (1, 0)
    assert (shown[0].numbers[0], shown[0].numbers[-1]) == (1, 40)


def test_the_best_stand_once_each() -> None:
    """An architecture that was tried twice is one row, with its better value."""
    rows = picture(search([1.0, 2.0, 3.0], [(0, -1, 0), (1, 0, 0), (0, -1, 0)])).best
    assert [(row.number, row.value) for row in rows] == [(3, 3.0), (2, 2.0)]


def test_outliers_do_not_press_the_rest_together() -> None:
    """The bad end of the scale leaves far values out, the good end never."""
    good = [0.9, 0.91, 0.92, 0.93, 0.94]
    low, high = scale([*good, 0.0], minimised=False)
    assert 0.8 < low < 0.9
    assert high > 0.94
    low, high = scale([*good, 50.0, 0.0], minimised=True)
    assert low < 0.0
    assert high < 10.0
    assert scale([], minimised=False) == (0.0, 1.0)
    assert scale([2.0, 2.0], minimised=False) == (1.0, 3.0)
    assert scale([0.0], minimised=True) == (-0.5, 0.5)


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0.0, 1.0, 6, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.83, 0.93, 6, [0.84, 0.86, 0.88, 0.9, 0.92]),
        (1.0, 2000.0, 10, [200.0, 400.0, 600.0, 800.0, 1000.0, 1200.0, 1400.0, 1600.0, 1800.0, 2000.0]),
        (-3e6, 3e6, 6, [-3e6, -2e6, -1e6, 0.0, 1e6, 2e6, 3e6]),
        (2.0, 2.0, 6, [2.0]),
    ],
)
def test_ticks_are_round(low: float, high: float, most: int, expected: list[float]) -> None:
    """Steps of 1, 2 or 5 times a power of ten."""
    assert ticks(low, high, most) == expected


def test_a_page_holds_whatever_a_name_holds() -> None:
    """Markup in a name is text; a search without trials, or of one, is a page as well."""
    some = search([1.0])
    some.job["displayName"] = "<script>alert(1)</script> & co"
    shown = page(picture(some))
    assert "<script>" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; co" in shown
    empty = page(picture(Search(some.job, None, ())))
    assert "No trial has been measured yet" in empty
    assert "not at hand" in empty
    assert "<path" in rewards(picture(some))
    assert "No trial's architecture is known" in page(picture(Search(some.job, SPACE, ())))


def test_names_and_colours() -> None:
    """A root choice has a name too; options beyond the palette get colours of their own."""
    (decision,) = space_of(Template((Choice("", (LEAF,) * 2),))).decisions
    assert heading(decision) == ("(root)", "")
    assert option_name(decision, 1) == "1/2"
    below = space_of(Template((Choice("", (INNER, LEAF)),))).decisions[1]
    assert heading(below) == ("k", "when (root) is 0/2")
    assert len({colour(option) for option in range(24)}) == 24
