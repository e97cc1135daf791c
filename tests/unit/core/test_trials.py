"""A metric file gives a measurement or a sentence, whatever is in it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.core.trials import Goal, Measurement, Metric, Unusable, read_measurement

REPORT = {
    "checkpoint_path": "",
    "global_step": "5",
    "model_flops": "0.0",
    "timestamp": 1795238360.25,
    "accuracy": "0.91",
    "trial": "7",
}


def line(**more: object) -> bytes:
    """One report as cloudml-hypertune writes it, without its newline."""
    found = {key: value for key, value in {**REPORT, **more}.items() if value is not ...}
    return json.dumps(found, sort_keys=True).encode()


def why(data: bytes | None) -> str:
    """Why this file is of no use for `accuracy`."""
    found = read_measurement(data, "accuracy")
    assert isinstance(found, Unusable)
    assert found.why.endswith(".")
    return found.why


def measured(data: bytes) -> Measurement:
    """What this file says of `accuracy`."""
    found = read_measurement(data, "accuracy")
    assert isinstance(found, Measurement), found
    return found


def test_the_newest_line_counts_and_texts_are_numbers() -> None:
    """A hundred reports, the last one holds; every number may be a string."""
    found = measured(b"\n".join(line(accuracy=str(n / 100), global_step=str(n)) for n in range(100)) + b"\n")
    assert found == Measurement({"accuracy": 0.99, "model_flops": 0.0}, 99, 1795238360_250000)


def test_pairs_of_key_and_value_become_metrics() -> None:
    """Named extras are shown beside the metric; those that are not finite, nameless or half are left out."""
    extras = {"key_0": "latency", "value_0": "12.5", "key_1": "size", "value_1": "nan", "key_2": "", "value_2": "1"}
    found = measured(line(**extras, key_3="half", key_4="accuracy", value_4="5", key_5=7, value_5="1", model_flops="x"))
    assert found.metrics == {"accuracy": 0.91, "latency": 12.5}


def test_other_tags_may_come_between() -> None:
    """The newest line that carries the metric counts, also when another metric was reported after it."""
    assert measured(line(accuracy="0.5") + b"\n" + line(accuracy=..., loss="2") + b"\n").metrics["accuracy"] == 0.5


def test_a_line_torn_off_while_it_was_written_is_passed_over() -> None:
    """The file is rewritten whole: what is cut at its end falls back to the line before."""
    whole, torn = line(accuracy="0.5"), line(accuracy="0.6")
    for cut in range(1, len(torn)):
        assert measured(whole + b"\n" + torn[:cut]).metrics["accuracy"] == 0.5
    assert measured(whole + b"\n" + torn).metrics["accuracy"] == 0.6


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (None, "wrote no metric file"),
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (line(accuracy="nan"), "reported 'nan' for 'accuracy'; only a finite number counts"),
        (line(accuracy=float("nan")), "reported 'nan'"),
        (line(accuracy="-inf"), "reported '-inf'"),
        (line(accuracy="1e999"), "only a finite number counts"),
        (line(accuracy=10**400), "only a finite number counts"),
        (line(accuracy="good"), "reported 'good' for 'accuracy', which is not a number"),
        (line(accuracy="1_000"), "which is not a number"),
        (line(accuracy=None), "reported 'None'"),
        (line(accuracy=True), "reported 'True'"),
        (line(accuracy=[1]), "which is not a number"),
        (line(accuracy=..., loss="1", auc="2"), "reports 'auc', 'loss', but not 'accuracy'"),
        (line(accuracy=...), "no complete line that reports 'accuracy'"),
        (b'{"accur', "no complete line that reports 'accuracy'"),
        (b"garbage\n", "line 'garbage' is not JSON"),
        (b"\xff\xfe\n", "is not UTF-8"),
        (b"[1]\n", "line '[1]' is not a JSON object"),
        (b"[" * 100_000 + b"\n", "[[[…' is not JSON"),
        (line() + b"\ngarbage\n", "line 'garbage' is not JSON"),
    ],
)
def test_every_way_of_being_unusable_has_its_sentence(data: bytes | None, sentence: str) -> None:
    """Nothing, nonsense, not a number, not finite, another metric: each is told apart."""
    assert sentence in why(data)


@pytest.mark.parametrize(
    ("value", "steps"),
    [("7", 7), (7, 7), ("7.9", 7), ("-1", 0), ("x", 0), (..., 0), ("1e30", 0), (True, 0), (2**53, 2**53), (2**63, 0)],
)
def test_a_step_that_is_no_step_is_none(value: object, steps: int) -> None:
    """Steps are whole, not negative and fit the field; anything else is 0, never a lost measurement."""
    assert measured(line(global_step=value)).step_count == steps


@pytest.mark.parametrize("value", ["x", -5, 1e300, ..., None])
def test_a_time_that_is_no_time_is_unknown(value: object) -> None:
    """A report without a believable time still counts."""
    assert measured(line(timestamp=value)).reported_us is None


def test_the_goal_turns_the_sign() -> None:
    """A searcher always sees larger as better; a metric that was not measured teaches nothing."""
    measurement = Measurement({"loss": 2.0})
    assert Metric("loss").reward(measurement) == 2.0
    assert Metric("loss", Goal.MINIMIZE).reward(measurement) == -2.0
    assert Metric("auc").reward(measurement) is None
    assert Metric("loss").reward(None) is None


@given(st.binary(max_size=300) | st.text(alphabet='{}[]":,accury0123456789.e-\n\\').map(str.encode))
def test_no_bytes_harm_the_reader(data: bytes) -> None:
    """Any bytes at all are a measurement or a sentence."""
    found = read_measurement(data, "accuracy")
    assert isinstance(found, Measurement) or found.why
