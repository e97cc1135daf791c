"""What a CustomJobSpec may say, wherever it stands: in a CustomJob or inside another kind that runs one.

Sources: the proto comments of CustomJobSpec and Scheduling; Vertex AI "Distributed training", "Schedule training jobs
based on resource availability", "Use Spot VMs", "Use Vertex AI TensorBoard with custom training".
"""

from __future__ import annotations

from typing import Any

from trainyard.core.dashboards import PORT_VARIABLE, port_of
from trainyard.kinds import forms, persistent
from trainyard.kinds.faults import REQUIRED, Faults, shortened
from trainyard.kinds.machines import Machines
from trainyard.kinds.pool_rules import accelerator_name, check_enum, check_pool, is_skipped

MOST_POOLS = 4  # primary, workers, parameter servers or reduction server, evaluators
MOST_REPLICAS = 10_000  # ours: a typing slip in replica_count must not fill the memory of the service
MOST_ARGUMENT_CHARACTERS = 100_000
LONGEST_FLEX_START_SECONDS = 7 * 24 * 3600
LARGEST_DURATION_SECONDS = 315_576_000_000  # google/protobuf/duration.proto
TPU_CHIPS_OF_ONE_HOST = 8
FLEX_START_ACCELERATORS = frozenset(
    {
        "NVIDIA_L4",
        "NVIDIA_TESLA_A100",
        "NVIDIA_A100_80GB",
        "NVIDIA_H100_80GB",
        "NVIDIA_H100_MEGA_80GB",
        "NVIDIA_H200_141GB",
        "NVIDIA_B200",
    }
)
_SPOT = frozenset({"SPOT", "LOW_COST"})
_OF_MOST = frozenset({"worker_pool_specs", "scheduling", "psc_interface_config"})
"""Who sets no other field says nothing of surroundings, tracking or a persistent resource; most specs are such."""


def check_spec(spec: Any, faults: Faults, machines: Machines) -> None:
    """Every rule of a CustomJobSpec; `faults` stands at the spec's own place in the request."""
    wire = spec.SerializeToString()
    if b"\0" in wire:  # most messages hold no zero byte and need no walk
        _check_texts(spec, faults)
    _check_pools(spec, faults, machines)
    if len(wire) > MOST_ARGUMENT_CHARACTERS:
        _check_arguments(spec, faults)
    if spec.HasField("scheduling"):
        _check_scheduling(spec, faults, machines)
    if not all(field.name in _OF_MOST for field, _ in spec.ListFields()):
        _check_surroundings(spec, faults)
        persistent.check(spec, strategy_name(spec.scheduling), faults, machines)
        _check_tracking(spec, faults)
        if spec.enable_dashboard_access and spec.worker_pool_specs:
            _check_dashboard(spec.worker_pool_specs[0], faults.under("worker_pool_specs[0]"))
    if spec.HasField("psc_interface_config"):
        _check_psc(spec.psc_interface_config, faults.under("psc_interface_config"))


def strategy_name(scheduling: Any) -> str:
    """The enum name of the scheduling strategy; STANDARD where it is not set or not known."""
    if not scheduling.strategy:
        return "STANDARD"
    field = scheduling.DESCRIPTOR.fields_by_name["strategy"]
    value = field.enum_type.values_by_number.get(scheduling.strategy)
    return "STANDARD" if value is None else value.name


def is_spot(strategy: str) -> bool:
    """Whether a strategy means capacity that may be taken away; LOW_COST is its old name."""
    return strategy in _SPOT


def seconds_of(duration: Any) -> float:
    """A google.protobuf.Duration in seconds."""
    return float(duration.seconds + duration.nanos / 1e9)


def _check_texts(message: Any, faults: Faults) -> None:
    """No NUL character anywhere: no program can be handed one."""
    for field, value in message.ListFields():
        for index, item in enumerate(value if field.is_repeated else (value,)):
            part = f"{field.name}[{index}]" if field.is_repeated else field.name
            if field.message_type is not None:
                _check_texts(item, faults.under(part))
            elif isinstance(item, str) and "\0" in item:
                faults.add(part, "The text holds a NUL character.")


