"""Many jobs as rows: the same values as `get` gives, field for field, whatever the kind and whoever asks."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainyard.contract import codec
from trainyard.contract.operations import messages, operations
from trainyard.contract.pool import message_class
from trainyard.core.errors import Internal, InvalidArgument, PermissionDenied
from trainyard.core.ids import TimeOrderedIds
from trainyard.core.jobs import Job, Problem, Status
from trainyard.core.names import JobName, OperationName, Scope
from trainyard.core.states import JobState
from trainyard.kind import Kind, ShowsSpec
from trainyard.kinds.custom_job.kind import CustomJobKind
from trainyard.kinds.nas_job.kind import NasJobKind
from trainyard.service.access import Caller, OpenAccess
from trainyard.service.cells import Memo, cell
from trainyard.service.dispatch import Service
from trainyard.service.reading import Asked
from trainyard.service.wire import part_of
from trainyard.store import StoredOperation
from trainyard.stores.memory import MemoryStore

from .desk import ListedLines, TickingClock

SCOPE = Scope.of("p1", "us-central1")
KINDS: dict[str, Kind] = {kind.collection: kind for kind in (CustomJobKind(), NasJobKind(pytest.fail))}
POOL = {
    "machineSpec": {"machineType": "n1-standard-4"},
    "containerSpec": {"imageUri": "img", "env": [{"name": "TOKEN", "value": "secret"}]},
}
RUN = {"workerPoolSpecs": [POOL, {**POOL, "replicaCount": "2"}], "enableWebAccess": True}
SEARCH = {"multiTrialAlgorithmSpec": {"searchTrialSpec": {"searchTrialJobSpec": RUN, "maxTrialCount": 3}}}
BODIES: dict[str, list[dict[str, Any]]] = {
    "customJobs": [{"jobSpec": RUN}, {"jobSpec": {}, "encryptionSpec": {"kmsKeyName": "k"}}, {}],
    "nasJobs": [{"nasJobSpec": SEARCH, "enableRestrictedImageTraining": True}, {"nasJobSpec": {}}, {}],
}


class Looks:
    """Everybody may look; secrets are for nobody."""

    def identify(self, authorization: str = "", api_key: str = "") -> Caller:
        return Caller()

    def may(self, caller: Caller, permission: str, resource: str) -> bool:
        return permission.endswith((".get", ".list")) and (not caller.name or caller.name in resource)


def jobs(collection: str) -> list[Job]:
    """One job of each state and body."""
    made: list[Job] = []
    cls: Any = message_class(f"google.cloud.aiplatform.v1beta1.{KINDS[collection].message_name}")
    for number, state in enumerate(JobState, 1):
        body = BODIES[collection][0 if state is JobState.RUNNING else number % 3]
        labels = {"b": "2", "a": str(number)} if number % 2 else {}
        message = codec.parse(cls, {"displayName": f"näme {number}", "labels": labels, **body})
        problem = Problem(3, 'it\'s "wrong"\n') if state is JobState.FAILED else None
        time_us = 1_700_000_000_000_000 + number * 1_234_567
        status = Status(state, time_us + 3_000, time_us + 1 if number > 2 else None, time_us + 5_000_000, problem)
        if state is JobState.RUNNING:
            status = replace(status, run_id=f"{number}-1", memo='{"rec":{"workerpool1-0":1}}')
        name = JobName(SCOPE, collection, number)
        spec = message.SerializeToString(deterministic=True)
        made.append(Job(name, time_us, f"näme {number}", labels, spec, status))
    return made


def service(collection: str, access: Any = None) -> tuple[Service, list[Job]]:
    """A service over these jobs."""
    store, clock, made = MemoryStore(), TickingClock(), jobs(collection)
    for job in made:
        asyncio.run(store.insert(job))
    logbook: Any = ListedLines()
    parts: dict[str, Any] = {"desk": store, "logbook": logbook, "kinds": KINDS.values(), "clock": clock}
    return Service(**parts, ids=TimeOrderedIds(clock), access=access or OpenAccess()), made


def shown(service: Service, job: Job) -> dict[str, Any]:
    """The job as REST gives it."""
    operation = next(each for each in operations() if each.verb == "get" and each.collection == job.name.collection)
    request = message_class(operation.request.replace("{v}", "v1"))(name=str(job.name))  # type: ignore[call-arg]  # made at run time
    answer: dict[str, Any] = codec.render(asyncio.run(service.call(operation, "v1", request, Caller())))
    return answer


def fields_of(collection: str) -> list[str]:
    """Every field of the kind's message, but for what only `get` tells."""
    message = messages()["google.cloud.aiplatform.{v}." + KINDS[collection].message_name]
    return [field.json_name for field in message.fields if "v1" in field.versions and field.name != "nas_job_output"]


