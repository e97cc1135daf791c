"""The notebook of a search, and what its labels may say."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf import json_format

from trainyard.contract.pool import API_PACKAGE, STORED_VERSION, message_class
from trainyard.core.jobs import Job, Status
from trainyard.core.names import JobName, Scope
from trainyard.core.states import JobState
from trainyard.core.trials import OpenTrial, TrialRun
from trainyard.kind import Moment
from trainyard.kinds.nas_job.kind import NasJobKind
from trainyard.kinds.nas_job.memo import Memo
from trainyard.kinds.nas_job.plan import label_faults
from trainyard.searcher import Open
from trainyard.testing.searches import searcher_named

CLASS: Any = message_class(f"{API_PACKAGE}.{STORED_VERSION}.NasJob")
CHOICE = {
    "_type": "geno.Choices",
    "location": "a",
    "candidates": [{"_type": "geno.Space"}] * 2,
    "literal_values": [1, 2],
}
TWO = json.dumps({"_type": "geno.Space", "elements": [CHOICE]})
TRIAL = {"workerPoolSpecs": [{"containerSpec": {"imageUri": "host"}}]}
SEARCH = {"searchTrialJobSpec": TRIAL, "maxTrialCount": 2, "maxParallelTrialCount": 1}


def test_a_memo_comes_back_as_it_went_in() -> None:
    """Every field; an empty one is the text of every job that has nothing noted."""
    full = Memo(9, 8, 1, 7, 2, 1, 2**31, 3, (4, 5), True, "failed", "why", (1, None, 3), "evolution")
    assert Memo.parse(full.dump()) == full
    assert (full.search_open, full.train_open) == (1, 1)
    assert Memo().dump() == "{}"
    assert Memo.parse("{}") == Memo()


@pytest.mark.parametrize(
    ("label", "value"),
    [
        ("trainyard-searcher", "oracle"),
        ("trainyard-seed", "-1"),
        ("trainyard-seed", "2147483648"),
        ("trainyard-seed", "x"),
        ("trainyard-trials", "mine"),
    ],
)
def test_a_label_that_steers_nothing_is_refused(label: str, value: str) -> None:
    """The sentence has its name and its value."""
    (fault,) = label_faults({label: value})
    assert label in fault.description
    assert value in fault.description


def test_labels_that_are_right_or_not_there() -> None:
    """No fault."""
    assert label_faults({}) == ()
    assert label_faults({"trainyard-searcher": "grid", "trainyard-seed": "7", "trainyard-trials": "claimed"}) == ()


def test_a_search_keeps_the_searcher_that_it_began_with() -> None:
    """Also where the server is started with another one as its default in the middle of it."""
    moment = Moment(2, 1)
    body = {"searchSpaceSpec": TWO, "multiTrialAlgorithmSpec": {"searchTrialSpec": SEARCH}}
    spec = json_format.ParseDict({"displayName": "t", "nasJobSpec": body}, CLASS()).SerializeToString()
    name = JobName(Scope("1", "l"), "nasJobs", 5)
    job = Job(name, 1, "t", {}, spec, Status(JobState.QUEUED, 1))
    first = NasJobKind(searcher_named, default_searcher="random").conduct(job, (), tuple, moment)
    assert Memo.parse(first.status.memo).searcher == "random_search"
    job = replace(job, status=first.status)
    opened: list[str] = []

    def noted(searcher: str) -> Open:
        opened.append(searcher)
        return searcher_named(searcher)

    trials = tuple(OpenTrial(trial, TrialRun(trial.number, JobState.QUEUED)) for trial in first.trials)
    NasJobKind(noted, default_searcher="evolution").conduct(job, trials, lambda: first.trials, moment)
    assert opened == ["random_search"]
