"""The parameters of a trial are worded as trainers check them, to the letter."""

from __future__ import annotations

import json

import pytest

from trainyard.core.parameters import decoded, longest_text, parameters, parameters_text, point_of_parameters, readable
from trainyard.core.points import every_point
from trainyard.core.space import CLOSED, Choice, Space, Template, space_of
from trainyard.core.space_text import read_space

TYPE = '"_type":"pyglove.generators.geno.'
C0, C1, C2 = (f'{{{TYPE}Template","index":{n}}}' for n in range(3))


def golden(stem: str, kernel: str, se: str, pick: str) -> str:
    """The golden space in a dialect: how each printed its literals."""
    inner = (
        f'{{{TYPE}Template","elements":[{{{TYPE}Choices","location":"k","candidates":[{C0},{C1}],'
        f'"literal_values":{kernel}}},{{{TYPE}Choices","location":"se","candidates":[{C0},{C1}],'
        f'"literal_values":{se}}}],"index":1}}'
    )
    return (
        f'{{{TYPE}Template","elements":[{{{TYPE}Choices","location":"stem","candidates":[{C0},{C1}],'
        f'"literal_values":{stem}}},{{{TYPE}Choices","location":"block","candidates":[{C0},{inner}],"literal_values":'
        """["'plain'","{k=OneOf(candidates=[0: 3, 1: 5]), se=OneOf(candidates=[0: 0.0, 1: 0.25])}"]},"""
        f'{{{TYPE}Choices","location":"pick","num_choices":2,"candidates":[{C0},{C1},{C2}],'
        f'"literal_values":{pick},"sorted":true}}]}}'
    )


OLD = golden('["8","16"]', '["3","5"]', '["0.0","0.25"]', '["10","20","30"]')
NEW = golden("[8,16]", "[3,5]", "[0.0,0.25]", "[10,20,30]")
BLOCK = "1/2 ({k=OneOf(candidates=[0: 3, 1: 5]), se=OneOf(candidates=[0: 0.0, 1: 0.25])})"
WITH_BLOCK = {
    "stem": "0/2 (8)",
    "block": BLOCK,
    "block[=1/2].k": "0/2 (3)",
    "block[=1/2].se": "1/2 (0.25)",
    "pick[0]": "0/3 (10)",
    "pick[1]": "1/3 (20)",
}
PLAIN = {"stem": "1/2 (16)", "block": "0/2 ('plain')", "pick[0]": "0/3 (10)", "pick[1]": "1/3 (20)"}


@pytest.fixture(params=[OLD, NEW], ids=["pyglove 0.1.0", "pyglove 0.4.5"])
def space(request: pytest.FixtureRequest) -> Space:
    return read_space(request.param)


def test_the_golden_space_says_the_golden_parameters(space: Space) -> None:
    """Both dialects give the same strings, of which the trainers' own library accepts each."""
    assert space.size == 30
    assert parameters(space, (0, 1, 0, 1, 0, 1)) == WITH_BLOCK
    assert parameters(space, (1, 0, CLOSED, CLOSED, 0, 1)) == PLAIN
    assert list(parameters(space, (0, 1, 0, 1, 0, 1))) == list(WITH_BLOCK)
    assert point_of_parameters(space, json.dumps(WITH_BLOCK)) == (0, 1, 0, 1, 0, 1)


def test_people_read_an_architecture_without_indices(space: Space) -> None:
    """What lies below a candidate stands in its place."""
    assert readable(space, (0, 1, 0, 1, 0, 1)) == "stem=8 block={k=3 se=0.25} pick=[10 20]"
    assert decoded(space, (1, 0, CLOSED, CLOSED, 0, 1)) == {"stem": "16", "block": "'plain'", "pick": ["10", "20"]}


def test_a_choice_of_choices_is_read_through() -> None:
    """A candidate that is itself a choice shows what was picked, and one without literals its index."""
    inner = f'{{{TYPE}Template","index":1,"elements":[{{{TYPE}Choices","candidates":[{C0},{C1}]}}]}}'
    space = read_space(f'{{{TYPE}Template","elements":[{{{TYPE}Choices","candidates":[{C0},{inner}]}}]}}')
    assert readable(space, (1, 0)) == "0/2"
    assert parameters(space, (1, 0)) == {"": "1/2", "[=1/2]": "0/2"}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "not a JSON object"),
        (json.dumps(PLAIN | {"stem": 1}), "'stem' is 1, not one of 2"),
        (json.dumps(PLAIN | {"stem": "2/2 (16)"}), "not one of 2"),
        (json.dumps(PLAIN | {"stem": "1/3 (16)"}), "not one of 2"),
        (json.dumps(PLAIN | {"stem": "1/2 (8)"}), "where the search space has '1/2 \\(16\\)'"),
        (json.dumps({key: PLAIN[key] for key in PLAIN if key != "block"}), "lack 'block'"),
        (json.dumps(WITH_BLOCK | {"block": "0/2 ('plain')"}), "no open decision"),
        (json.dumps(PLAIN | {"pick[0]": "1/3", "pick[1]": "0/3"}), "break the order"),
    ],
)
def test_parameters_of_another_space_are_refused(text: str, what: str) -> None:
    """Each contradiction has its own sentence."""
    with pytest.raises(ValueError, match=what):
        point_of_parameters(read_space(NEW), text)


def test_indices_without_literals_are_accepted() -> None:
    """As trainers' own library accepts them."""
    bare = {key: value.partition(" ")[0] for key, value in PLAIN.items()}
    assert point_of_parameters(read_space(OLD), json.dumps(bare)) == (1, 0, CLOSED, CLOSED, 0, 1)


def test_the_longest_text_is_known_beforehand(space: Space) -> None:
    """No point's text is longer than what was foretold, and one is nearly as long."""
    foretold = longest_text(space, 10**6)
    actual = max(len(parameters_text(space, point)) for point in every_point(space))
    assert actual <= foretold <= actual + len(space.decisions)


def test_a_flat_architecture_reads_as_any_other() -> None:
    """The short way for spaces without conditions gives location and literal, or the number where there is none."""
    literal, bare = Choice("a.b", (Template(),) * 2, ("'x'", "'y'")), Choice("[1]", (Template(),) * 3)
    assert readable(space_of(Template((literal, bare))), (1, 2)) == "a.b='y' [1]=2/3"
    assert readable(space_of(Template((Choice("", (Template(),) * 2, ("4", "8")),))), (0,)) == "4"
