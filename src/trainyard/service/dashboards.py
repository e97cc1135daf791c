"""Who may see the page that a job's chief serves, and where it is: the same rule as for shells (shells.py).

Whoever sees a dashboard may make its program do what the page can, so that it takes create, get and cancel on the
job, and to act as its service account. Each caller's first look at each dashboard is in the audit log.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from trainyard.core.dashboards import Dashboard, Ports
from trainyard.core.errors import FailedPrecondition, NotFound, Unavailable
from trainyard.core.states import JobState
from trainyard.kind import ShowsDashboards
from trainyard.service.access import Access, Caller, require, require_act_as
from trainyard.service.call import unlocked
from trainyard.service.shells import NEEDED

if TYPE_CHECKING:
    from trainyard.core.jobs import Job
    from trainyard.kind import Kind
    from trainyard.service.auditing import Noted
    from trainyard.store import Desk

PortsOf = Callable[[str, Dashboard], Ports]
"""Those of a run group's dashboard; raises FailedPrecondition."""

_MOST_KNOWN: Final = 4096


@dataclass(frozen=True, slots=True)
class Way:
    """To a dashboard: the name of its job, or search, and where the program of this replica listens."""

    job: str
    replica: str
    ports: Ports


class Dashboards:
    """Finds dashboards for callers."""

    def __init__(
        self, desk: Desk, kinds: Mapping[str, Kind], access: Access, noted: Noted, ports_of: PortsOf | None
    ) -> None:
        """`ports_of` is the executor's; `noted` writes down who looked."""
        self._desk = desk
        self._kinds = kinds
        self._access = access
        self._noted = noted
        self._ports_of = ports_of
        self._looked: OrderedDict[tuple[int, str, str], None] = OrderedDict()

    def identify(self, authorization: str) -> Caller:
        """The caller behind an Authorization header, empty for none; raises as Access.identify."""
        return self._access.identify(authorization)

    def recheck(self, caller: Caller) -> None:
        """Raises Unauthenticated where the caller's credential is no longer one."""
        self._access.recheck(caller)

    def find(self, job_id: int, caller: Caller) -> Way:
        """The way to the dashboard of the job with this id.

        Raises PermissionDenied, NotFound where there is none, FailedPrecondition where there is none any more,
        Unavailable where there is none yet.
        """
        looked = (job_id, caller.name, caller.address.rpartition(":")[0])
        with nullcontext() if looked in self._looked else self._noted(caller, *self._told_of(job_id)):
            name, job, asked = self._asked(job_id, caller)
        self._looked[looked] = None
        if len(self._looked) > _MOST_KNOWN:
            self._looked.popitem(last=False)
        return Way(name, asked.replica, self._ports(name, job, asked))  # who waits for it asks every two seconds

    def _asked(self, job_id: int, caller: Caller) -> tuple[str, Job, Dashboard]:
        """The name of the job or search, the job, and its dashboard, which the caller may see."""
        job = self._desk.find(job_id)
        owner = self._owner(job) if job is not None else None
        if job is None or owner is None:
            raise NotFound(f"There is no job {job_id} here; it may have been deleted.")
        for verb in NEEDED:
            require(self._access, caller, f"aiplatform.{owner.name.collection}.{verb}", str(owner.name))
        kind = self._kinds[unlocked(job).name.collection]
        asked = kind.dashboard(job) if isinstance(kind, ShowsDashboards) else None
        if asked is None:
            raise NotFound(
                f"{owner.name} was created without enableDashboardAccess, so there is no dashboard of it. Set "
                "enableDashboardAccess in its job spec when you create it (--enable-dashboard-access)."
            )
        state = job.status.state
        if job.is_final or state is JobState.CANCELLING:
            raise FailedPrecondition(f"{owner.name} is {state.api_name}, and its dashboard has ended with it.")
        if asked.account:  # what the page can do, the account's programs do
            require_act_as(self._access, caller, asked.account)
        return str(owner.name), job, asked

    def _owner(self, job: Job) -> Job | None:
        """The job itself, or the search whose trial it runs."""
        return job if job.parent is None else self._desk.find(job.parent.job_id)

    def _told_of(self, job_id: int) -> tuple[str, str]:
        """What is tried, of which resource, as the audit log has it."""
        job = self._desk.find(job_id)
        owner = self._owner(job) if job is not None else None
        if owner is None:
            return "customJobs.dashboard", f"dashboards/{job_id}"
        return f"{owner.name.collection}.dashboard", f"{owner.name}/dashboards/{job_id}"

    def _ports(self, name: str, job: Job, asked: Dashboard) -> Ports:
        state = job.status.state
        if state is not JobState.RUNNING or job.status.run_id is None:
            raise Unavailable(f"{name} is {state.api_name}; its dashboard is here once its program runs.")
        if self._ports_of is None:
            raise FailedPrecondition("The executor that runs the jobs of this service forwards no dashboards.")
        return self._ports_of(job.status.run_id, asked)
