"""The keepers of the Kind promise, by collection, imported only when someone asks."""

from collections.abc import Mapping

BUILT_IN: Mapping[str, str] = {
    "customJobs": "trainyard.kinds.custom_job.kind",
    "nasJobs": "trainyard.kinds.nas_job.kind",
    "nasTrials": "trainyard.kinds.nas_job.trial_kind",  # internal: no operation names it
}
