"""CustomJob as a kind: what a request for one means, how it reads back, what it needs, and what comes next for it."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

from trainyard.contract.pool import API_PACKAGE, STORED_VERSION, message_class
from trainyard.core.dashboards import USUAL_PLACE, Dashboard
from trainyard.core.jobs import Decision, Job
from trainyard.core.runs import Reading, RunGroup
from trainyard.kind import Demand, Draft, Room
from trainyard.kinds.custom_job import effects, rules
from trainyard.kinds.machines import Machines
from trainyard.kinds.persistent import check_exists
from trainyard.kinds.resource_message import message_of, outline_of, stamp_job
from trainyard.kinds.resource_rules import without_output
from trainyard.kinds.running import dashboards, decide, spec
from trainyard.kinds.running.memo import is_leaving, with_incarnations
from trainyard.kinds.running.policy import DEFAULT_GRACE_SECONDS, RunPolicy
from trainyard.kinds.running.shells import replicas_up
from trainyard.kinds.running.simulated import NEVER, Preemptions
from trainyard.kinds.worker_pools import accounts_named, demand_of, replica_names, run_group


class CustomJobKind:
    """Keeps the promise of kind.Kind for customJobs."""

    collection = "customJobs"
    message_name = "CustomJob"
    fields_of_spec = frozenset({"job_spec", "encryption_spec"})
    fields_never_set = frozenset({"satisfies_pzs", "satisfies_pzi"})
    fields_while_running = frozenset({"web_access_uris"})

    def __init__(
        self,
        machines: Machines | None = None,
        grace_seconds: float = DEFAULT_GRACE_SECONDS,
        *,
        contained: bool = False,
        preemptions: Preemptions = NEVER,
        shells_at: str = "",
        dashboards_at: str = USUAL_PLACE,
    ) -> None:
        """Check machine types against `machines` (this release's catalogue); stop programs with the grace.

        `preemptions` are simulated for SPOT jobs. `shells_at` is the address below which jobs have their shells,
        `dashboards_at` the one whose host names those of dashboards end with.
        `contained`: whether replicas may run in containers, where more fields have their effect.
        """
        self._contained = contained
        self._preemptions = preemptions
        self._shells_at = shells_at
        self._dashboards_at = dashboards_at
        self._machines = machines or Machines.known()
        self._grace_seconds = grace_seconds
        self._class: Any = message_class(f"{API_PACKAGE}.{STORED_VERSION}.{self.message_name}")
        # A job is asked about several times in a row, and many jobs have the same spec. What these give is only read.
        self._spec = lru_cache(maxsize=32)(self._read_spec)
        self._demand = lru_cache(maxsize=256)(self._read_demand)
        self._policy = lru_cache(maxsize=256)(self._read_policy)

    def draft(self, message: Any) -> Draft:
        """Check a CustomJob message; raises InvalidArgument with all faults, or says what cannot be kept here."""
        asked = without_output(message, rules.OUTPUT_ONLY)
        rules.check(asked, self._machines, spec.priority_faults(asked.labels))
        notes = effects.kept_in_part(asked, contained=self._contained)
        check_exists(asked, self._machines)
        return Draft(
            display_name=asked.display_name,
            labels=dict(asked.labels),
            spec=asked.SerializeToString(deterministic=True),
            priority=spec.priority_of(asked.labels, asked.job_spec),
            notes=notes,
            key=asked.encryption_spec.kms_key_name,
            outline=outline_of(asked),
            run_as=accounts_named(asked.job_spec),
        )

    def render(self, job: Job) -> Any:
        """The CustomJob message of a stored job."""
        message = message_of(self._class, job)
        spec.complete(message.job_spec)
        stamp_job(message, job)
        for replica in (self.shells(job) or ()) if message.job_spec.enable_web_access else ():
            message.web_access_uris[replica] = f"{self._shells_at}/{job.name}/shells/{replica}"
        dashboard = self.dashboard(job) if message.job_spec.enable_dashboard_access else None
        if dashboard is not None and dashboards.is_up(dashboard, job):
            message.web_access_uris[dashboard.key] = dashboard.uri
        return message

    def demand(self, job: Job) -> Demand:
        """All replicas at once."""
        demand = self._demand(job.spec)
        return replace(demand, is_leaving=True) if is_leaving(job.status.memo) else demand

    def tasks(self, job: Job) -> tuple[str, ...]:
        """`workerpool0-0` and so on."""
        return replica_names(self._spec(job.spec))

    def shells(self, job: Job) -> tuple[str, ...] | None:
        """The replicas that are up, where the spec enables web access."""
        asked = self._spec(job.spec)
        return replicas_up(replica_names(asked), job.status) if asked.enable_web_access else None

    def dashboard(self, job: Job) -> Dashboard | None:
        """The chief's, where the spec enables it."""
        return dashboards.dashboard_of(self._spec(job.spec), job.id, self._dashboards_at)

    def run_group(self, job: Job) -> RunGroup:
        """The present attempt."""
        group = replace(run_group(self._spec(job.spec), job, self._machines), dashboard=self.dashboard(job))
        return with_incarnations(group, job.status.memo)

    def decide(self, job: Job, reading: Reading | None, room: Room | None, now_us: int) -> Decision:
        """What comes next; pure."""
        return decide.decide(job, self._policy(job.spec, job.name.scope.location), reading, room, now_us)

    def forget(self) -> None:
        """See kind.Remembers."""
        for known in (self._spec, self._demand, self._policy):
            known.cache_clear()

    def _read_spec(self, text: bytes) -> Any:
        return self._class.FromString(text).job_spec

    def _read_demand(self, text: bytes) -> Demand:
        asked = self._spec(text)
        return Demand(demand_of(asked, self._machines), spec.is_preemptible(asked))

    def _read_policy(self, text: bytes, location: str) -> RunPolicy:
        policy = spec.policy_of(self._spec(text), location, self._grace_seconds)
        return self._preemptions.over(policy, self._class.FromString(text).display_name)
