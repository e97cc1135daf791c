"""Conformance cases C20 to C30 of NasJob: what a search space may be, and that its values reach trainers unchanged."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import pytest
from edge_server import BUSY_SECONDS, Api
from nas_requests import CHOICES, SPACE, choice, ended, nas, output_of, parameters, refused, search_trials, space

FIELD = "nas_job_spec.search_space_spec"
ECHO = [sys.executable, "-c", "import sys; sys.stdout.buffer.write(sys.argv[1].encode())"]


def tried(api: Api, searched: str, trials: int = 8, algorithm: str = "GRID_SEARCH") -> list[dict[str, str]]:
    """The parameters of every trial of a search."""
    job = ended(api, nas(trials=trials, at_once=4, searched=searched, algorithm=algorithm, labels={}))
    return [json.loads(parameters(api, job, trial["id"])) for trial in search_trials(job)]


def fault(api: Api, searched: str, **more: Any) -> str:
    """Why a space is refused."""
    found = refused(api, nas(searched=searched, **more))
    assert list(found) == [FIELD]
    return found[FIELD]


def test_case_c20_both_dialects_of_literals_are_kept(api: Api) -> None:
    """Old pyglove writes "3", new pyglove 3: each trainer gets the literal that its own pyglove prints."""
    for literals in (("3", "None", "'x'"), (3, 1.5, True)):
        found = tried(api, space(choice("a", *literals)))
        assert [each["a"] for each in found] == [f"{i}/3 ({literal})" for i, literal in enumerate(literals)]


def test_case_c21_the_newer_type_names_are_the_same(api: Api) -> None:
    """geno.Space and geno.Choices mean what the long names mean."""
    text = space(choice("a", 1, 2)).replace(SPACE, "geno.Space").replace(CHOICES, "geno.Choices")
    assert tried(api, text) == [{"a": "0/2 (1)"}, {"a": "1/2 (2)"}]


@pytest.mark.parametrize(
    "planted",
    [
        {"_type": "_OpaqueObject", "value": "gASVHQAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOUjAV0b3VjaJSFlFKULg=="},
        {"_type": "function", "name": "os.system"},
        {"_type": "type", "name": "subprocess.Popen"},
        {"_type": "antigravity.Surprise"},
    ],
)
def test_case_c22_nothing_that_is_named_is_run(api: Api, planted: dict[str, str]) -> None:
    """A pickle, a function, a type, a type that nobody knows: refused as what they are, names in a text."""
    assert planted["_type"] in fault(api, space(choice("a", 1, 2), planted))


@pytest.mark.parametrize("text", ["{", "[]", "null", '"x"', space(), space({"_type": SPACE}), "x" * 1000])
def test_case_c23_what_is_no_space_is_refused(api: Api, text: str) -> None:
    """No JSON, no tree, no decision: refused under the field's name."""
    assert fault(api, text)


@pytest.mark.parametrize("algorithm", ["GRID_SEARCH", "REINFORCEMENT_LEARNING"])
def test_case_c24_a_float_is_refused(api: Api, algorithm: str) -> None:
    """The original takes no continuous decisions; the sentence says so."""
    text = space(choice("a", 1, 2), {"_type": "geno.Float", "location": "lr", "min_value": 0.1, "max_value": 1.0})
    assert "continuous" in fault(api, text, algorithm=algorithm)


def test_case_c25_choices_that_cannot_be_are_refused(api: Api) -> None:
    """More distinct picks than candidates, and more or fewer literals than candidates."""
    assert fault(api, space(choice("a", 1, 2, num_choices=3)))
    assert fault(api, space(choice("a", 1, 2) | {"literal_values": [1]}))


def test_case_c26_every_point_is_read_back_by_our_own_reader(api: Api) -> None:
    """What trials get is exactly the points of the space; that pyglove reads them is proved in tests/clients."""
    from trainyard.core.parameters import point_of_parameters
    from trainyard.core.space_text import read_space

    text = space(choice("a", 1, 2, 3, num_choices=2, sorted=True), choice("b", "'x'", "'y'"))
    read = read_space(text)
    found = {point_of_parameters(read, json.dumps(each)) for each in tried(api, text)}
    assert len(found) == read.size == 6