@pytest.mark.parametrize("access", [None, Looks()], ids=["all", "no secrets"])
@pytest.mark.parametrize("collection", KINDS)
def test_rows_are_what_get_shows(collection: str, access: Any) -> None:
    """Every field alone, and all together; of all jobs and of one by its id; counted ones too."""
    desk, made = service(collection, access)
    expected = [shown(desk, job) for job in reversed(made)]
    asked = Asked(collection, "p1", "us-central1")
    reading = desk.reading(Caller())
    fields = fields_of(collection)
    for wanted in (*([field] for field in fields), fields):
        rows = [row for part in reading.rows(asked, wanted) for row in part]
        assert rows == [tuple(cell(each.get(field)) for field in wanted) for each in expected]
        (one,) = next(iter(reading.rows(replace(asked, id="3"), wanted)))
        assert one == rows[-3]
        counted = [row for part in reading.tally(asked, wanted) for row in part]
        assert sum(row[-1] for row in counted) == len(made)
        assert {row[:-1] for row in counted} == set(rows)
    assert ("secret" in str(expected)) == (access is None)
    whole = [row for part in reading.rows(asked, ["nasJobOutput", *fields]) for row in part]
    assert whole == [(None, *(cell(each.get(field)) for field in fields)) for each in expected]
    reading.close()


@pytest.mark.parametrize("collection", KINDS)
def test_the_talents_fields_are_the_messages(collection: str) -> None:
    """A kind that shows its spec names fields that there are."""
    kind = KINDS[collection]
    assert isinstance(kind, ShowsSpec)
    names = {field.name for field in messages()["google.cloud.aiplatform.{v}." + kind.message_name].fields}
    assert kind.fields_of_spec | kind.fields_never_set | kind.fields_while_running <= names


def test_filters_and_rights() -> None:
    """Equal fields and AIP-160 text choose; who may not list or get is refused; `-` is where one may list."""
    desk, made = service("customJobs", Looks())
    reading = desk.reading(Caller())
    asked = Asked("customJobs", "p1", "us-central1")

    def ids(one: Asked) -> list[Any]:
        return [row[0] for part in reading.rows(one, ["id"]) for row in part]

    assert ids(replace(asked, equal=(("state", "JOB_STATE_FAILED"),))) == ["5"]
    assert ids(replace(asked, equal=(("displayName", "näme 2"), ("state", "JOB_STATE_PENDING")))) == ["2"]
    assert ids(replace(asked, equal=(("state", "nonsense"),))) == []
    assert ids(replace(asked, filter="labels.a=3")) == ["3"]
    assert ids(replace(asked, id="77")) == ids(replace(asked, id="x")) == ids(replace(asked, id="9" * 30)) == []
    with pytest.raises(InvalidArgument):
        ids(replace(asked, filter="nope"))
    with pytest.raises(InvalidArgument):
        ids(replace(asked, project="P 1"))
    assert reading.within("customJobs", "-", "-", "-") == [(SCOPE.project, "us-central1")]
    assert reading.within("customJobs", "p2", "-", "-") == []
    stranger = desk.reading(Caller("stranger"))
    assert stranger.within("customJobs", "-", "-", "-") == []
    for refused in (asked, replace(asked, id="1")):
        with pytest.raises(PermissionDenied):
            next(iter(stranger.rows(refused, ["id"])))
    assert len(made) == 7


@pytest.mark.parametrize("collection", KINDS)
def test_what_is_remembered_of_specs_is_still_true(collection: str) -> None:
    """Asked again after jobs came and went, rows are what they are without memory."""
    desk, made = service(collection)
    field = "jobSpec" if collection == "customJobs" else "nasJobSpec"
    asked = Asked(collection, "p1", "us-central1")

    def rows(fields: list[str], one: Asked = asked) -> list[Any]:
        with desk.reading(Caller()) as reading:
            return [row for part in reading.rows(one, fields) for row in part]

    before = rows(["id", field])
    late = replace(made[0], name=JobName(SCOPE, collection, 99))
    asyncio.run(desk._keepers.desk.insert(late))
    ended = next(job for job in made if job.is_final)
    gone = OperationName(SCOPE, ended.name, 500)
    asyncio.run(desk._keepers.desk.delete(ended.name, StoredOperation(gone, "v1", "D", 1, 1)))
    expected = [("99", before[-1][1]), *(row for row in before if row[0] != str(ended.id))]
    assert rows(["id", field]) == expected
    assert rows([field, "id", "state"]) == [(row[1], row[0], shown_state(desk, row[0], collection)) for row in expected]
    assert rows([field]) == [(row[1],) for row in expected]
    assert rows([field, "labels"])[0][0] == expected[0][1]
    assert rows(["id", field], replace(asked, equal=(("state", "JOB_STATE_QUEUED"),)))[-1] == before[-1]


def shown_state(desk: Service, job_id: str, collection: str) -> str:
    """The state of a job in the API's word."""
    return desk._keepers.desk.get(JobName(SCOPE, collection, int(job_id))).status.state.api_name