def _check_pools(spec: Any, faults: Faults, machines: Machines) -> None:
    pools = spec.worker_pool_specs
    if not pools:
        faults.add("worker_pool_specs", REQUIRED)
    if len(pools) > MOST_POOLS:
        faults.add("worker_pool_specs", f"There can be no more than {MOST_POOLS} worker pools; found {len(pools)}.")
    replicas = 0
    for index, pool in enumerate(pools[:MOST_POOLS]):
        place = faults.under(f"worker_pool_specs[{index}]")
        if is_skipped(pool):
            if index == 0:
                place.add("", "The first worker pool holds the primary replica and must not be empty.")
            continue
        check_pool(pool, place, machines)
        if pool.replica_count < 0:
            place.add("replica_count", "The number of replicas must not be negative.")
        elif index == 0 and pool.replica_count > 1:
            place.add("replica_count", f"The first worker pool must have exactly 1 replica, not {pool.replica_count}.")
        replicas += max(pool.replica_count, 1)
    if replicas > MOST_REPLICAS:
        faults.add("worker_pool_specs", f"There can be no more than {MOST_REPLICAS} replicas; found {replicas}.")


def _check_arguments(spec: Any, faults: Faults) -> None:
    characters = sum(len(argument) for pool in spec.worker_pool_specs for argument in _arguments(pool))
    if characters > MOST_ARGUMENT_CHARACTERS:
        faults.add(
            "worker_pool_specs",
            f"All args together can have no more than {MOST_ARGUMENT_CHARACTERS} characters; found {characters}.",
        )


def _arguments(pool: Any) -> Any:
    task = pool.WhichOneof("task")
    return getattr(pool, task).args if task else ()


def _check_scheduling(spec: Any, faults: Faults, machines: Machines) -> None:
    scheduling, place = spec.scheduling, faults.under("scheduling")
    check_enum(scheduling, "strategy", place)
    strategy = strategy_name(scheduling)
    timed = scheduling.HasField("timeout") and _is_duration(scheduling.timeout, "timeout", place)
    if timed and seconds_of(scheduling.timeout) <= 0:
        place.add("timeout", "The timeout must be greater than 0 seconds.")
    if scheduling.HasField("max_wait_duration"):
        _check_max_wait(scheduling.max_wait_duration, strategy, place)
    if strategy == "FLEX_START":
        _check_flex_start(spec, faults, machines)
    if is_spot(strategy):
        for index, pool in enumerate(spec.worker_pool_specs):
            if _is_tpu_pod(pool):
                part = f"worker_pool_specs[{index}].machine_spec"
                faults.add(part, f"TPU Pods are not supported with the strategy {strategy}.")


def _is_duration(duration: Any, part: str, faults: Faults) -> bool:
    """Whether it is one at all: in range, both parts of one sign (the gRPC wire carries anything)."""
    seconds, nanos = duration.seconds, duration.nanos
    if abs(seconds) > LARGEST_DURATION_SECONDS or abs(nanos) >= 10**9 or seconds * nanos < 0:
        faults.add(part, "Not a valid duration.")
        return False
    return True


def _check_max_wait(wait: Any, strategy: str, faults: Faults) -> None:
    if not _is_duration(wait, "max_wait_duration", faults):
        return
    if seconds_of(wait) < 0:
        faults.add("max_wait_duration", "The duration must not be negative.")
    # The official SDK sends "0s" along with every other scheduling option, whatever the strategy.
    elif seconds_of(wait) > 0 and strategy != "FLEX_START":
        faults.add("max_wait_duration", "max_wait_duration is supported with the strategy FLEX_START only.")


def _check_flex_start(spec: Any, faults: Faults, machines: Machines) -> None:
    scheduling = spec.scheduling
    if scheduling.HasField("timeout") and seconds_of(scheduling.timeout) > LONGEST_FLEX_START_SECONDS:
        faults.add("scheduling.timeout", "With the strategy FLEX_START the timeout can be no longer than 7 days.")
    if spec.persistent_resource_id:
        faults.add("persistent_resource_id", "A persistent resource cannot be used with the strategy FLEX_START.")
    first = None
    for index, pool in enumerate(spec.worker_pool_specs):
        if is_skipped(pool):
            continue
        place = faults.under(f"worker_pool_specs[{index}].machine_spec")
        machine = machines.find(pool.machine_spec.machine_type)
        accelerator = accelerator_name(pool.machine_spec) or (machine.accelerator if machine else "")
        if accelerator not in FLEX_START_ACCELERATORS:
            place.add("accelerator_type", "The strategy FLEX_START needs L4, A100, H100, H200 or B200 accelerators.")
        if pool.machine_spec.HasField("reservation_affinity"):
            place.add("reservation_affinity", "Reservations cannot be used with the strategy FLEX_START.")
        first = first or pool
        if pool.machine_spec != first.machine_spec:
            place.add("", "With the strategy FLEX_START every worker pool must have the same machine_spec.")


