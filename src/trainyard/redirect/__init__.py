"""Turns Google's clients inside any Python program towards a Trainyard service, without an edit to the program.

It lives in the interpreters of others: standard library only, Python 3.7 or newer, nothing of ours beyond this folder,
and almost nothing is imported before the program itself imports a networking library. What it does is told by the
environment (aim.py), which children inherit.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trainyard.redirect.imports import Hook


def install() -> Hook:
    """Patch networking libraries as they are imported, and at once those that already are. May be repeated."""
    if os.environ.get("HTTPS_PROXY", "nothing") == os.environ.get("TRAINYARD_REDIRECT", "").rstrip("/"):
        from .cxx import forget_proxy  # noqa: PLC0415 - below a TensorFlow alone

        forget_proxy()
    from . import imports  # noqa: PLC0415 - this package is also loaded under another name, so never by its full one

    for each in sys.meta_path:
        if isinstance(each, imports.Hook):
            return each
    hook = imports.Hook()
    sys.meta_path.insert(0, hook)
    for name in hook.names:
        module = sys.modules.get(name)
        if module is not None:
            imports.patch(module, name)
    return hook


def aim_again() -> None:
    """What reads the environment only when it is imported is told of another service; the rest reads it every time."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None:
        from .cxx import patch_tensorflow  # noqa: PLC0415 - as above

        patch_tensorflow(tensorflow)
