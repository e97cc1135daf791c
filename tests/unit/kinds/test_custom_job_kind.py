"""CustomJob as a kind: from a request to a draft, a message, a demand, a run group and a decision."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf import json_format

from trainyard.contract.pool import API_PACKAGE, STORED_VERSION, message_class
from trainyard.core.errors import InvalidArgument
from trainyard.core.jobs import Job, Problem, Status
from trainyard.core.names import JobName, Scope
from trainyard.core.runs import Places, PythonPackage, Resources
from trainyard.core.states import JobState
from trainyard.kind import Room
from trainyard.kinds.custom_job.kind import CustomJobKind
from trainyard.kinds.machines import Machines, Reservation
from trainyard.kinds.running import spec as reading
from trainyard.kinds.running.memo import Memo

CLASS: Any = message_class(f"{API_PACKAGE}.{STORED_VERSION}.CustomJob")
KIND = CustomJobKind()
POOL: dict[str, Any] = {
    "machineSpec": {"machineType": "n1-standard-4"},
    "containerSpec": {"imageUri": "img", "args": ["x"]},
}
GIB = 2**30
T0 = 1_700_000_000_123_456


def message(pools: list[dict[str, Any]] | None = None, labels: dict[str, str] | None = None, **spec: Any) -> Any:
    body = {"displayName": "t", "labels": labels or {}, "jobSpec": {"workerPoolSpecs": pools or [POOL], **spec}}
    return json_format.ParseDict(body, CLASS())


def job(asked: Any) -> Job:
    draft = KIND.draft(asked)
    return Job(
        name=JobName(Scope("123456789012", "us-central1"), "customJobs", 42),
        create_time_us=T0,
        display_name=draft.display_name,
        labels=draft.labels,
        spec=draft.spec,
        status=Status(JobState.QUEUED, T0),
        priority=draft.priority,
    )


def rendered(kept: Job) -> dict[str, Any]:
    return json_format.MessageToDict(KIND.render(kept))


def test_a_draft_keeps_the_caller_s_bytes() -> None:
    """The spec that is kept is what was sent, without the fields that only the service sets."""
    asked = message(labels={"k": "v"})
    sent = CLASS()
    sent.CopyFrom(asked)
    sent.name, sent.state = "mine", JobState.SUCCEEDED
    draft = KIND.draft(sent)
    assert CLASS.FromString(draft.spec) == asked
    assert (draft.display_name, draft.labels, draft.priority) == ("t", {"k": "v"}, 0)
    assert draft.notes == ()


def test_a_draft_that_breaks_rules_is_refused() -> None:
    """Faults of the rules and of the priority label come in one error."""
    with pytest.raises(InvalidArgument) as caught:
        KIND.draft(message(pools=[{}], labels={"trainyard-priority": "urgent"}))
    assert [fault.field for fault in caught.value.violations] == ["job_spec.worker_pool_specs[0]", "labels"]


def test_a_fresh_job_reads_back_with_its_stamps() -> None:
    """Name, state and two equal times; no start, end or error; a count that was not given reads as one replica."""
    assert rendered(job(message())) == {
        "name": "projects/123456789012/locations/us-central1/customJobs/42",
        "displayName": "t",
        "jobSpec": {"workerPoolSpecs": [{**POOL, "replicaCount": "1"}]},
        "state": "JOB_STATE_QUEUED",
        "createTime": "2023-11-14T22:13:20.123456Z",
        "updateTime": "2023-11-14T22:13:20.123456Z",
    }


def test_an_ended_job_reads_back_with_all_its_times_and_its_error() -> None:
    """Start, end and error appear once there are any."""
    status = Status(JobState.FAILED, T0 + 9, T0 + 1, T0 + 9, Problem(3, "The replica workerpool0-0 exited."))
    body = rendered(replace(job(message()), status=status))
    assert body["state"] == "JOB_STATE_FAILED"
    assert body["startTime"].endswith("0.123457Z")
    assert body["endTime"] == body["updateTime"]
    assert body["error"] == {"code": 3, "message": "The replica workerpool0-0 exited."}


def test_an_output_directory_gets_its_slash() -> None:
    """GcsDestination: a missing trailing slash is added; an existing one is not doubled."""
    for given in ("gs://bkt/out", "gs://bkt/out/"):
        kept = job(message(baseOutputDirectory={"outputUriPrefix": given}))
        assert rendered(kept)["jobSpec"]["baseOutputDirectory"]["outputUriPrefix"] == "gs://bkt/out/"
        assert KIND.run_group(running(kept)).base_output_uri == "gs://bkt/out/"


def running(kept: Job) -> Job:
    return replace(kept, status=replace(kept.status, state=JobState.PENDING, attempt=1, run_id="42-1"))


def test_a_run_group_holds_every_replica_in_pool_order() -> None:
    """Skipped pools keep their number, containers and packages become programs, env keeps its order."""
    pools = [
        {**POOL, "replicaCount": 1},
        {},
        {
            "machineSpec": {"machineType": "g2-standard-24"},
            "replicaCount": 2,
            "pythonPackageSpec": {
                "executorImageUri": "exe",
                "packageUris": ["gs://bkt/a.tar.gz", "gs://bkt/b.tar.gz"],
                "pythonModule": "trainer.task",
                "args": ["--x"],
                "env": [{"name": "B", "value": "1"}, {"name": "A", "value": "$(B)"}],
            },
        },
    ]
    group = KIND.run_group(running(job(message(pools))))
    assert (group.run_id, group.job_id, group.project, group.location) == ("42-1", 42, "123456789012", "us-central1")
    assert group.job_name == "projects/123456789012/locations/us-central1/customJobs/42"
    assert [replica.name for replica in group.replicas] == ["workerpool0-0", "workerpool2-0", "workerpool2-1"]
    first, _, last = group.replicas
    assert (first.image_uri, first.command, first.args, first.package) == ("img", (), ("x",), None)
    assert (last.pool, last.index, last.image_uri, last.args) == (2, 1, "exe", ("--x",))
    assert last.package == PythonPackage(("gs://bkt/a.tar.gz", "gs://bkt/b.tar.gz"), "trainer.task")
    assert last.env == (("B", "1"), ("A", "$(B)"))
    assert last.resources == Resources(24.0, 96 * GIB, 2)
    assert json.loads(group.job_spec_json)["workerPoolSpecs"][2]["replicaCount"] == "2"


def test_a_run_group_starts_what_was_restarted_anew() -> None:
    """A worker that was restarted in place has its next incarnation in the group, or nothing would start it."""
    kept = running(job(message()))
    twice = Memo().restarted("workerpool0-0").restarted("workerpool0-0")
    restarted = replace(kept, status=replace(kept.status, memo=twice.dump()))
    assert [replica.incarnation for replica in KIND.run_group(kept).replicas] == [0]
    assert [replica.incarnation for replica in KIND.run_group(restarted).replicas] == [2]


def test_a_command_and_the_tracking_names_reach_the_run_group() -> None:
    """What the environment of the program is made of is handed on."""
    context = "projects/p/locations/l/metadataStores/default/contexts/e"
    pool = {**POOL, "containerSpec": {"imageUri": "img", "command": ["sh", "-c"]}}
    group = KIND.run_group(running(job(message([pool], experiment=context, experimentRun=f"{context}-r"))))
    assert group.replicas[0].command == ("sh", "-c")
    assert (group.experiment, group.experiment_run) == (context, f"{context}-r")


def test_the_service_account_reaches_draft_and_run_group() -> None:
    """The door asks whether the caller may act as it; the programs are it."""
    asked = message([POOL], serviceAccount="a@b")
    assert KIND.draft(asked).run_as == ("a@b",)
    assert KIND.draft(message([POOL])).run_as == ()
    assert KIND.run_group(running(job(asked))).service_account == "a@b"


def test_a_reservation_that_is_not_to_be_had_is_told_wherever_it_runs() -> None:
    """Where nothing is set aside, the service log says that the named reservation has no effect."""
    affinity = {
        "reservationAffinityType": "SPECIFIC_RESERVATION",
        "key": "compute.googleapis.com/reservation-name",
        "values": ["projects/p/zones/z/reservations/r"],
    }
    named = running(job(message([{**POOL, "machineSpec": {**POOL["machineSpec"], "reservationAffinity": affinity}}])))
    told = KIND.run_group(named).remarks
    assert set(told) == {"host", "podman", "docker"}
    assert all("nothing is set aside on this machine" in sentence for (sentence,) in told.values())
    here = Machines.known(reservations=[Reservation(Places("r", 1))])
    assert CustomJobKind(here).run_group(named).remarks == {}


def test_a_demand_is_all_replicas_at_once() -> None:
    """CPU and memory come from the machine type; GPUs that are asked for count, TPUs do not."""
    gpu = {
        **POOL,
        "replicaCount": 2,
        "machineSpec": {"machineType": "n1-standard-8", "acceleratorType": "NVIDIA_TESLA_T4", "acceleratorCount": 4},
    }
    tpu = {**POOL, "machineSpec": {"machineType": "cloud-tpu", "acceleratorType": "TPU_V2", "acceleratorCount": 8}}
    demand = KIND.demand(job(message([POOL, gpu, tpu])))
    gpus = Resources(8.0, 30 * GIB, 4)
    assert demand.replicas == (Resources(4.0, 15 * GIB, 0), gpus, gpus, Resources(96.0, 340 * GIB, 0))


@pytest.mark.parametrize(
    ("scheduling", "expected"),
    [
        ({}, (604800.0, False, False, None, False)),
        ({"timeout": "1.5s", "restartJobOnWorkerRestart": True}, (1.5, False, True, None, False)),
        ({"disableRetries": True, "restartJobOnWorkerRestart": True}, (604800.0, True, False, None, False)),
        ({"strategy": "SPOT", "maxWaitDuration": "0s"}, (604800.0, False, False, None, True)),
        ({"strategy": "LOW_COST"}, (604800.0, False, False, None, True)),
        ({"strategy": "FLEX_START"}, (604800.0, False, False, 86400.0, False)),
        ({"strategy": "FLEX_START", "maxWaitDuration": "60s"}, (604800.0, False, False, 60.0, False)),
        ({"strategy": "FLEX_START", "maxWaitDuration": "0s"}, (604800.0, False, False, None, False)),
    ],
)
def test_scheduling_becomes_a_policy(scheduling: dict[str, Any], expected: tuple[Any, ...]) -> None:
    """Documented defaults where nothing is given; disableRetries forces restartJobOnWorkerRestart off."""
    policy = reading.policy_of(message(scheduling=scheduling).job_spec, "us-central1")
    assert (
        policy.timeout_seconds,
        policy.disable_retries,
        policy.restart_job_on_worker_restart,
        policy.max_wait_seconds,
        policy.preemptible,
    ) == expected
    assert (policy.replicas, policy.location) == (("workerpool0-0",), "us-central1")


@pytest.mark.parametrize(
    ("label", "strategy", "priority"),
    [
        ("low", "STANDARD", -10),
        ("normal", "STANDARD", 0),
        ("high", "STANDARD", 10),
        ("-100", "STANDARD", -100),
        ("100", "STANDARD", 100),
        ("high", "SPOT", -990),
        ("normal", "SPOT", -1000),
        ("7", "LOW_COST", -993),
    ],
)
def test_the_label_and_the_strategy_give_a_priority(label: str, strategy: str, priority: int) -> None:
    """A word or a number; whatever the label says, SPOT goes after everything else."""
    asked = message(labels={"trainyard-priority": label}, scheduling={"strategy": strategy})
    assert KIND.draft(asked).priority == priority


@pytest.mark.parametrize("label", ["", "urgent", "101", "-101", "1-", "--1", "1000000"])
def test_a_priority_that_is_none_is_refused(label: str) -> None:
    """A typing slip in the label must not silently become some priority."""
    faults = reading.priority_faults({"trainyard-priority": label})
    assert [fault.field for fault in faults] == ["labels"]


def test_what_comes_next_is_decided_by_the_spec_s_policy() -> None:
    """A queued job that gets room is admitted to its first attempt."""
    kept = job(message())
    decision = KIND.decide(kept, None, Room(granted=True), T0 + 1)
    assert decision.status.state is JobState.PENDING
    assert decision.status.run_id == "42-1"