def test_history_comes_with_ids() -> None:
    """Of one job or of all; of none where there can be none."""
    desk, made = service("customJobs")
    with desk.reading(Caller()) as reading:
        asked = Asked("customJobs", "p1", "us-central1")
        assert {job_id for part in reading.changes(asked) for job_id, _ in part} == {job.id for job in made}
        assert [job_id for part in reading.changes(replace(asked, id="4")) for job_id, _ in part] == [4]
        assert list(reading.changes(replace(asked, id="x"))) == []
        assert list(reading.replica_records(replace(asked, id="x"))) == []
        assert (
            list(reading.rows(replace(asked, id="x"), ["id"]))
            == list(reading.tally(replace(asked, id="x"), ["id"]))
            == []
        )


@settings(max_examples=60, deadline=None)
@given(
    name=st.text(max_size=300),
    labels=st.dictionaries(st.text(max_size=5), st.text(max_size=200), max_size=4),
    key=st.text(max_size=20),
    truth=st.booleans(),
)
def test_a_field_is_cut_out_of_the_wire(name: str, labels: dict[str, str], key: str, truth: bool) -> None:
    """The part is a message with that field alone, for every field of every wire type."""
    cls: Any = message_class("google.cloud.aiplatform.v1beta1.NasJob")
    whole = cls(display_name=name, labels=labels, enable_restricted_image_training=truth)
    if key:
        whole.encryption_spec.kms_key_name = key
    wire = whole.SerializeToString(deterministic=True)
    for field in cls.DESCRIPTOR.fields:
        alone = cls()
        if field.name == "labels":
            alone.labels.update(labels)
        elif field.message_type is not None:
            if whole.HasField(field.name):
                getattr(alone, field.name).CopyFrom(getattr(whole, field.name))
        else:
            setattr(alone, field.name, getattr(whole, field.name))
        assert cls.FromString(part_of(wire, field.number)) == alone


def test_what_is_remembered_is_bounded() -> None:
    """A memo forgets everything rather than grow for ever."""
    asked: list[int] = []
    memo: Memo[int] = Memo(lambda key: asked.append(key) or str(key))  # type: ignore[func-returns-value]  # counts on the way
    assert [memo[1], memo[1], json.dumps(memo[2])] == ["1", "1", '"2"']
    assert asked == [1, 2]
    for key in range(10_000):
        assert memo[key] == str(key)
    assert len(memo) <= 4096


def test_what_is_remembered_of_specs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest known scope makes room for a new one; a scope of too many shapes is not kept at all."""
    desk, _ = service("customJobs")
    essences = desk._cells.essences
    keepers = desk._keepers
    for job in jobs("customJobs"):
        other = JobName(Scope.of("p2", "us-central1"), "customJobs", job.id + 100)
        asyncio.run(keepers.desk.insert(replace(job, name=other)))

    def read(project: str) -> int:
        with desk.reading(Caller()) as reading:
            asked = Asked("customJobs", project, "us-central1")
            return sum(len(part) for part in reading.rows(asked, ["jobSpec"]))

    monkeypatch.setattr("trainyard.service.essences.MOST_JOBS", 10)
    assert [read("p1"), read("p2"), read("p1")] == [7, 7, 7]
    assert [scope.project for _, scope in essences._known] == [SCOPE.project]
    essences._known = {}
    monkeypatch.setattr("trainyard.service.essences.MOST_SHAPES", 2)
    assert [read("p1"), len(essences._known)] == [7, 0]


@pytest.mark.parametrize(
    "spec", [b"\x01TYS1 was sealed", b"\x0a\xff\xff\xff", b"\xff"], ids=["sealed", "cut off", "a byte"]
)
@pytest.mark.parametrize("collection", KINDS)
def test_a_job_that_cannot_be_read_stands_beside_the_others(collection: str, spec: bytes) -> None:
    """Lists and tables show what is kept beside its spec; `get` says what to do."""
    desk, made = service(collection)
    name = JobName(SCOPE, collection, 999)
    labels = {"team": "vision"}
    odd = Job(name, 1_700_000_000_000_000, "odd", labels, spec, Status(JobState.SUCCEEDED, 1_700_000_000_000_000))
    store: Any = desk._keepers.desk
    asyncio.run(store.insert(odd))
    method = f"List{KINDS[collection].message_name}s"
    listing = next(each for each in operations() if each.method == method)
    cls: Any = message_class(listing.request.replace("{v}", "v1"))
    for mask in ({}, {"read_mask": {"paths": ["name", "display_name", "labels"]}}):
        answer = asyncio.run(desk.call(listing, "v1", cls(parent=str(SCOPE), page_size=100, **mask), Caller()))
        found = codec.render(answer)[collection]
        assert len(found) == len(made) + 1
        assert (found[0]["name"], found[0]["displayName"], found[0]["labels"]) == (str(name), "odd", labels)
    (field,) = {"jobSpec", "nasJobSpec"} & set(fields_of(collection))
    for fields in ([field], fields_of(collection)):
        with desk.reading(Caller()) as reading:
            rows = [row for part in reading.rows(Asked(collection, "p1", "us-central1"), fields) for row in part]
        assert len(rows) == len(made) + 1
        assert rows[0][fields.index(field)] in (None, "{}")
    with pytest.raises(Internal, match="damaged or changed on the disk"):
        shown(desk, odd)
