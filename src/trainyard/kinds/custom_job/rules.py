"""Every rule of a CustomJob, all broken ones reported at once. Source: the proto comments of CustomJob."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trainyard.core.errors import FieldViolation
from trainyard.kinds.faults import REQUIRED, Faults
from trainyard.kinds.machines import Machines
from trainyard.kinds.persistent import check_key
from trainyard.kinds.resource_rules import check_display_name, check_encryption, check_labels
from trainyard.kinds.spec_rules import check_spec

OUTPUT_ONLY = (
    "name",
    "state",
    "create_time",
    "start_time",
    "end_time",
    "update_time",
    "error",
    "web_access_uris",
    "satisfies_pzs",
    "satisfies_pzi",
)


def check(message: Any, machines: Machines, further: Iterable[FieldViolation] = ()) -> None:
    """Raises InvalidArgument naming every fault of a CustomJob (a message of the stored API version).

    `further` are faults that somebody else has found in it already.
    """
    faults = Faults()
    check_display_name(message.display_name, faults)
    if message.HasField("job_spec"):
        check_spec(message.job_spec, faults.under("job_spec"), machines)
    else:
        faults.add("job_spec", REQUIRED)
    check_labels(message.labels, faults)
    check_encryption(message, faults)
    check_key(message, faults, machines)
    for violation in further:
        faults.add(violation.field, violation.description)
    faults.raise_if_any()
