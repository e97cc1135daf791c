"""Policies of buckets are kept to, or refused by the field that could not be."""

from __future__ import annotations

from typing import Any

import pytest

from trainyard.core.errors import InvalidArgument
from trainyard.service.bucket_policies import ROLES, check

VIEWER = "roles/storage.objectViewer"


@pytest.mark.parametrize(
    ("binding", "said"),
    [
        ("x", r"bindings\[1\]: it has a role"),
        ({"role": VIEWER, "members": "user:a"}, r"bindings\[1\]: it has a role"),
        ({"role": VIEWER, "members": ["user:a"], "condition": {"title": "t"}}, r"bindings\[1\]\.condition"),
        ({"role": "roles/editor", "members": ["user:a"]}, r"bindings\[1\]\.role: 'roles/editor' is none of"),
        ({"members": ["user:a"]}, r"bindings\[1\]\.role: None"),
        ({"role": VIEWER, "members": ["allUsers"]}, r"bindings\[1\]\.members: 'allUsers' is nobody"),
        ({"role": VIEWER, "members": ["group:g@x.y"]}, "'group:g@x.y' is nobody"),
        ({"role": VIEWER, "members": ["user:"]}, "'user:' is nobody"),
        ({"role": VIEWER, "members": [7]}, "7 is nobody"),
    ],
)
def test_what_could_not_be_kept_to_is_refused(binding: Any, said: str) -> None:
    """Groups, conditions, strangers and roles of other services, by their place in the policy."""
    with pytest.raises(InvalidArgument, match=said):
        check([{"role": VIEWER, "members": []}, binding])


def test_every_role_for_every_kind_of_member_is_kept() -> None:
    """All that the refusal offers is taken."""
    members = ["user:ann", "serviceAccount:ci@p", "projectViewer:p", "projectEditor:p", "projectOwner:p"]
    check([{"role": role, "members": [*members, "allAuthenticatedUsers"]} for role in ROLES] + [{"role": VIEWER}])


def test_larger_roles_have_what_smaller_ones_have() -> None:
    """Viewer within user within admin, as in the original's table."""
    viewer, user, owner, admin = (ROLES[f"roles/storage.{name}"] for name in (
        "objectViewer", "objectUser", "objectAdmin", "admin"))  # fmt: skip
    assert viewer < user < owner < admin
