"""The job that runs one trial of a search: an internal kind, whose spec is a CustomJobSpec made by `trial_spec`."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

from trainyard.contract.pool import API_PACKAGE, STORED_VERSION, message_class
from trainyard.core.dashboards import USUAL_PLACE, Dashboard
from trainyard.core.errors import Unimplemented
from trainyard.core.jobs import Decision, Job
from trainyard.core.runs import Reading, RunGroup
from trainyard.kind import Demand, Draft, Room
from trainyard.kinds.machines import Machines
from trainyard.kinds.running import decide, spec
from trainyard.kinds.running.dashboards import dashboard_of
from trainyard.kinds.running.memo import is_leaving, with_incarnations
from trainyard.kinds.running.policy import DEFAULT_GRACE_SECONDS, RunPolicy
from trainyard.kinds.running.shells import replicas_up
from trainyard.kinds.running.simulated import NEVER, Preemptions
from trainyard.kinds.worker_pools import demand_of, replica_names, run_group

COLLECTION = "nasTrials"


class NasTrialKind:
    """Keeps the promise of kind.Kind for the controller; no request names such a job."""

    collection = COLLECTION
    message_name = "CustomJobSpec"

    def __init__(
        self,
        machines: Machines | None = None,
        grace_seconds: float = DEFAULT_GRACE_SECONDS,
        *,
        preemptions: Preemptions = NEVER,
        dashboards_at: str = USUAL_PLACE,
    ) -> None:
        """As a CustomJob of the same spec."""
        self._preemptions = preemptions
        self._dashboards_at = dashboards_at
        self._machines = machines or Machines.known()
        self._grace_seconds = grace_seconds
        self._class: Any = message_class(f"{API_PACKAGE}.{STORED_VERSION}.{self.message_name}")
        # A job is asked about several times in a row. What these give is only read.
        self._spec = lru_cache(maxsize=64)(self._class.FromString)
        self._policy = lru_cache(maxsize=64)(self._read_policy)

    def draft(self, message: Any) -> Draft:
        """Nobody asks for one; raises Unimplemented."""
        raise Unimplemented(f"Trials are made by their job; {message.DESCRIPTOR.name} makes none.")

    def render(self, job: Job) -> Any:
        """The CustomJobSpec that runs."""
        return self._class.FromString(job.spec)

    def demand(self, job: Job) -> Demand:
        """All replicas at once."""
        asked = self._spec(job.spec)
        return Demand(demand_of(asked, self._machines), spec.is_preemptible(asked), is_leaving(job.status.memo))

    def tasks(self, job: Job) -> tuple[str, ...]:
        """`workerpool0-0` and so on."""
        return replica_names(self._spec(job.spec))

    def shells(self, job: Job) -> tuple[str, ...] | None:
        """The replicas that are up, where the spec enables web access."""
        asked: Any = self._spec(job.spec)
        return replicas_up(replica_names(asked), job.status) if asked.enable_web_access else None

    def dashboard(self, job: Job) -> Dashboard | None:
        """The chief's, where the spec enables it."""
        return dashboard_of(self._spec(job.spec), job.id, self._dashboards_at)

    def run_group(self, job: Job) -> RunGroup:
        """The present attempt; it reports, and finds the directory that it was given."""
        group = with_incarnations(run_group(self._spec(job.spec), job, self._machines), job.status.memo)
        return replace(group, takes_report=True, makes_output=True, dashboard=self.dashboard(job))

    def decide(self, job: Job, reading: Reading | None, room: Room | None, now_us: int) -> Decision:
        """As a CustomJob of the same spec; pure."""
        policy = self._preemptions.over(self._policy(job.spec, job.name.scope.location), job.display_name)
        return decide.decide(job, policy, reading, room, now_us)

    def forget(self) -> None:
        """See kind.Remembers."""
        for known in (self._spec, self._policy):
            known.cache_clear()

    def _read_policy(self, text: bytes, location: str) -> RunPolicy:
        return spec.policy_of(self._spec(text), location, self._grace_seconds)
