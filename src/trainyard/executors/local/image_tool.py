"""`trainyard images`: which images are here, what a job's image becomes on this machine, and fetching one beforehand.

`python -m trainyard.executors.local.image_tool list|map|pull JSON` with {"data_dir", "settings", "uris"} prints JSON
lines, one an image; failures are lines with "problem".
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from trainyard.core.start_faults import start_sentence
from trainyard.executors.local.allotment import gpus_of_this_machine
from trainyard.executors.local.containers import is_never_fetched
from trainyard.executors.local.engine import ContainerEngine, EngineFailed
from trainyard.executors.local.plan import THIS_MACHINE
from trainyard.executors.local.podman import Podman
from trainyard.executors.local.prebuilt import read_overrides, recipe_of

_NO_ENGINE: Final = "there is no container engine here: trainyard doctor says what to install"
Answer = dict[str, Any]


def engine_of(data_dir: Path, settings: Mapping[str, str]) -> ContainerEngine | None:
    """The engine that the service would use; None where there is none. Raises EngineFailed."""
    runtime = settings.get("runtime", "auto")
    if runtime == "docker":
        from trainyard.executors.local.docker_engine import DockerEngine  # noqa: PLC0415 - an extra

        return DockerEngine(settings.get("docker_host", ""), data_dir / "containers", os.environ)
    program = shutil.which("podman")
    return None if runtime == "host" or program is None else Podman(program, data_dir / "containers", os.environ)


async def listed(engine: ContainerEngine | None) -> AsyncIterator[Answer]:
    """Every image that is here, by name."""
    if engine is None:
        yield {"problem": _NO_ENGINE}
        return
    for name, size in await engine.images():
        yield {"image": name, "megabytes": round(size / 1e6)}


async def mapped(
    engine: ContainerEngine | None, uris: Sequence[str], overrides: Mapping[str, Sequence[str]], runtime: str = "auto"
) -> AsyncIterator[Answer]:
    """What each URI becomes: a container, an environment with these packages, or this machine's own programs."""
    gpus = bool(gpus_of_this_machine(os.environ))
    for uri in uris:
        found = await engine.find(uri) if engine and uri != THIS_MACHINE else None
        recipe = recipe_of(uri, overrides, gpus=gpus)
        if found is not None:
            yield {"image": uri, "runs": "in its image", "packages": [], "python": ""}
        elif recipe is not None:
            runs = "in an environment" if recipe.exact else "in an environment of nothing but Python"
            yield {"image": uri, "runs": runs, "packages": list(recipe.exact), "python": recipe.python}
        else:
            yield {"image": uri, "runs": _elsewhere(uri, engine, runtime), "packages": [], "python": ""}


def _elsewhere(uri: str, engine: ContainerEngine | None, runtime: str) -> str:
    """What becomes of an image that is neither here nor known."""
    if uri == THIS_MACHINE:
        return "on this machine" if runtime in ("auto", "host") else f"nowhere: the setting runtime is {runtime}"
    if runtime in ("podman", "docker"):
        return "in its image, which is pulled first"
    if engine is None:
        return "on this machine"
    if is_never_fetched(uri):
        return "on this machine: it is not here, and its name says no registry that it could be pulled from"
    return "in its image if it can be pulled, else on this machine"


async def pulled(engine: ContainerEngine | None, uris: Sequence[str], auth_file: str) -> AsyncIterator[Answer]:
    """Fetch each."""
    for uri in uris:
        if engine is None:
            yield {"problem": _NO_ENGINE}
            return
        try:
            await engine.pull(uri, auth_file)
        except EngineFailed as failure:
            yield {"image": uri, "problem": start_sentence(str(failure), uri, "", engine.name)[0]}
        else:
            yield {"image": uri, "pulled": True}


async def answer(verb: str, asked: Mapping[str, Any], say: Callable[[Answer], None]) -> None:
    """Do it; every answer is said as it comes."""
    settings = asked["settings"]
    try:
        engine = engine_of(Path(asked["data_dir"]), settings)
        if verb == "list":
            answers = listed(engine)
        elif verb == "map":
            overrides = read_overrides(settings.get("prebuilt_images", ""))
            answers = mapped(engine, asked["uris"], overrides, settings.get("runtime", "auto"))
        else:
            answers = pulled(engine, asked["uris"], settings.get("registry_auth", ""))
        async for each in answers:
            say(each)
    except (EngineFailed, ValueError) as failure:
        say({"problem": str(failure)})


def main() -> None:
    """Print the answers."""
    asyncio.run(answer(sys.argv[1], json.loads(sys.argv[2]), lambda said: print(json.dumps(said), flush=True)))


if __name__ == "__main__":
    main()
