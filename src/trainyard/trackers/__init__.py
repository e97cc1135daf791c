"""The keepers of the tracker's promise, imported when somebody asks for one."""

from collections.abc import Mapping
from typing import Final

BUILT_IN: Final[Mapping[str, str]] = {"mlflow": "trainyard.trackers.mlflow_runs.tracker"}
