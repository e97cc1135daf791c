"""From flags and a --config file to the body of a NasJob; a resumed search takes over all that it may not say anew."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any, Final

from trainyard.cli.job_specs import (
    add_places,
    check_pools,
    duration_seconds,
    named_by_flags,
    put_flags,
    read_document,
)
from trainyard.cli.problems import Usage
from trainyard.cli.service_api import Job, job_id

_STAGES: Final = {
    "search": ("searchTrialSpec", "searchTrialJobSpec"),
    "train": ("trainTrialSpec", "trainTrialJobSpec"),
}
_COUNTS: Final = {
    "max_trial_count": ("search", "maxTrialCount"),
    "parallel_trial_count": ("search", "maxParallelTrialCount"),
    "max_failed_trial_count": ("search", "maxFailedTrialCount"),
    "train_frequency": ("train", "frequency"),
    "train_parallel_trial_count": ("train", "maxParallelTrialCount"),
}
_NOT_TO_RESUME: Final = ("search_space", "metric_id", "metric_goal", "algorithm")


def nas_job_from_flags(flags: Namespace, resumed: Job | None, python: str) -> Job:
    """The NasJob that `nas-jobs create` asks for; `resumed` is the one to go on with. Raises Usage on contradictions.

    Trials of a --config file may say $(TRAINYARD_SPEC_DIR) and $(TRAINYARD_PYTHON), as in `trainyard run`.
    """
    spec = read_nas_config(flags.config) if flags.config else {}
    job = named_by_flags(flags) | {"nasJobSpec": spec}
    algorithm = spec.setdefault("multiTrialAlgorithmSpec", {})
    if resumed is not None:
        _resume(spec, flags, resumed)
        job.setdefault("labels", dict(resumed.get("labels", {})))
    if flags.search_space:
        spec["searchSpaceSpec"] = _text(flags.search_space)
    if flags.algorithm:
        algorithm["multiTrialAlgorithm"] = _enum(flags.algorithm)
    for field, value in (("metricId", flags.metric_id), ("goal", _enum(flags.metric_goal or ""))):
        if value:
            algorithm.setdefault("metric", {})[field] = value
    if algorithm.get("metric"):
        algorithm["metric"].setdefault("goal", "MAXIMIZE")
    _put_trials(algorithm, flags)
    if flags.config:
        with_places(spec, flags.config, python)
    return job


def with_places(spec: dict[str, Any], path: str, python: str) -> None:
    """Let the trials of a spec say $(TRAINYARD_SPEC_DIR) and $(TRAINYARD_PYTHON): see add_places."""
    algorithm = spec["multiTrialAlgorithmSpec"]
    for stage, field in _STAGES.values():
        if algorithm.get(stage, {}).get(field):
            add_places({"jobSpec": algorithm[stage][field]}, path, python)


def read_nas_config(path: str) -> dict[str, Any]:
    """A --config file: a NasJobSpec in YAML (JSON is YAML), its keys in camelCase or snake_case."""
    spec = read_document(path)
    if "nasJobSpec" in spec:
        raise Usage(f"{path} holds a whole NasJob; --config wants what stands under nasJobSpec")
    algorithm = spec.setdefault("multiTrialAlgorithmSpec", {})
    for stage, field in _STAGES.values():
        if not isinstance(algorithm, dict) or not isinstance(algorithm.get(stage, {}), dict):
            raise Usage(f"{path}: multiTrialAlgorithmSpec holds mappings: metric, searchTrialSpec, trainTrialSpec")
        if job_spec := algorithm.get(stage, {}).get(field):
            check_pools(job_spec, path)
    return spec


def _resume(spec: dict[str, Any], flags: Namespace, resumed: Job) -> None:
    """Everything that the service wants said again, from the old job; nothing of what it takes from there itself."""
    given = [f"--{flag.replace('_', '-')}" for flag in _NOT_TO_RESUME if getattr(flags, flag)]
    if given:
        raise Usage(f"{' and '.join(given)} can't go with --resume: space, metric and algorithm are the old search's")
    spec["resumeNasJobId"] = job_id(resumed)
    algorithm = spec["multiTrialAlgorithmSpec"]
    old = resumed.get("nasJobSpec", {}).get("multiTrialAlgorithmSpec", {})
    for stage, _ in _STAGES.values():
        if stage in old:
            algorithm[stage] = old[stage] | algorithm.get(stage, {})


def _put_trials(algorithm: dict[str, Any], flags: Namespace) -> None:
    search = algorithm.setdefault("searchTrialSpec", {})
    job_spec = search.setdefault("searchTrialJobSpec", {})
    put_flags(job_spec, flags)
    if not job_spec.get("workerPoolSpecs"):
        raise Usage("say what a trial runs: --worker-pool-spec=machine-type=…,container-image-uri=…, or --config=FILE")
    if flags.timeout:
        job_spec.setdefault("scheduling", {})["timeout"] = f"{duration_seconds(flags.timeout):.0f}s"
    for flag, (stage, field) in _COUNTS.items():
        if (value := getattr(flags, flag)) is not None:
            algorithm.setdefault(_STAGES[stage][0], {})[field] = value
    train = algorithm.get("trainTrialSpec")
    if train is not None:
        train.setdefault("trainTrialJobSpec", {field: job_spec[field] for field in job_spec if field != "scheduling"})
        train.setdefault("maxParallelTrialCount", 1)
    if flags.output_dir:
        for name, (stage, field) in _STAGES.items():
            if stage in algorithm:
                prefix = f"{flags.output_dir.rstrip('/')}/nas/{name}"
                algorithm[stage][field] = algorithm[stage][field] | {"baseOutputDirectory": {"outputUriPrefix": prefix}}


def _enum(word: str) -> str:
    return word.replace("-", "_").upper()


def _text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except OSError as error:
        raise Usage(f"--search-space: {path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Usage(f"--search-space: {path} is not text in UTF-8") from None
