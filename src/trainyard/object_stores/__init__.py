"""Keepers of the object store's promise, each loaded only where the settings ask for it."""

from typing import Final

BUILT_IN: Final = {
    "directory": "trainyard.object_stores.directory",
    "url": "trainyard.object_stores.url",
}
