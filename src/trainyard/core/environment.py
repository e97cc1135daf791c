"""What a replica sees of its job: the variables that the original sets, and `$(NAME)` expanded as Kubernetes does.

Sources: "Distributed training", "Training code requirements" and "Configure container settings" of the Vertex AI
documentation; `EnvVar` in google/cloud/aiplatform/v1/env_var.proto; what is not documented but seen is marked so.

Not set, because nothing here stands behind them: AIP_TENSORBOARD_API_URI, AIP_TF_PROFILER_PORT and
AIP_HTTP_HANDLER_PORT (the profiler's upload to a TensorBoard service), GOOGLE_CLOUD_PROJECT (the original leaves it to
the user, too).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from trainyard.core.runs import ReplicaSpec, RunGroup

TASK_TYPES = ("chief", "worker", "ps", "evaluator")  # TF_CONFIG's word for worker pool 0, 1, 2, 3
_NO_CLUSTER_KEY = "evaluator"  # a task type in TF_CONFIG, never a key of its cluster
_OUTPUT_DIRECTORIES = {
    "AIP_MODEL_DIR": "model/",
    "AIP_CHECKPOINT_DIR": "checkpoints/",
    "AIP_TENSORBOARD_LOG_DIR": "logs/",
}
_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")


@dataclass(frozen=True, slots=True)
class Program:
    """What is to be started: nothing in it is left to expand.

    `command` is empty where the spec gives none (an image's own ENTRYPOINT would stand there); `env` is the whole
    environment; `notes` are sentences for the job's service log.
    """

    command: tuple[str, ...]
    args: tuple[str, ...]
    env: Mapping[str, str]
    notes: tuple[str, ...] = ()

    @property
    def argv(self) -> tuple[str, ...]:
        """The command line where no image stands behind it."""
        return (*self.command, *self.args)


def resolve(group: RunGroup, replica: ReplicaSpec, addresses: Mapping[str, str], base: Mapping[str, str]) -> Program:
    """The command line and the whole environment of one replica.

    `addresses` maps every replica's name to `host:port`; `base` is what the machine or image gives (PATH, HOME …).
    Of a name set twice, the service's value wins over the user's, the user's over the base: a program that asks for
    its RANK must get the true one, and the contract leaves the order open. What was overruled is in `notes`.
    As in Kubernetes, `$(NAME)` sees the user's earlier entries and the service's variables, never `base`.
    """
    service = service_variables(group, replica, addresses)
    user: dict[str, str] = {}
    for name, value in replica.env:
        user[name] = expand(value, {**user, **service})
    known = {**user, **service}
    command = ("python3", "-m", replica.package.module) if replica.package else replica.command
    return Program(
        command=tuple(expand(text, known) for text in command),
        args=tuple(expand(text, known) for text in replica.args),
        env={**base, **known},
        notes=_overruled(replica, user, service),
    )


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` where NAME is known and leave the rest; `$$` is a plain `$`: `$$(NAME)` gives `$(NAME)`."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        return "$" if name is None else variables.get(name, match[0])

    return _REFERENCE.sub(value, text)


def service_variables(group: RunGroup, replica: ReplicaSpec, addresses: Mapping[str, str]) -> dict[str, str]:
    """Every variable that the service sets for this replica; raises KeyError where an address is missing.

    The AIP_*_DIR values stay gs:// URIs, as on the original. A job of one replica gets neither TF_CONFIG nor
    MASTER_ADDR, MASTER_PORT, WORLD_SIZE and RANK (the last four are seen on the original, not documented).
    """
    job = json.loads(group.job_spec_json or "{}")
    variables = {
        "CLUSTER_SPEC": _cluster_spec(group, replica, addresses, job),
        "CLOUD_ML_PROJECT_ID": group.project,
        "CLOUD_ML_JOB_ID": str(group.job_id),
        "CLOUD_ML_REGION": group.location,
        "HOSTNAME": host_name(group.job_id, replica),
    }
    if len(group.replicas) > 1:
        variables["TF_CONFIG"] = _tf_config(group, replica, addresses, job)
        variables.update(_rendezvous(group, replica, addresses))
    if group.base_output_uri:
        variables.update({name: group.base_output_uri + part for name, part in _OUTPUT_DIRECTORIES.items()})
    named = {
        "AIP_EXPERIMENT_NAME": group.experiment,
        "AIP_EXPERIMENT_RUN_NAME": group.experiment_run,
        "AIP_TENSORBOARD_RESOURCE_NAME": group.tensorboard,
    }
    variables.update({name: value for name, value in named.items() if value})
    variables.update(group.extra_env)
    return variables


def host_name(job_id: int, replica: ReplicaSpec) -> str:
    """`cmle-training-workerpool0-d604929a6a-0`: the same for every attempt and incarnation of the job."""
    return f"cmle-training-workerpool{replica.pool}-{_job_hash(job_id)}-{replica.index}"


def _job_hash(job_id: int) -> str:
    return hashlib.sha256(str(job_id).encode()).hexdigest()[:10]


def _cluster(replicas: Iterable[ReplicaSpec], addresses: Mapping[str, str]) -> dict[int, list[str]]:
    """Addresses by worker pool, in order of index; empty pools are absent."""
    pools: dict[int, list[str]] = {}
    for replica in sorted(replicas, key=lambda r: (r.pool, r.index)):
        pools.setdefault(replica.pool, []).append(addresses[replica.name])
    return pools


def _cluster_spec(group: RunGroup, replica: ReplicaSpec, addresses: Mapping[str, str], job: object) -> str:
    pools = _cluster(group.replicas, addresses)
    return _json(
        {
            "cluster": {f"workerpool{pool}": hosts for pool, hosts in pools.items()},
            "environment": "cloud",
            "task": {"type": f"workerpool{replica.pool}", "index": replica.index},
            "job": job,
        }
    )


def _tf_config(group: RunGroup, replica: ReplicaSpec, addresses: Mapping[str, str], job: object) -> str:
    named = {TASK_TYPES[pool]: hosts for pool, hosts in _cluster(group.replicas, addresses).items()}
    named.pop(_NO_CLUSTER_KEY, None)
    return _json(
        {
            "cluster": named,
            "task": {"type": TASK_TYPES[replica.pool], "index": replica.index, "cloud": _job_hash(group.job_id)},
            "environment": "cloud",
            "job": job,
        }
    )


def _rendezvous(group: RunGroup, replica: ReplicaSpec, addresses: Mapping[str, str]) -> dict[str, str]:
    """What `torch.distributed` with `env://` reads: rank 0 is the primary, the others follow in pool order."""
    order = sorted(group.replicas, key=lambda r: (r.pool, r.index))
    host, _, port = addresses[order[0].name].rpartition(":")
    rank = [r.name for r in order].index(replica.name)
    return {"MASTER_ADDR": host, "MASTER_PORT": port, "WORLD_SIZE": str(len(order)), "RANK": str(rank)}


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _overruled(replica: ReplicaSpec, user: Mapping[str, str], service: Mapping[str, str]) -> tuple[str, ...]:
    names = sorted(name for name, value in user.items() if service.get(name, value) != value)
    if not names:
        return ()
    return (f"{replica.name}: the service sets {', '.join(names)} itself; the value in the job's env has no effect.",)
