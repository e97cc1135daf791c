"""How the settings become an executor: the composition root's part for where jobs run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module

from trainyard import executors
from trainyard.core.clock import Clock
from trainyard.core.errors import Unavailable
from trainyard.executor import Executor
from trainyard.kinds.machines import Machines
from trainyard.objects import ObjectStore
from trainyard.setting_checks import names_in
from trainyard.settings import Settings


async def open_executor(
    settings: Settings, clock: Clock, port: int, objects: ObjectStore, machines: Machines
) -> Executor:
    """The executor of this machine, started; `port` is the service's, `objects` its gs://. Raises Unavailable.

    `machines` hold the reservations.
    """
    module = import_module(executors.BUILT_IN["local"])
    environments = import_module("trainyard.executors.local.environments")
    first, last = map(int, settings.replica_ports.split("-"))
    options = module.LocalOptions(
        replicas=settings.replicas,
        ports=range(first, last + 1),
        accelerators=settings.accelerators,
        enforced=settings.machines == "enforced",
        reserved=tuple(each.places for each in machines.reservations.values()),
        prepared=environments.Options(prebuilt=settings.prebuilt, images=_overrides(settings)),
        gcs_mount=settings.gcs_mount != "never",
        objects=objects if settings.objects_url else None,
        opens=objects,
        containers=_containers(settings, port),
        usage_interval=settings.usage_interval,
    )
    executor: Executor = await module.open_executor(settings.data_dir, clock, options)
    return executor


def _overrides(settings: Settings) -> Mapping[str, Sequence[str]]:
    try:
        found: Mapping[str, Sequence[str]] = import_module("trainyard.executors.local.prebuilt").read_overrides(
            settings.prebuilt_images
        )
    except ValueError as error:
        raise Unavailable(str(error)) from None
    return found


def _containers(settings: Settings, port: int) -> object | None:
    if settings.runtime == "host":
        return None
    module = import_module("trainyard.executors.local.containers")
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 - compared, not bound
    options: object = module.ContainerOptions(
        runtime=settings.runtime,
        pull=settings.image_pull,
        auth_file=settings.registry_auth,
        network=settings.container_network,
        docker_host=settings.docker_host,
        shares=dict(pair.split("=", 1) for pair in names_in(settings.mount_sources)),
        service=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
    )
    return options
