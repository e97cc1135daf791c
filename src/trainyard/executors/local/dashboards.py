"""Where on this machine the chiefs' dashboards are reached: through the port that their run holds."""

from __future__ import annotations

from dataclasses import replace

from trainyard.core.dashboards import Dashboard, Ports
from trainyard.core.errors import FailedPrecondition
from trainyard.executors.local.containers import Containers
from trainyard.executors.local.groups import Groups
from trainyard.executors.local.plan import dashboard_ports


class Dashboards:
    """Those of the groups that this machine holds."""

    def __init__(self, groups: Groups, containers: Containers | None) -> None:
        """Look there."""
        self._groups = groups
        self._containers = containers

    def ports(self, run_id: str, dashboard: Dashboard) -> Ports:
        """See the promise ForwardsDashboards."""
        held = self._groups.of(run_id).allotment
        if held is not None and held.contained is None and self._containers is not None:
            held = replace(held, contained=self._containers.where(run_id))  # an earlier server has placed it
        ports = dashboard_ports(dashboard, dashboard.replica, held) if held is not None else None
        if ports is None:
            raise FailedPrecondition("This run has no port for it: it was started before, or is over.")
        return ports
