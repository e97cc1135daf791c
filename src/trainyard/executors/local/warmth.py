"""What a persistent resource's image needs is there before any job asks for it: the image, or the environment for it.

It is made just as a job's first start would make it, so that start finds it ready; nothing else is kept beside it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from trainyard.core.errors import Unavailable
from trainyard.core.runs import PythonPackage, ReplicaSpec
from trainyard.executors.local.containers import Containers
from trainyard.executors.local.environments import EnvironmentCache
from trainyard.executors.local.packages import PreparationFailed

_log = logging.getLogger(__name__)


async def warm(
    image_uri: str, package_uris: Sequence[str], environments: EnvironmentCache, containers: Containers | None
) -> str:
    """Keeps the promise of executor.Warms."""
    package = PythonPackage(tuple(package_uris), "") if package_uris else None
    spec = ReplicaSpec("workerpool0-0", 0, 0, image_uri, package=package)
    try:
        why_not = await containers.fetch(spec, _log.info) if containers is not None else "the runtime is host"
        if not why_not:
            later = "; packages are installed in each container when it starts" if package_uris else ""
            return f"The image {image_uri} is here{later}."
        if environments.needs(spec):
            await environments.prepare(spec, _log.info)
            return f"The environment that stands in for {image_uri} is ready (no container: {why_not})."
    except PreparationFailed as failure:
        raise Unavailable(str(failure)) from None
    return f"Programs of {image_uri} run with what is installed on this machine ({why_not}); nothing is to be made."
