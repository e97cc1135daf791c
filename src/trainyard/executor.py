"""The promise of an executor: it holds run groups somewhere, and whatever it is asked to do may be asked again.

Keepers are in `executors/`, listed in its BUILT_IN table; each passes tests/seams/executor_suite.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Protocol, runtime_checkable

from trainyard.core.dashboards import Dashboard, Ports
from trainyard.core.runs import Capacity, Reading, RunGroup
from trainyard.core.shells import Shell, Terminal


class Executor(Protocol):
    """Runs things somewhere. `launch`, `stop` and `release` may be repeated at will, in any order, after any crash."""

    settle_seconds: float
    """How old a launch must be before a replica's absence means that it is lost (law 4)."""

    async def start(self) -> None:
        """Come up and adopt what an earlier server left running. Raises Unavailable with a sentence if it can't."""

    async def close(self) -> None:
        """Let go. What runs goes on running (law 7)."""

    def capacity(self) -> Capacity:
        """What there is in all, used or not."""

    async def launch(self, group: RunGroup) -> None:
        """Start each replica of `group` whose (run id, name, incarnation) was never started; return at once.

        What goes wrong in starting is no exception but an Exit with Cause.START_FAILED in a later reading.
        Raises Unavailable when it can't even be asked now; the controller asks again.
        """

    async def observe(self, run_ids: Collection[str]) -> Mapping[str, Reading]:
        """What is seen now of these groups, one Reading each, `as_of` never older than the call."""

    async def stop(self, run_id: str, grace_seconds: float) -> None:
        """SIGTERM to every process of the group, SIGKILL after the grace, the whole tree; return at once.

        Also holds for a launch still on its way: what was stopped is not started afterwards.
        """

    async def release(self, run_id: str) -> None:
        """The group is over: give back ports, devices and scratch space. Logs and exit records stay."""

    async def forget(self, job_id: int, *, output: bool = True) -> None:
        """The job is deleted, or has ended: remove all that is left of its groups, logs included if `output` is."""


@runtime_checkable
class Announces(Protocol):
    """The talent of saying that something happened, instead of being asked. A hint only (law 3)."""

    def changes(self) -> AsyncIterator[str]:
        """Run ids of groups whose reading may have changed, as it happens, for ever."""


@runtime_checkable
class Warms(Protocol):
    """The talent of making ready, before any job asks for it, what programs of an image run in."""

    async def warm(self, image_uri: str, package_uris: Sequence[str]) -> str:
        """Have the image, or what stands in for it, with these packages; one sentence that says what is ready.

        May be repeated and cancelled. Raises Unavailable with a sentence where it cannot be made ready.
        """


@runtime_checkable
class Sweeps(Protocol):
    """The talent of finding what nobody owns any more."""

    async def sweep(self, live: Collection[str]) -> None:
        """End and release every group whose run id is not in `live`; called once, before the controller's first act.

        This is what a crash between a job's last commit and the Release after it leaves behind.
        """


@runtime_checkable
class OpensShells(Protocol):
    """The talent behind enableWebAccess: a person's shell where a replica's program runs, which it never outlives."""

    async def open_shell(self, run_id: str, replica: str, terminal: Terminal) -> Shell:
        """A shell beside the replica's newest incarnation, for groups with `opens_shells`.

        Raises FailedPrecondition where there can be none, Unavailable where that can't be found out now.
        """


@runtime_checkable
class ForwardsDashboards(Protocol):
    """The talent behind enableDashboardAccess: the chief's page is reached from where the service runs."""

    def dashboard_ports(self, run_id: str, dashboard: Dashboard) -> Ports:
        """Those of the run group's dashboard, whether anything listens there or not.

        Raises FailedPrecondition where there is none.
        """
