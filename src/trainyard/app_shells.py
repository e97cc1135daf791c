"""The composition root's part for people's shells and dashboards: of whom they are asked, and where they are."""

from __future__ import annotations

from socket import gethostname

from trainyard.audit import AuditLog
from trainyard.core.dashboards import USUAL_PLACE
from trainyard.executor import Executor, ForwardsDashboards, OpensShells
from trainyard.service.dispatch import Service
from trainyard.settings import Settings


def share(service: Service, audit: AuditLog, executor: Executor) -> None:
    """Let the service open shells and dashboards, where the executor has these talents, and write down who does."""
    service.audit = audit
    service.open_shell = executor.open_shell if isinstance(executor, OpensShells) else None
    service.dashboard_ports = executor.dashboard_ports if isinstance(executor, ForwardsDashboards) else None


def dashboards_at(settings: Settings, port: int) -> str:
    """Below which dashboards have their host names, as browsers reach the service on this port."""
    if settings.dashboards_at:
        return settings.dashboards_at
    scheme, _, host = USUAL_PLACE.partition("://")
    return f"{'https' if settings.speaks_tls else scheme}://{host}:{port}"


def places(settings: Settings, port: int) -> tuple[str, str]:
    """Below which addresses jobs have their shells and their dashboards."""
    return address(settings, port), dashboards_at(settings, port)


def address(settings: Settings, port: int) -> str:
    """Below which jobs have their shells, as clients of the service reach it on this port."""
    everywhere = settings.host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
    host = gethostname() if everywhere else settings.host
    netloc = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"{'https' if settings.speaks_tls else 'http'}://{netloc}/trainyard/v1"