def _is_tpu_pod(pool: Any) -> bool:
    machine_spec = pool.machine_spec
    chips = machine_spec.accelerator_count if accelerator_name(machine_spec).startswith("TPU_") else 0
    if forms.TPU_TOPOLOGY.pattern.fullmatch(machine_spec.tpu_topology):
        chips = 1
        for side in machine_spec.tpu_topology.split("x"):
            chips *= int(side)
    return chips > TPU_CHIPS_OF_ONE_HOST


def _check_surroundings(spec: Any, faults: Faults) -> None:
    """Where it runs and as whom."""
    faults.matches("service_account", spec.service_account, *forms.EMAIL)
    faults.matches("network", spec.network, *forms.NETWORK)
    for index, name in enumerate(spec.reserved_ip_ranges):
        if faults.required(f"reserved_ip_ranges[{index}]", name):
            faults.matches(f"reserved_ip_ranges[{index}]", name, *forms.RESOURCE_NAME)
    faults.matches("persistent_resource_id", spec.persistent_resource_id, *forms.RESOURCE_NAME)
    faults.matches("protected_artifact_location_id", spec.protected_artifact_location_id, *forms.LOCATION)
    if spec.HasField("base_output_directory"):
        place = faults.under("base_output_directory")
        prefix = spec.base_output_directory.output_uri_prefix
        if place.required("output_uri_prefix", prefix):
            place.matches("output_uri_prefix", prefix, *forms.GCS_DIRECTORY)


def _check_dashboard(pool: Any, faults: Faults) -> None:
    """The chief's port, where its environment names one."""
    task = pool.WhichOneof("task")
    for number, variable in enumerate(getattr(pool, task).env if task else ()):
        if variable.name == PORT_VARIABLE and port_of(variable.value) is None:
            sentence = (
                f"{PORT_VARIABLE} must be the port that the chief's dashboard listens on, from 1 to 65535, not "
                f"{shortened(variable.value)!r}; without it the service chooses one."
            )
            faults.add(f"{task}.env[{number}].value", sentence)


def _check_tracking(spec: Any, faults: Faults) -> None:
    """TensorBoard, experiments and models."""
    if faults.matches("tensorboard", spec.tensorboard, *forms.TENSORBOARD):
        if not spec.service_account:
            faults.add("service_account", "A service_account is required when tensorboard is set.")
        if not spec.HasField("base_output_directory"):
            faults.add("base_output_directory", "A base_output_directory is required when tensorboard is set.")
    experiment = faults.matches("experiment", spec.experiment, *forms.CONTEXT)
    run = faults.matches("experiment_run", spec.experiment_run, *forms.CONTEXT)
    if experiment and run and not spec.experiment_run.startswith(f"{spec.experiment}-"):
        faults.add("experiment_run", "An experiment run's context is named {experiment}-{run}, after its experiment.")
    for index, model in enumerate(spec.models):
        if faults.required(f"models[{index}]", model):
            faults.matches(f"models[{index}]", model, *forms.MODEL)


def _check_psc(config: Any, faults: Faults) -> None:
    faults.matches("network_attachment", config.network_attachment, *forms.NETWORK_ATTACHMENT)
    for index, peering in enumerate(config.dns_peering_configs):
        place = faults.under(f"dns_peering_configs[{index}]")
        if place.required("domain", peering.domain):
            place.matches("domain", peering.domain, *forms.DOMAIN)
        if place.required("target_project", peering.target_project):
            place.matches("target_project", peering.target_project, *forms.PROJECT)
        if place.required("target_network", peering.target_network):
            place.matches("target_network", peering.target_network, *forms.RESOURCE_NAME)
