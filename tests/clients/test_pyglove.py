"""pyglove, the library of NAS trainers, old and new, is the oracle of our search-space reader."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from foreign import ROOT, program, pyglove_python, run

from trainyard.core.parameters import parameters, parameters_text, point_of_parameters
from trainyard.core.points import drawn, every_point
from trainyard.core.space import Space
from trainyard.core.space_text import read_space

pytestmark = [pytest.mark.clients, pytest.mark.slow]
VERSIONS = ("0.1.0", "0.4.5")
# The library takes a tenth of a second to read the parameters of a large space.
MOST_SAMPLES, FEW_SAMPLES, FEW_DECISIONS = 150, 10, 12
# What is known of the ten spaces that Google ships, of which these have the structure: size and decisions.
SHIPPED = {
    "pyramid": ("1.9e+15", 28),
    "mobile": ("9.7e+15", 42),
    "augment_few": ("2e+01", 2),
    "augment": ("1.1e+34", 30),
    "scaling": ("4.3e+02", 7),
}


@pytest.fixture(scope="module", params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def python(version: str) -> str:
    """A Python with this pyglove."""
    return pyglove_python(version)


@pytest.fixture(scope="module")
def told(python: str) -> dict[str, Any]:
    """What this pyglove says of each space."""
    return run([python, program("pyglove_spaces.py"), "describe"]).told


def spaces(told: dict[str, Any]) -> dict[str, Space]:
    return {name: read_space(each["spec"]) for name, each in told.items()}


def test_sizes_are_the_librarys(told: dict[str, Any]) -> None:
    """To the last digit, whatever is picked out of whatever."""
    assert {name: space.size for name, space in spaces(told).items()} == {n: each["size"] for n, each in told.items()}


def test_case_c20_spaces_like_the_shipped_ones_are_as_large(told: dict[str, Any]) -> None:
    """Ten structures as Google ships them, with the sizes and decisions that are known of them."""
    read = spaces(told)
    assert {
        name: (f"{read[name].size:.1e}".replace(".0e", "e"), len(read[name].decisions)) for name in SHIPPED
    } == SHIPPED


def test_parameters_are_the_librarys_to_the_letter(told: dict[str, Any]) -> None:
    """What the library samples is a point here, and its parameters come out the same, keys in the same order."""
    for name, each in told.items():
        space = read_space(each["spec"])
        for sample in each["samples"]:
            point = point_of_parameters(space, json.dumps(sample))
            assert list(parameters(space, point).items()) == list(sample.items()), name


def test_counting_through_a_space_follows_the_librarys_order(told: dict[str, Any]) -> None:
    """Row-major, the last decision fastest, conditional spaces, sets and bags included."""
    counted = 0
    for each in told.values():
        if each["all"] is not None:
            space = read_space(each["spec"])
            assert [parameters(space, point) for point in every_point(space)] == each["all"]
            counted += 1
    assert counted >= 6


def test_case_c26_every_sample_of_ours_materialises(python: str, told: dict[str, Any], tmp_path: Path) -> None:
    """A trainer with this library builds what we say, for each space and each different sample."""
    ours = {}
    for name, space in spaces(told).items():
        count = MOST_SAMPLES if len(space.decisions) <= FEW_DECISIONS else FEW_SAMPLES
        ours[name] = sorted({parameters_text(space, drawn(space, Random(seed))) for seed in range(count)})
    file = tmp_path / "parameters.json"
    file.write_text(json.dumps(ours))
    accepted = run([python, program("pyglove_spaces.py"), "accept", str(file)]).told
    assert accepted == {"accepted": sum(map(len, ours.values()))}


def test_the_examples_space_is_what_its_program_prints() -> None:
    """examples/nas_digits/search_space.json comes from space.py beside it."""
    folder = ROOT / "examples" / "nas_digits"
    printed = run([pyglove_python("0.4.5"), str(folder / "space.py")])
    assert printed.out == (folder / "search_space.json").read_text()
    assert read_space(printed.out).size == 8736
