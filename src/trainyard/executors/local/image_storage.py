"""Podman without root keeps images by vfs on some systems, a full copy for each container: set to overlay if we may.

We may where nothing would be lost: the user has set nothing, and podman holds nothing yet. Podman notes in its own
database by what it keeps images, and that goes before every configuration, so the empty database is removed with it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_CONFIGURATION: Final = (
    '# Written by trainyard doctor; podman\'s own default here is vfs.\n[storage]\ndriver = "overlay"\n'
)
_DATABASES: Final = ("libpod/bolt_state.db", "db.sql")
_HOLDINGS: Final = (("volume", "ls", "--quiet"), ("pod", "ls", "--quiet"))

Ask = Callable[..., str | None]
"""What a command of podman's prints, by its words; None where it fails."""


@dataclass(frozen=True, slots=True)
class Storage:
    """How podman keeps images here: its word for it, and what can be said to people about that."""

    driver: str
    found: str
    remedy: str = ""


def storage(ask: Ask) -> Storage:
    """How podman keeps images, mended first where a user may mend it."""
    before = _look(ask)
    driver = _driver(before)
    if driver != "vfs":
        return Storage(driver, driver or "podman did not say")
    path = Path(before["store"]["configFile"])
    if _is_untouched(ask, before, path) and _set(ask, path, Path(before["store"]["graphRoot"])):
        return Storage("overlay", f"overlay: vfs was the default here, which is slow, so {path} was written")
    return Storage(
        driver,
        "vfs, which copies the whole image for each container",
        f'put [storage] and driver = "overlay" into {path}, then: podman system reset (it removes the images that '
        "podman holds, to be pulled anew)",
    )


def _is_untouched(ask: Ask, info: dict[str, Any], path: Path) -> bool:
    store = info["store"]
    empty = store["imageStore"]["number"] == 0 and store["containerStore"]["number"] == 0
    return (
        empty and info["host"]["security"]["rootless"] and not path.exists() and all(ask(*w) == "" for w in _HOLDINGS)
    )


def _set(ask: Ask, path: Path, root: Path) -> bool:
    """Whether overlay works once it is configured; else all is as before."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_CONFIGURATION, "utf-8")
        _forget(root)
        if _driver(_look(ask)) == "overlay":
            return True
    except OSError:
        pass  # as where it does not work
    with contextlib.suppress(OSError):  # it could not even be written
        path.unlink()
        _forget(root)
    return False


def _forget(root: Path) -> None:
    for name in _DATABASES:
        (root / name).unlink(missing_ok=True)


def _look(ask: Ask) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ask("info", "--format", "json") or "{}")
    return found


def _driver(info: dict[str, Any]) -> str:
    return str(info["store"]["graphDriverName"]) if "store" in info else ""
