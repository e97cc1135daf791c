"""The persistent resources that were created here, on disk: whole or not at all, and durable before anybody is told.

One JSON file in the data directory, for people to read; written by the service alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from trainyard.core.errors import Unavailable
from trainyard.whole_files import sync_directory, write_whole

FILE_NAME: Final = "persistent-resources.json"
VERSION: Final = 1


class ResourceFile:
    """Bodies and creation times (microseconds since the epoch) by name."""

    def __init__(self, directory: Path) -> None:
        """Nothing is read before it is asked for."""
        self.path = directory / FILE_NAME

    def read(self) -> dict[str, dict[str, Any]]:
        """`{"NAME": {"createTimeUs": …, "body": {…}}}`, empty where there is no file. Raises Unavailable."""
        try:
            content = json.loads(self.path.read_text("utf-8"))
            known = content["version"] == VERSION
            found = {str(entry["body"]["name"]): dict(entry) for entry in content["persistentResources"]}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Unavailable(f"{self.path} cannot be read ({error!r}); mend it, or move it away.") from None
        if not known:
            raise Unavailable(f"{self.path} is not of version {VERSION}, which this release reads.")
        return found

    def write(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace what is kept; durable when this returns. Raises OSError, and the old file stays."""
        content = {"version": VERSION, "persistentResources": list(entries.values())}
        write_whole(self.path, json.dumps(content, indent=1).encode() + b"\n", durable=True)
        sync_directory(self.path.parent)
