"""Lists: pages, filters and read masks through the single door."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from trainyard.core.errors import InvalidArgument
from trainyard.core.jobs import Job
from trainyard.core.states import JobState
from trainyard.kinds.custom_job.kind import CustomJobKind
from trainyard.service.listing import Seen
from trainyard.testing.builders import plain_job

from .desk import PARENT, Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_an_empty_location_lists_as_nothing(bench: Bench) -> None:
    """No jobs, no keys."""
    bench.create(parent="projects/p1/locations/us-east1")
    bench.create(parent="projects/p2/locations/us-central1")
    assert bench.list() == {}


def test_pages_give_every_job_once_newest_first(bench: Bench) -> None:
    """25 jobs in pages of 10: 10, 10 and 5, none twice, the last page without a token."""
    for number in range(25):
        bench.create(displayName=f"job-{number}")
    seen: list[str] = []
    sizes, token = [], ""
    while True:
        page = bench.list(pageSize=10, pageToken=token)
        sizes.append(len(page["customJobs"]))
        seen += [job["displayName"] for job in page["customJobs"]]
        token = page.get("nextPageToken", "")
        if not token:
            break
    assert sizes == [10, 10, 5]
    assert seen == [f"job-{number}" for number in reversed(range(25))]


@pytest.mark.parametrize(
    "request_fields",
    [
        {"pageToken": "nonsense"},
        {"pageSize": -1},
        {"filter": "nope=1"},
        {"filter": 'displayName="x'},
        {"readMask": "nope"},
        {"readMask": "displayName.x"},
        {"parent": "projects/p1"},
    ],
)
def test_a_list_that_cannot_be_is_refused(bench: Bench, request_fields: dict[str, Any]) -> None:
    """Bad tokens, sizes, filters, masks and parents are the caller's fault."""
    with pytest.raises(InvalidArgument):
        bench.list(**request_fields)


def test_a_token_goes_with_its_filter(bench: Bench) -> None:
    """A page token of one filter is refused with another."""
    bench.create()
    bench.create()
    token = bench.list(pageSize=1, filter='displayName="t"')["nextPageToken"]
    with pytest.raises(InvalidArgument):
        bench.list(pageSize=1, pageToken=token)


def test_filters_choose_jobs(bench: Bench) -> None:
    """State, name and label filters give the matching jobs only."""
    bench.create(displayName="my_a", labels={"env": "prod"})
    done = bench.create(displayName="my_b")
    bench.create(displayName="other", labels={"env": "dev"})
    bench.end(done["name"])
    assert bench.names(filter='state="JOB_STATE_SUCCEEDED"') == ["my_b"]
    assert bench.names(filter='displayName:"my_*" AND NOT state="JOB_STATE_SUCCEEDED"') == ["my_a"]
    assert bench.names(filter="labels.env:*") == ["other", "my_a"]


@pytest.mark.parametrize(
    ("mask", "fields"),
    [
        ("name,displayName", {"name", "displayName"}),
        ("customJobs.name,customJobs.displayName", {"name", "displayName"}),
        ("customJobs.state,nextPageToken", {"state"}),
        ("labels", {"labels"}),
    ],
)
def test_a_read_mask_leaves_the_wanted_fields(bench: Bench, mask: str, fields: set[str]) -> None:
    """Only the named fields are in each item, whether the path starts at the job or at the answer."""
    bench.create(labels={"k": "v"})
    bench.create(labels={"k": "v"})
    page = bench.list(readMask=mask, pageSize=1)
    assert page["customJobs"][0].keys() == fields
    assert page["nextPageToken"]


@pytest.mark.parametrize("mask", ["", "*", "customJobs", "customJobs.*", "nextPageToken"])
def test_a_read_mask_may_want_everything(bench: Bench, mask: str) -> None:
    """No mask, a star and the whole collection all give whole jobs."""
    made = bench.create(labels={"k": "v"})
    assert bench.list(readMask=mask)["customJobs"] == [made]


def test_a_read_mask_goes_down_into_messages(bench: Bench) -> None:
    """A nested path keeps its branch, through repeated fields and maps."""
    bench.create(labels={"k": "v", "l": "w"})
    page = bench.list(readMask="jobSpec.workerPoolSpecs.replicaCount,labels.k")
    assert page["customJobs"] == [{"jobSpec": {"workerPoolSpecs": [{"replicaCount": "1"}]}, "labels": {"k": "v"}}]


def test_both_versions_list_the_same(bench: Bench) -> None:
    """v1beta1 lists what v1 lists."""
    bench.create()
    assert bench.call("ListCustomJobs", {"parent": PARENT}, "v1beta1") == bench.list()


def bare_job(job_id: int) -> Job:
    """One without a spec."""
    return replace(plain_job(job_id), spec=b"")


class Counting(CustomJobKind):
    """Knows which jobs it was asked to render."""

    def __init__(self) -> None:
        super().__init__()
        self.rendered: list[tuple[int, int]] = []

    def render(self, job: Job) -> Any:
        self.rendered.append((job.id, job.revision))
        return super().render(job)


def test_what_was_seen_is_rendered_again_only_when_it_has_changed() -> None:
    """One rendering for each revision, whatever page it stands on; of the many that were seen the oldest go."""
    kind, seen, plain = Counting(), Seen(most_bytes=20_000), CustomJobKind()
    first = bare_job(1)
    changed = replace(first, status=replace(first.status, state=JobState.PENDING), revision=1)
    for job in (first, first, changed, changed, first):
        assert seen.wire(kind, job) == plain.render(job).SerializeToString()
    assert kind.rendered == [(1, 0), (1, 1)]
    for job_id in range(2, 102):
        seen.wire(kind, bare_job(job_id))
    kind.rendered.clear()
    seen.wire(kind, first)
    seen.wire(kind, bare_job(101))
    assert kind.rendered == [(1, 0)]


def test_a_job_too_large_to_be_remembered_is_listed_all_the_same(bench: Bench) -> None:
    """Its page is whole, time after time."""
    bench.create(labels={f"k{number}": "v" * 63 for number in range(64)})
    pages = [bench.list() for _ in range(2)]
    assert pages[0] == pages[1]
    assert len(pages[0]["customJobs"][0]["labels"]) == 64