def test_case_c27_conditional_keys(api: Api) -> None:
    """A decision below a candidate is there exactly when the candidate is picked, under its path."""
    block = choice("block", "'plain'", "{k}")
    block["candidates"][1]["elements"] = [choice("k", 3, 5), choice("", 7, 8)]
    assert tried(api, space(block)) == [
        {"block": "0/2 ('plain')"},
        {"block": "1/2 ({k})", "block[=1/2].k": "0/2 (3)", "block[=1/2]": "0/2 (7)"},
        {"block": "1/2 ({k})", "block[=1/2].k": "0/2 (3)", "block[=1/2]": "1/2 (8)"},
        {"block": "1/2 ({k})", "block[=1/2].k": "1/2 (5)", "block[=1/2]": "0/2 (7)"},
        {"block": "1/2 ({k})", "block[=1/2].k": "1/2 (5)", "block[=1/2]": "1/2 (8)"},
    ]


@pytest.mark.parametrize("algorithm", ["GRID_SEARCH", "REINFORCEMENT_LEARNING"])
def test_case_c28_sets_stay_sets(api: Api, algorithm: str) -> None:
    """Distinct picks never repeat; sorted picks come in order."""
    text = space(choice("s", 1, 2, 3, 4, num_choices=2, sorted=True), choice("d", 1, 2, 3, num_choices=2))
    for each in tried(api, text, algorithm=algorithm):
        one, other = (int(each[f"s[{place}]"].partition("/")[0]) for place in (0, 1))
        assert one < other
        assert each["d[0]"] != each["d[1]"]


def test_case_c29_any_text_survives_the_way_to_the_trainer(api: Api) -> None:
    """Quotes, apostrophes, dollars, backslashes, line ends and other alphabets in literals and locations."""
    literals = ['"', "'\"'", "$(HOME) $$ $HOME", "\\n\n\t", "日本語 ß 🚂", "; rm -rf / #", " "]
    job = ended(
        api, echoing(nas(trials=len(literals), searched=space(choice("κ", *literals)), algorithm="GRID_SEARCH"))
    )
    assert len(search_trials(job)) == len(literals)
    for trial in search_trials(job):
        flag = output_of(api, job, f"search-{trial['id']}")
        assert flag.isascii()
        assert flag == f"--nas_params_str={parameters(api, job, trial['id'])}"
    found = [json.loads(parameters(api, job, number + 1))["κ"] for number in range(len(literals))]
    assert found == [f"{number}/{len(literals)} ({literal})" for number, literal in enumerate(literals)]


def echoing(body: dict[str, Any]) -> dict[str, Any]:
    """The same search with trials that print their first flag, to the byte."""
    trial = body["nasJobSpec"]["multiTrialAlgorithmSpec"]["searchTrialSpec"]["searchTrialJobSpec"]
    trial["workerPoolSpecs"][0]["containerSpec"]["command"] = ECHO
    return body


def deep(levels: int) -> str:
    inner = '{"_type":"geno.Choices","candidates":[{"_type":"geno.Space"},{"_type":"geno.Space","elements":['
    return '{"_type":"geno.Space","elements":[' + inner * levels + "]}]}" * levels + "]}"


@pytest.mark.parametrize("text", [deep(1000), "[" * 100_000, space(choice("a", *["x" * 100] * 25_000))])
def test_case_c30_what_is_too_deep_or_too_large_is_refused_at_once(api: Api, text: str) -> None:
    """A thousand levels, a hundred thousand brackets, five megabytes: a sentence, and the service goes on."""
    began = time.monotonic()
    assert fault(api, text)
    assert time.monotonic() - began < 5 + BUSY_SECONDS
    assert api.get(f"{api.parent}/nasJobs").status == 200
