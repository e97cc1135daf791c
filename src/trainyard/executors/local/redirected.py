"""What is patched in a replica's Python is patched in containers, too, and what an image has on PYTHONPATH stays on it.

The service's variables name a folder of this machine for PYTHONPATH (redirect/on_path) and, where there is a tunnel for
TensorFlow's gs://, the certificates that it is to trust. A container gets both under names of its own; the folder goes
before the image's own path.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from trainyard.core.runs import RunGroup

_SEARCHED: Final = "PYTHONPATH"
_TRUSTED: Final = "TRAINYARD_REDIRECT_BUNDLE"
_INSIDE: Final = "/run/trainyard"
_TUNNEL: Final = b"CONNECT www.googleapis.com:443 HTTP/1.1\r\n\r\n"  # the certificates are made for the first of them
_ANSWER_SECONDS: Final = 10.0


async def aimed(
    group: RunGroup, image_env: Mapping[str, str], service: str
) -> tuple[RunGroup, tuple[tuple[str, str, bool], ...]]:
    """The group with the variables as a container has them, and what to mount for them.

    `image_env` are the image's variables, `service` is this service's host:port. A PYTHONPATH of the job's own is none
    of the service's variables, so it stands alone, as it does outside of containers.
    """
    searched, trusted = group.extra_env.get(_SEARCHED), group.extra_env.get(_TRUSTED)
    if searched is None:
        return group, ()
    folder = Path(searched)
    path = ":".join(filter(None, (f"{_INSIDE}/redirect/{folder.name}", image_env.get(_SEARCHED))))
    env = {**group.extra_env, _SEARCHED: path}
    mounts = [(str(folder.parent), f"{_INSIDE}/redirect", True)]
    if trusted is None:
        return replace(group, extra_env=env), tuple(mounts)
    env[_TRUSTED] = f"{_INSIDE}/bundle.pem"
    if not await asyncio.to_thread(Path(trusted).exists):
        await _have_certificates_made(service)
    if await asyncio.to_thread(Path(trusted).exists):
        mounts.append((trusted, env[_TRUSTED], True))
    return replace(group, extra_env=env), tuple(mounts)


async def _have_certificates_made(service: str) -> None:
    """By asking for a tunnel; where none is answered for, only TensorFlow goes without."""
    host, _, port = service.rpartition(":")
    with contextlib.suppress(OSError, ValueError):
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            with contextlib.closing(writer):
                writer.write(_TUNNEL)
                await reader.readline()
