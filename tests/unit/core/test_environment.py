"""What a replica sees, compared whole with what the documentation shows."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.core.environment import expand, host_name, resolve, service_variables
from trainyard.core.runs import PythonPackage, ReplicaSpec, RunGroup

JOB_SPEC = {"workerPoolSpecs": [{"replicaCount": "1"}]}
DISTRIBUTED = ("CLUSTER_SPEC", "TF_CONFIG", "MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK")


def replica(pool: int = 0, index: int = 0, **fields: object) -> ReplicaSpec:
    return ReplicaSpec(f"workerpool{pool}-{index}", pool, index, "img", **fields)  # type: ignore[arg-type]  # a builder


def group(*replicas: ReplicaSpec, **fields: object) -> RunGroup:
    plain = {
        "run_id": "7-1",
        "job_name": "projects/123/locations/us-central1/customJobs/7",
        "job_id": 7,
        "project": "123",
        "location": "us-central1",
        "job_spec_json": json.dumps(JOB_SPEC),
    }
    return RunGroup(replicas=replicas, **{**plain, **fields})  # type: ignore[arg-type]  # a builder of plain fields


def addresses(of: RunGroup) -> dict[str, str]:
    return {r.name: f"127.0.0.1:{4000 + 10 * r.pool + r.index}" for r in of.replicas}


def seen_by(of: RunGroup, which: int) -> dict[str, str]:
    return service_variables(of, of.replicas[which], addresses(of))


def test_a_single_replica_sees_its_cluster_and_nothing_distributed() -> None:
    """Case 68: CLUSTER_SPEC of one host, no TF_CONFIG, no WORLD_SIZE."""
    seen = seen_by(group(replica()), 0)
    assert json.loads(seen["CLUSTER_SPEC"]) == {
        "cluster": {"workerpool0": ["127.0.0.1:4000"]},
        "environment": "cloud",
        "task": {"type": "workerpool0", "index": 0},
        "job": JOB_SPEC,
    }
    assert set(DISTRIBUTED) & set(seen) == {"CLUSTER_SPEC"}


def test_every_replica_of_several_pools_sees_the_same_cluster_and_its_own_task() -> None:
    """Case 69: pools 1+2+1+1, an empty pool absent, chief/worker/ps, the evaluator a task and no cluster key."""
    whole = group(replica(0), replica(1, 0), replica(1, 1), replica(2), replica(3))
    for place, member in enumerate(whole.replicas):
        seen = seen_by(whole, place)
        spec, tf = json.loads(seen["CLUSTER_SPEC"]), json.loads(seen["TF_CONFIG"])
        assert spec["cluster"] == {
            "workerpool0": ["127.0.0.1:4000"],
            "workerpool1": ["127.0.0.1:4010", "127.0.0.1:4011"],
            "workerpool2": ["127.0.0.1:4020"],
            "workerpool3": ["127.0.0.1:4030"],
        }
        assert spec["task"] == {"type": f"workerpool{member.pool}", "index": member.index}
        assert tf["cluster"] == {
            "chief": ["127.0.0.1:4000"],
            "worker": ["127.0.0.1:4010", "127.0.0.1:4011"],
            "ps": ["127.0.0.1:4020"],
        }
        assert tf["task"]["type"] == ("chief", "worker", "ps", "evaluator")[member.pool]
        assert tf["task"]["index"] == member.index
        assert re.fullmatch("[0-9a-f]{10}", tf["task"]["cloud"])
        assert (tf["environment"], tf["job"]) == ("cloud", JOB_SPEC)
        assert [seen[name] for name in DISTRIBUTED[2:]] == ["127.0.0.1", "4000", "5", str(place)]


def test_an_empty_pool_is_absent() -> None:
    """Pool 1 `{}` and pool 2 filled: the cluster has no workerpool1 and the ps gets rank 1."""
    whole = group(replica(0), replica(2))
    seen = seen_by(whole, 1)
    assert set(json.loads(seen["CLUSTER_SPEC"])["cluster"]) == {"workerpool0", "workerpool2"}
    assert set(json.loads(seen["TF_CONFIG"])["cluster"]) == {"chief", "ps"}
    assert seen["RANK"] == "1"


def test_order_is_by_pool_and_index_whatever_the_order_of_the_group() -> None:
    """Ranks and hosts are numbered by index, so that the tenth worker does not come second."""
    whole = group(replica(1, 1), replica(0), replica(1, 0))
    assert [seen_by(whole, place)["RANK"] for place in range(3)] == ["2", "0", "1"]
    cluster = json.loads(seen_by(whole, 0)["CLUSTER_SPEC"])["cluster"]
    assert cluster["workerpool1"] == ["127.0.0.1:4010", "127.0.0.1:4011"]


def test_output_directories_come_only_with_a_base() -> None:
    """Cases 26 and 73: `<base>/model/` and its like, as gs:// URIs, or none at all."""
    names = ("AIP_MODEL_DIR", "AIP_CHECKPOINT_DIR", "AIP_TENSORBOARD_LOG_DIR")
    assert not set(names) & set(seen_by(group(replica()), 0))
    seen = seen_by(group(replica(), base_output_uri="gs://b/out/"), 0)
    assert [seen[name] for name in names] == ["gs://b/out/model/", "gs://b/out/checkpoints/", "gs://b/out/logs/"]


