"""Who may do what with buckets and objects: the same credentials and roles as for jobs, in the storage service's words.

A bucket belongs to the project that it was made in; one that appeared by itself belongs to none, and to everybody who
has the role anywhere. A bucket's policy gives more (bucket_policies.py). Where nobody is asked who they are,
access controls and policies decide nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from trainyard.audit import AuditLog
from trainyard.core.clock import Clock
from trainyard.core.errors import PermissionDenied
from trainyard.core.names import project_number
from trainyard.service import bucket_policies
from trainyard.service.access import Access, Caller
from trainyard.service.access_signed import SignedRequest, check_times
from trainyard.service.auditing import told

NO_PROJECT = "0"

Attributes = Callable[[str], Mapping[str, Any]]
"""What is kept with a bucket, empty where there is none; it may block."""


class Need(Protocol):
    """One permission on a bucket or object, as an edge asks for it."""

    @property
    def permission(self) -> str:
        """IAM's name."""

    @property
    def bucket(self) -> str:
        """Empty for a project."""

    @property
    def name(self) -> str:
        """The object; empty for a bucket."""

    @property
    def project(self) -> str:
        """The project that is named, for what is in no bucket."""

    @property
    def resource(self) -> str:
        """For the audit log."""


class ObjectAccess:
    """Identifies callers of the gs:// endpoint, admits them and writes down what they change."""

    def __init__(
        self, access: Access, audit: AuditLog, clock: Clock, attributes: Attributes, *, enforces: bool
    ) -> None:
        """`enforces`: callers are asked who they are, so that policies mean something."""
        self._access = access
        self._audit = audit
        self._clock = clock
        self._attributes = attributes
        self.enforces = enforces

    def identify(self, authorization: str, api_key: str, address: str) -> Caller:
        """Who calls; raises ApiError."""
        return replace(self._access.identify(authorization, api_key), address=address)

    def identify_signed(self, asked: SignedRequest, address: str) -> Caller:
        """Who signed a URL; raises BadSignedUrl. Where nobody is asked who they are, it ends all the same."""
        if not self.enforces:
            check_times(asked, self._clock.now_us())
        return replace(self._access.identify_signed(asked), address=address)

    def admits(self, caller: Caller, need: Need) -> bool:
        """Whether the caller's role alone is enough, wherever the bucket belongs; never blocks."""
        return caller.projects is None and self._access.may(caller, need.permission, _resource("", need))

    def require(self, caller: Caller, need: Need) -> None:
        """Raises PermissionDenied in the original's words. Blocks."""
        if self._holds(caller, need, self._attributes(need.bucket) if need.bucket else {"_project": need.project}):
            return
        what = "object" if need.name else "bucket" if need.bucket else "project"
        raise PermissionDenied(
            f"{caller.name} does not have {need.permission} access to the Google Cloud Storage {what}. Permission "
            f"'{need.permission}' denied on resource (or it may not exist).",
            reason="forbidden",
        )

    def held(self, caller: Caller, needs: Sequence[Need]) -> list[str]:
        """Those of the permissions that the caller has; all needs are of one bucket. Blocks."""
        found = self._attributes(needs[0].bucket) if needs else {}
        return [need.permission for need in needs if self._holds(caller, need, found)]

    def _holds(self, caller: Caller, need: Need, attributes: Mapping[str, Any]) -> bool:
        project = str(attributes.get("_project") or "")
        asks = caller if project else replace(caller, projects=None)  # what is nobody's is everybody's
        if self._access.may(asks, need.permission, _resource(project, need)):
            return True
        bindings = (attributes.get("_iamPolicy") or {}).get("bindings", ())
        return self.enforces and bucket_policies.gives(bindings, caller, need.permission)

    def sees(self, caller: Caller, project: str) -> bool:
        """Whether a bucket of a project (its number; 0 for none) is listed for the caller."""
        return caller.projects is None or project == NO_PROJECT or project_number(project) in caller.projects

    def note(self, caller: Caller, need: Need, result: str) -> None:
        """One line of the audit log."""
        told(self._audit, self._clock, caller, need.permission, need.resource, result)


def _resource(project: str, need: Need) -> str:
    return f"projects/{project or '_'}/buckets/{need.bucket}"
