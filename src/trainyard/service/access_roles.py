"""Roles and what they may do, in IAM's permission names (https://cloud.google.com/iam/docs/permissions-reference).

Each role has all that the one before has. They are small relatives of roles/aiplatform.viewer, user and admin, with
the rights on logs and objects that go with a job's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from trainyard.credentials import ROLES

_KINDS: Final = ("customJobs", "nasJobs")

ACT_AS: Final = "iam.serviceAccounts.actAs"
"""To have programs run as a service account (jobSpec.serviceAccount)."""

VIEWER: Final = frozenset(
    {
        *(f"aiplatform.{kind}.{verb}" for kind in (*_KINDS, "nasTrialDetails") for verb in ("get", "list")),
        "aiplatform.locations.get",
        "aiplatform.locations.list",
        "aiplatform.operations.get",
        "aiplatform.operations.list",
        "logging.logEntries.list",
        "logging.logs.list",
        "logging.views.access",
        "logging.privateLogEntries.list",
        "resourcemanager.projects.get",
        "storage.buckets.get",
        "storage.buckets.list",
        "storage.objects.get",
        "storage.objects.list",
    }
)
USER: Final = VIEWER | frozenset(
    {
        *(f"aiplatform.{kind}.{verb}" for kind in _KINDS for verb in ("create", "cancel", "delete")),
        "aiplatform.operations.cancel",
        "aiplatform.operations.delete",
        ACT_AS,
        "logging.logEntries.create",
        "logging.logEntries.route",
        "storage.buckets.create",
        "storage.multipartUploads.abort",
        "storage.multipartUploads.create",
        "storage.multipartUploads.list",
        "storage.multipartUploads.listParts",
        "storage.objects.create",
        "storage.objects.delete",
        "storage.objects.restore",
        "storage.objects.update",
    }
)
OF_ADMINS: Final = ("aiplatform.", "logging.", "storage.", "resourcemanager.projects.", "trainyard.")
"""An admin has every permission of the services that live here, theirs of today and of tomorrow."""

_GRANTED: Final[Mapping[str, frozenset[str]]] = {"viewer": VIEWER, "user": USER, "admin": USER}


def grants(role: str, permission: str) -> bool:
    """Whether a role has a permission."""
    if permission in _GRANTED.get(role, ()):
        return True
    return role == "admin" and permission.startswith(OF_ADMINS)


def covers(role: str, other: str) -> bool:
    """Whether a role has all that another has."""
    return role in ROLES and ROLES.index(role) >= ROLES.index(other)


SEES_SECRETS: Final = "create"
"""Who may create jobs of a kind sees the environment variables of its jobs; viewers do not (hiding.py)."""
