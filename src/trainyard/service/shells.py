"""Who may open a shell beside a job's program, and where: the original's rule, over our roles.

The original asks for create, get and cancel on the job's collection (docs, "Monitor and debug with an interactive
shell"), and to act as the job's serviceAccount where it has one; so does this. Every attempt is in the audit log: at
a shell people do what no other call does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final, cast

from trainyard.core.errors import FailedPrecondition, FieldViolation, InvalidArgument, NotFound, Unavailable
from trainyard.core.names import JobName
from trainyard.core.shells import Shell, Terminal
from trainyard.core.states import JobState
from trainyard.kind import ShowsShells
from trainyard.service import trials
from trainyard.service.access import Access, Caller, require, require_act_as

if TYPE_CHECKING:
    from trainyard.core.jobs import Job
    from trainyard.kind import Kind
    from trainyard.service.auditing import Noted
    from trainyard.service.insight import Insight

OpenShell = Callable[[str, str, Terminal], Awaitable[Shell]]
"""A shell in a replica of a run group; raises FailedPrecondition, Unavailable."""

NEEDED: Final = ("get", "create", "cancel")


class Shells:
    """Opens shells for callers."""

    def __init__(
        self, insight: Insight, kinds: Mapping[str, Kind], access: Access, noted: Noted, opens: OpenShell | None
    ) -> None:
        """`opens` is the executor's; `noted` writes every attempt down."""
        self._insight = insight
        self._kinds = kinds
        self._access = access
        self._noted = noted
        self._opens = opens

    def recheck(self, caller: Caller) -> None:
        """Raises Unauthenticated where the caller's credential is no longer one."""
        self._access.recheck(caller)

    async def open(self, name: str, replica: str, caller: Caller, terminal: Terminal, stage: str = "") -> Shell:
        """A shell in a replica of this job, or of the job that runs this trial.

        Raises PermissionDenied, NotFound, InvalidArgument on a terminal that can't be, FailedPrecondition where there
        can be no shell, Unavailable where that can't be found out.
        """
        with self._noted(caller, f"{_collection(name)}.shell", f"{name}/shells/{replica}"):
            if faults := terminal.faults():
                raise InvalidArgument.found([FieldViolation(field, why) for field, why in faults.items()])
            return await self._opened(self.check(name, replica, caller, stage), name, replica, terminal)

    def check(self, name: str, replica: str, caller: Caller, stage: str = "") -> Job:
        """The job in whose replica the caller may open a shell now.

        Raises PermissionDenied, NotFound, and FailedPrecondition where there can be none.
        """
        for verb in NEEDED:
            require(self._access, caller, f"aiplatform.{_collection(name)}.{verb}", name)
        job = self._insight.job(name, caller, stage)
        self._check(job, name, replica)
        if account := self._kinds[job.name.collection].run_group(job).service_account:
            require_act_as(self._access, caller, account)  # at the shell its tokens are at hand
        return job

    async def _opened(self, job: Job, name: str, replica: str, terminal: Terminal) -> Shell:
        assert job.status.run_id is not None, "replicas are up in it"
        if self._opens is None:
            raise FailedPrecondition("The executor that runs the jobs of this service opens no shells.")
        try:
            return await self._opens(job.status.run_id, replica, terminal)
        except (FailedPrecondition, Unavailable) as error:
            raise type(error)(f"No shell can be opened in {replica} of {name}: {error.message}") from None

    def _check(self, job: Job, name: str, replica: str) -> None:
        """Raises NotFound, FailedPrecondition."""
        kind = self._kinds.get(job.name.collection)
        if kind is None or not isinstance(kind, ShowsShells):
            raise FailedPrecondition(f"{name} runs no programs of its own, so there is nothing to open a shell in.")
        up, tasks = kind.shells(job), cast("Kind", kind).tasks(job)
        if up is None:
            raise FailedPrecondition(
                f"{name} was created without enableWebAccess, so no shells can be opened in it. Set enableWebAccess in "
                "its job spec when you create it (trainyard custom-jobs create --enable-web-access)."
            )
        if replica not in tasks:
            raise NotFound(f"{name} has no replica {replica!r}; it has {', '.join(tasks[:20])}.")
        if job.status.state is not JobState.RUNNING:
            raise FailedPrecondition(
                f"{name} is {job.status.state.api_name}; shells can be opened while it is {JobState.RUNNING.api_name}."
            )
        if replica not in up:
            raise FailedPrecondition(
                f"{replica} of {name} has ended; shells can be opened in: {', '.join(up) or 'none'}."
            )


def _collection(name: str) -> str:
    """Of the job, or of the search whose trial it is."""
    return (trials.trial_name(name)[0] if trials.number_of(name) is not None else JobName.parse(name)).collection
