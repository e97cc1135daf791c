"""IAM's mixin: which of some permissions the caller has; there are no policies to read or write yet."""

from __future__ import annotations

from typing import Any

from trainyard.core.errors import FieldViolation, InvalidArgument, Unimplemented
from trainyard.service.call import Call
from trainyard.service.rendering import message

MOST_PERMISSIONS = 100


async def permissions(call: Call, request: Any) -> Any:
    """Those of the asked permissions that the caller has, in the order asked."""
    _check(request)
    answer = message("google.iam.v1.TestIamPermissionsResponse")
    answer.permissions.extend(
        permission for permission in request.permissions if call.access.may(call.caller, permission, request.resource)
    )
    return answer


def _check(request: Any) -> None:
    violations = []
    if not request.resource:
        violations.append(FieldViolation("resource", "Required field is not set."))
    if len(request.permissions) > MOST_PERMISSIONS:
        violations.append(FieldViolation("permissions", f"There can be no more than {MOST_PERMISSIONS} permissions."))
    for index, permission in enumerate(request.permissions):
        if not permission or "*" in permission:
            violations.append(FieldViolation(f"permissions[{index}]", "Permissions with wildcards are not allowed."))
    if violations:
        raise InvalidArgument.found(violations)


async def get_policy(call: Call, request: Any) -> Any:  # noqa: ARG001 - the signature of every handler
    """Raises Unimplemented."""
    raise _no_policies()


async def set_policy(call: Call, request: Any) -> Any:  # noqa: ARG001 - the signature of every handler
    """Raises Unimplemented."""
    raise _no_policies()


def _no_policies() -> Unimplemented:
    return Unimplemented(
        "Trainyard keeps no IAM policies; who may do what is decided by the roles of credentials (`trainyard tokens`), "
        "and testIamPermissions says what the caller may do."
    )
