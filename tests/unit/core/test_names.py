"""Names, ids, times and errors: the smallest words of the domain."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.core.clock import rfc3339
from trainyard.core.errors import HTTP_STATUS, Code, FieldViolation, InvalidArgument
from trainyard.core.ids import TimeOrderedIds, lowest_id_at
from trainyard.core.names import JobName, OperationName, Scope, collection_of, project_number, project_of

SCOPE = Scope("123456789012", "us-central1")
JOB = JobName(SCOPE, "customJobs", 1234567890123456789)


class Stopwatch:
    """A clock that shows what it is told to."""

    def __init__(self, now_us: int) -> None:
        self.now = now_us

    def now_us(self) -> int:
        return self.now

    def steady_us(self) -> int:
        return self.now


def test_a_project_number_is_fixed_by_its_id() -> None:
    """Twelve digits, the same on every machine and in every release; a number is its own."""
    assert project_number("p1") == "353102999587"
    assert project_number("608533675308") == "608533675308"
    assert all(len(project_number(f"project-{n}")) == 12 for n in range(100))


@pytest.mark.parametrize("name", [SCOPE, JOB, OperationName(SCOPE, None, 7), OperationName(SCOPE, JOB, 7)], ids=str)
def test_a_name_reads_back_as_it_was_written(name: Scope | JobName | OperationName) -> None:
    """Writing and reading are each other's inverse."""
    assert type(name).parse(str(name)) == name


def test_a_project_s_id_and_number_name_the_same_job() -> None:
    """Both are accepted; what we hand out carries the number."""
    by_id = JobName.parse("projects/p1/locations/us-central1/customJobs/42")
    assert by_id == JobName.parse(f"projects/{project_number('p1')}/locations/us-central1/customJobs/42")
    assert str(by_id).startswith("projects/353102999587/")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "projects/p1",
        "projects/p1/locations/us-central1",
        "projects/p1/locations/us-central1/customJobs/",
        "projects/p1/locations/us-central1/customJobs/abc",
        "projects/p1/locations/us-central1/customJobs/-1",
        "projects/p1/locations/us-central1/customJobs/٣",
        "projects/p1/locations/us-central1/customJobs/9223372036854775808",
        "projects/p1/locations/us-central1/customJobs/1/operations",
        "projects/p1/locations/us-central1//1",
        "projects/P 1/locations/us-central1/customJobs/1",
        "projects/p1/locations/Nowhere!/customJobs/1",
    ],
)
def test_what_is_no_job_name_is_refused(text: str) -> None:
    """Malformed names are the caller's fault, told with the name."""
    with pytest.raises(InvalidArgument):
        JobName.parse(text)


@pytest.mark.parametrize("text", ["", "operations/1", f"{SCOPE}/operations/", f"{SCOPE}/operations/x", f"{JOB}/7"])
def test_what_is_no_operation_name_is_refused(text: str) -> None:
    """An operation lies under a job or straight under a location, and has a decimal id."""
    with pytest.raises(InvalidArgument):
        OperationName.parse(text)


@pytest.mark.parametrize("text", ["", "projects/p1", "projects/p1/locations", f"{JOB}"])
def test_what_is_no_scope_is_refused(text: str) -> None:
    """A scope is a project and a location, no more and no less."""
    with pytest.raises(InvalidArgument):
        Scope.parse(text)


@given(st.text())
def test_reading_a_name_refuses_or_answers(text: str) -> None:
    """No text whatsoever makes a reader fall over."""
    for kind in (Scope, JobName, OperationName):
        with contextlib.suppress(InvalidArgument):
            assert kind.parse(str(kind.parse(text))) == kind.parse(text)


def test_a_resource_tells_its_project_and_collection() -> None:
    """Rights are asked per project and collection, whatever the resource is."""
    assert (project_of(str(JOB)), collection_of(f"{JOB}/operations/7")) == (SCOPE.project, "customJobs")
    assert collection_of(str(SCOPE)) == collection_of(f"{SCOPE}/operations/7") == ""


def test_ids_grow_whatever_the_clock_does() -> None:
    """Never a repeated id: not within a microsecond, not with a clock set back, not after a restart."""
    clock = Stopwatch(1_000_000)
    ids = TimeOrderedIds(clock)
    first, second = ids.next_id(), ids.next_id()
    clock.now = 10
    third = ids.next_id()
    assert first == lowest_id_at(1_000_000)
    assert first < second < third
    assert TimeOrderedIds(clock, last=third).next_id() == third + 1


@pytest.mark.parametrize(
    ("time_us", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_600_185_249_342_080, "2020-09-15T15:54:09.342080Z"),
        (1_600_185_249_342_000, "2020-09-15T15:54:09.342Z"),
        (1_600_185_249_000_001, "2020-09-15T15:54:09.000001Z"),
    ],
)
def test_times_have_no_three_or_six_digits(time_us: int, text: str) -> None:
    """Fractions as proto3 JSON writes them."""
    assert rfc3339(time_us) == text


def test_every_code_has_an_http_status() -> None:
    """AIP-193: an edge can translate whatever is raised."""
    assert set(HTTP_STATUS) == set(Code)


def test_all_faults_of_a_request_are_told_at_once() -> None:
    """Numbered and tab-separated, as the service words them."""
    error = InvalidArgument.found([FieldViolation("a", "bad."), FieldViolation("b[0]", "worse.")])
    assert error.message == "List of found errors:\t1.Field: a; Message: bad.\t2.Field: b[0]; Message: worse.\t "
    assert [violation.field for violation in error.violations] == ["a", "b[0]"]
