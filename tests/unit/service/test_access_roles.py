"""What each role may do."""

from __future__ import annotations

import pytest

from trainyard.contract.operations import operations
from trainyard.credentials import ROLES
from trainyard.service.access_roles import USER, VIEWER, grants


def test_each_role_has_what_the_one_before_has() -> None:
    """viewer < user < admin, and no other role has anything."""
    assert VIEWER < USER
    assert all(grants("admin", permission) for permission in USER)
    assert not any(grants(role, "aiplatform.customJobs.get") for role in ("", "owner", "VIEWER"))


@pytest.mark.parametrize(
    ("permission", "who"),
    [
        ("aiplatform.customJobs.get", {"viewer", "user", "admin"}),
        ("aiplatform.nasTrialDetails.list", {"viewer", "user", "admin"}),
        ("logging.logEntries.list", {"viewer", "user", "admin"}),
        ("storage.objects.get", {"viewer", "user", "admin"}),
        ("aiplatform.customJobs.create", {"user", "admin"}),
        ("aiplatform.nasJobs.cancel", {"user", "admin"}),
        ("storage.objects.delete", {"user", "admin"}),
        ("storage.buckets.delete", {"admin"}),
        ("aiplatform.models.upload", {"admin"}),
        ("compute.instances.create", set()),
        ("aiplatform", set()),
        ("", set()),
    ],
)
def test_the_table_of_rights(permission: str, who: set[str]) -> None:
    """Reading for viewers, jobs and objects for users, the rest of the services that live here for admins."""
    assert {role for role in ROLES if grants(role, permission)} == who


def test_every_operation_of_the_book_is_some_roles() -> None:
    """No permission that the book names is out of everybody's reach; what reads, a viewer may."""
    for operation in operations():
        if operation.permission:
            assert grants("user", operation.permission), operation.method
        if operation.permission.endswith((".get", ".list")):
            assert grants("viewer", operation.permission), operation.method
