"""The composition root's part for people's shells beside programs: whom they are asked of, and where they are."""

from __future__ import annotations

from socket import gethostname

from trainyard.executor import Executor, OpensShells
from trainyard.service.shells import OpenShell
from trainyard.settings import Settings


def opener(executor: Executor) -> OpenShell | None:
    """What opens shells, where the executor does."""
    return executor.open_shell if isinstance(executor, OpensShells) else None


def address(settings: Settings, port: int) -> str:
    """Below which jobs have their shells, as clients of the service reach it on this port."""
    everywhere = settings.host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
    host = gethostname() if everywhere else settings.host
    netloc = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"{'https' if settings.speaks_tls else 'http'}://{netloc}/trainyard/v1"
