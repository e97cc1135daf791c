"""The CustomJobSpec of one trial: its stage's own, plus the point, the place and the names that a trainer looks for.

`--nas_params_str` and `--job-dir` follow the user's arguments, each as one word with `=`. Sources: the tutorials of
the original (flags), cloudml-hypertune (variables), custom_job.proto (`<prefix>/<trial id>/model` and so on).
"""

from __future__ import annotations

from typing import Any, Final

from trainyard.contract.pool import API_PACKAGE, STORED_VERSION, message_class
from trainyard.core.parameters import parameters_text
from trainyard.core.space import Point, Space
from trainyard.kinds.pool_rules import is_skipped
from trainyard.kinds.worker_pools import directory

TRIAL_ID: Final = "CLOUD_ML_TRIAL_ID"
METRIC_TAG: Final = "CLOUD_ML_HP_METRIC_TAG"


def trial_spec(stage_spec: Any, space: Space, point: Point, number: int, metric: str) -> bytes:
    """Wire bytes of the CustomJobSpec that runs this point as trial `number` of its stage."""
    spec: Any = message_class(f"{API_PACKAGE}.{STORED_VERSION}.CustomJobSpec")()
    spec.CopyFrom(stage_spec)
    flags = [f"--nas_params_str={_literal(parameters_text(space, point))}"]
    if spec.HasField("base_output_directory"):
        place = f"{directory(spec.base_output_directory.output_uri_prefix)}{number}"
        spec.base_output_directory.output_uri_prefix = f"{place}/"
        flags.append(f"--job-dir={_literal(place)}")
    for pool in spec.worker_pool_specs:
        if is_skipped(pool):
            continue
        task = getattr(pool, pool.WhichOneof("task"))
        task.args.extend(flags)
        _set(task.env, TRIAL_ID, str(number))
        _set(task.env, METRIC_TAG, _literal(metric))
    return bytes(spec.SerializeToString(deterministic=True))


def _literal(text: str) -> str:
    """The text as the expansion of `$(NAME)` gives it back unchanged."""
    return text.replace("$", "$$")


def _set(env: Any, name: str, value: str) -> None:
    kept = [variable for variable in env if variable.name != name]
    del env[:]
    env.extend(kept)
    env.add(name=name, value=value)
