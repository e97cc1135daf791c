"""The keepers of the Executor promise, imported only when someone asks."""

from collections.abc import Mapping

BUILT_IN: Mapping[str, str] = {
    "local": "trainyard.executors.local.client",
}