def test_the_job_is_named_by_number_id_region_and_host() -> None:
    """Case 72; the host name is the same for every incarnation and differs between jobs."""
    whole = group(replica(1, 3))
    seen = seen_by(whole, 0)
    assert [seen[f"CLOUD_ML_{what}"] for what in ("PROJECT_ID", "JOB_ID", "REGION")] == ["123", "7", "us-central1"]
    assert re.fullmatch(r"cmle-training-workerpool1-[0-9a-f]{10}-3", seen["HOSTNAME"])
    assert host_name(7, replica(1, 3, incarnation=4)) == seen["HOSTNAME"] != host_name(8, replica(1, 3))


def test_experiment_and_tensorboard_are_set_when_the_job_names_them() -> None:
    """AIP_EXPERIMENT_NAME, AIP_EXPERIMENT_RUN_NAME and AIP_TENSORBOARD_RESOURCE_NAME; each absent when empty."""
    names = ("AIP_EXPERIMENT_NAME", "AIP_EXPERIMENT_RUN_NAME", "AIP_TENSORBOARD_RESOURCE_NAME")
    assert not set(names) & set(seen_by(group(replica()), 0))
    seen = seen_by(group(replica(), experiment="e", experiment_run="r", tensorboard="t"), 0)
    assert [seen[name] for name in names] == ["e", "r", "t"]


def test_the_kind_may_add_and_overrule() -> None:
    """`extra_env` lies over the service's own variables; a job without a spec text has an empty one."""
    seen = seen_by(group(replica(), extra_env={"CLOUD_ML_TRIAL_ID": "3", "HOSTNAME": "h"}, job_spec_json=""), 0)
    assert (seen["CLOUD_ML_TRIAL_ID"], seen["HOSTNAME"]) == ("3", "h")
    assert json.loads(seen["CLUSTER_SPEC"])["job"] == {}


def test_a_missing_address_is_an_error() -> None:
    """Half a cluster is never handed out."""
    whole = group(replica(0), replica(1))
    with pytest.raises(KeyError):
        service_variables(whole, whole.replicas[0], {"workerpool0-0": "h:1"})


def test_references_are_expanded_as_documented() -> None:
    """Case 70: `12`, `$(A)`, `$(NOPE)`; in env values, command and args; never from the machine's own variables."""
    member = replica(
        env=(("A", "1"), ("B", "$(A)2"), ("C", "$(D)"), ("D", "$(CLOUD_ML_JOB_ID)")),
        command=("run", "$(D)"),
        args=("$(B)", "$$(A)", "$(NOPE)", "$(C)", "$(PATH)"),
    )
    whole = group(member)
    program = resolve(whole, member, addresses(whole), {"PATH": "/bin", "A": "base"})
    assert program.argv == ("run", "7", "12", "$(A)", "$(NOPE)", "$(D)", "$(PATH)")
    assert (program.env["A"], program.env["B"], program.env["C"], program.env["PATH"]) == ("1", "12", "$(D)", "/bin")
    assert program.notes == ()


def test_a_package_runs_as_a_module() -> None:
    """`python3 -m module args`."""
    package = PythonPackage(("gs://b/p.tar.gz",), "trainer.task")
    member = replica(package=package, args=("--epochs=$(N)",), env=(("N", "3"),))
    whole = group(member)
    assert resolve(whole, member, addresses(whole), {}).argv == ("python3", "-m", "trainer.task", "--epochs=3")


def test_the_service_wins_over_the_user_and_says_so() -> None:
    """A user's CLOUD_ML_JOB_ID has no effect, on references neither; the same value twice needs no word."""
    member = replica(env=(("CLOUD_ML_JOB_ID", "mine"), ("CLOUD_ML_REGION", "us-central1"), ("X", "$(CLOUD_ML_JOB_ID)")))
    whole = group(member)
    program = resolve(whole, member, addresses(whole), {})
    assert (program.env["CLOUD_ML_JOB_ID"], program.env["X"]) == ("7", "7")
    assert len(program.notes) == 1
    assert "CLOUD_ML_JOB_ID" in program.notes[0]
    assert "CLOUD_ML_REGION" not in program.notes[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)$(A)", "11"),
        ("$", "$"),
        ("$$", "$"),
        ("$$$(A)", "$1"),
        ("$$$$(A)", "$$(A)"),
        ("$(A", "$(A"),
        ("$A", "$A"),
        ("$()", "$()"),
        ("a$(A)b", "a1b"),
        ("$($(A))", "$($(A))"),
        ("$(S)", "$(A)"),
    ],
)
def test_expansion_follows_kubernetes_to_the_letter(text: str, expected: str) -> None:
    """The cases of Kubernetes' own expansion table that differ from a shell; values are not expanded again."""
    assert expand(text, {"A": "1", "S": "$(A)"}) == expected


@given(st.text())
def test_text_without_a_dollar_is_never_touched(text: str) -> None:
    """Expansion changes nothing but references, and an escaped text reads back as it was."""
    assert expand(text.replace("$", "$$"), {"A": "1"}) == text
