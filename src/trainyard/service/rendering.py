"""Messages of the API that are not a kind's own: how the service names, fills and packs them."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from trainyard.contract.pool import API_PACKAGE, STORED_VERSION, message_class
from trainyard.core.errors import Internal
from trainyard.core.jobs import Job, Seal

if TYPE_CHECKING:
    from trainyard.kind import Kind

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_TYPE_URL = "type.googleapis.com/"


@cache
def snake(name: str) -> str:
    """`CustomJob` and `customJobs` as proto fields are named: custom_job, custom_jobs."""
    return _HUMP.sub("_", name).lower()


def stored_message(name: str) -> Any:
    """A fresh message of the stored API version, such as ListCustomJobsResponse."""
    return message_class(f"{API_PACKAGE}.{STORED_VERSION}.{name}")()


def message(full_name: str) -> Any:
    """A fresh message of any package of the contract."""
    return message_class(full_name)()


def empty() -> Any:
    """google.protobuf.Empty."""
    return message("google.protobuf.Empty")


def pack(target: Any, content: Any) -> None:
    """Put `content` into a google.protobuf.Any."""
    target.type_url = _TYPE_URL + content.DESCRIPTOR.full_name
    target.value = content.SerializeToString(deterministic=True)


def listed(kind: Kind, job: Job) -> Any:
    """What `kind` makes of a job, where it stands beside others: one that cannot be read is there, without its spec."""
    try:
        return kind.render(job)
    except Internal as error:
        return kind.render(replace(job, spec=b"", seal=Seal(0, locked=error.message, damaged=True)))


def stamp(timestamp: Any, time_us: int) -> None:
    """Set a google.protobuf.Timestamp."""
    seconds, micros = divmod(time_us, 1_000_000)
    timestamp.seconds, timestamp.nanos = seconds, micros * 1000
