"""Every fault that a caller can understand is one class here, with one canonical code.

The tree (google.rpc.Code; HTTP status by AIP-193):

    ApiError
      InvalidArgument      3   400   the request is wrong whatever the state; mend it
      FailedPrecondition   9   400   the resource is in the wrong state; repeating will not help
      OutOfRange           11  400
      Unauthenticated      16  401   who are you?
      PermissionDenied     7   403   you may not
      NotFound             5   404   there is no such thing
      AlreadyExists        6   409
      Aborted              10  409   somebody moved first; read again and repeat
      ResourceExhausted    8   429   quota or capacity is used up
      Cancelled            1   499   the caller went away
      Internal             13  500   our fault
      Unimplemented        12  501   the original has it, we do not
      Unavailable          14  503   a backend did not answer; we have changed nothing; repeat
      DeadlineExceeded     4   504

Edges translate an error, they never choose one. Errors are raised or logged, never both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar


class Code(IntEnum):
    """google.rpc.Code, by wire value."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


HTTP_STATUS: dict[Code, int] = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One bad field: its path (as the wording of the error needs it) and what is wrong with it."""

    field: str
    description: str


class ApiError(Exception):
    """Something the caller can understand. Raised once, logged by no one, translated at the edge."""

    code: ClassVar[Code] = Code.UNKNOWN

    def __init__(
        self,
        message: str,
        violations: Iterable[FieldViolation] = (),
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Keep the sentence for people, the fields for programs; `reason` and `metadata` for google.rpc.ErrorInfo."""
        super().__init__(message)
        self.message = message
        self.violations = tuple(violations)
        self.reason = reason
        self.metadata = dict(metadata or {})


class InvalidArgument(ApiError):
    """The request is wrong whatever the state of the resource; the caller must mend it."""

    code = Code.INVALID_ARGUMENT

    @classmethod
    def found(cls, violations: Iterable[FieldViolation]) -> InvalidArgument:
        """All faults of one request at once, numbered and tab-separated as the service words them."""
        faults = tuple(violations)
        listed = "".join(f"\t{n}.Field: {v.field}; Message: {v.description}" for n, v in enumerate(faults, 1))
        return cls(f"List of found errors:{listed}\t ", faults)


class FailedPrecondition(ApiError):
    """The request is well formed but the resource is in the wrong state; repeating it will not help."""

    code = Code.FAILED_PRECONDITION


class NotFound(ApiError):
    """There is no such thing (or the caller may not know that there is)."""

    code = Code.NOT_FOUND


class AlreadyExists(ApiError):
    """A thing of that name is there already."""

    code = Code.ALREADY_EXISTS


class Aborted(ApiError):
    """Somebody moved first; the caller reads again and repeats."""

    code = Code.ABORTED


class PermissionDenied(ApiError):
    """The caller is known and may not do this."""

    code = Code.PERMISSION_DENIED


class Unauthenticated(ApiError):
    """The caller has not said who they are, or not believably."""

    code = Code.UNAUTHENTICATED


class ResourceExhausted(ApiError):
    """A quota or the machine's capacity is used up; the caller waits or asks for less."""

    code = Code.RESOURCE_EXHAUSTED


class Unimplemented(ApiError):
    """The original has this, we do not; the message says what to use instead."""

    code = Code.UNIMPLEMENTED


class Unavailable(ApiError):
    """A backend did not answer; the caller should repeat, we have changed nothing."""

    code = Code.UNAVAILABLE


class DeadlineExceeded(ApiError):
    """The answer did not come in the time that the caller gave."""

    code = Code.DEADLINE_EXCEEDED


class Internal(ApiError):
    """Our own fault; the server's log has the traceback under the id in the message."""

    code = Code.INTERNAL
