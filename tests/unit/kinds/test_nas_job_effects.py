"""Every field of a NasJob has its line in the table of effects."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format

from trainyard.contract.pool import API_PACKAGE, STORED_VERSION, message_class
from trainyard.core.errors import ApiError, FailedPrecondition
from trainyard.kinds.nas_job import effects

CLASS: Any = message_class(f"{API_PACKAGE}.{STORED_VERSION}.NasJob")


def paths(descriptor: Any, prefix: str = "") -> list[str]:
    """Every field that can be set, down to the messages of other packages; output-only ones as a whole."""
    found = []
    for field in descriptor.fields:
        path, inner = f"{prefix}{field.name}", field.message_type
        ours = inner is not None and inner.file.package.startswith(API_PACKAGE) and not inner.GetOptions().map_entry
        found += paths(inner, f"{path}.") if ours else [path]
    return found


def test_the_table_covers_every_field_and_nothing_else() -> None:
    """Each field has a line of its own or one for the message that it is in; no line is about a field that is not."""
    table = {effect.path for effect in effects.EFFECTS.lines}
    assert len(table) == len(effects.EFFECTS.lines)
    fields = paths(CLASS.DESCRIPTOR)
    uncovered = [path for path in fields if not any(path == line or path.startswith(f"{line}.") for line in table)]
    stale = [line for line in table if not any(path == line or path.startswith(f"{line}.") for path in fields)]
    assert (uncovered, stale) == ([], [])


def job(trial_spec: dict[str, Any]) -> Any:
    """A search whose trials' spec has these fields."""
    search = {"searchTrialSpec": {"searchTrialJobSpec": trial_spec}}
    return json_format.ParseDict({"nasJobSpec": {"multiTrialAlgorithmSpec": search}}, CLASS())


def test_a_field_of_the_trials_spec_is_told_under_its_own_name() -> None:
    """What has no effect in a CustomJob has none in a trial, and the service log names the place."""
    (note,) = effects.kept_in_part(job({"enableDashboardAccess": True}))
    assert note.startswith("nasJobSpec.multiTrialAlgorithmSpec.searchTrialSpec.searchTrialJobSpec.enableDashboardAccess")


def test_what_a_custom_job_is_refused_for_a_search_is_refused_for() -> None:
    """Data that no trial could see."""
    with pytest.raises(ApiError):
        effects.kept_in_part(job({"workerPoolSpecs": [{"nfsMounts": [{"server": "s"}]}]}))


def test_trials_in_containers_see_shares_as_jobs_do() -> None:
    """nfsMounts and lustreMounts are refused only where no trial can run in a container."""
    nfs, lustre = {"nfsMounts": [{"server": "s"}]}, {"lustreMounts": [{"filesystem": "f"}]}
    for pool in (nfs, lustre):
        asked = job({"workerPoolSpecs": [pool]})
        with pytest.raises(FailedPrecondition, match=next(iter(pool))):
            effects.kept_in_part(asked)
        assert effects.kept_in_part(asked, contained=True) == ()
