"""What of a NasJob has no effect is told or refused under its own name."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format

from trainyard.contract.pool import API_PACKAGE, STORED_VERSION, message_class
from trainyard.core.errors import ApiError, FailedPrecondition
from trainyard.kinds.nas_job import effects

CLASS: Any = message_class(f"{API_PACKAGE}.{STORED_VERSION}.NasJob")


def job(trial_spec: dict[str, Any]) -> Any:
    """A search whose trials' spec has these fields."""
    search = {"searchTrialSpec": {"searchTrialJobSpec": trial_spec}}
    return json_format.ParseDict({"nasJobSpec": {"multiTrialAlgorithmSpec": search}}, CLASS())


def test_a_field_of_the_trials_spec_is_told_under_its_own_name() -> None:
    """What has no effect in a CustomJob has none in a trial, and the service log names the place."""
    (note,) = effects.kept_in_part(job({"models": ["m"]}))
    assert note.startswith("nasJobSpec.multiTrialAlgorithmSpec.searchTrialSpec.searchTrialJobSpec.models")


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
