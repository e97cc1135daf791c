"""TensorFlow's gs:// is C++ with Google's names in it; all that it can be told is a proxy, and whom to trust.

Both are set in the process's own environment, behind Python's back: Python's libraries have their own ways (web.py),
and must not take the service for a proxy to the rest of the world.
"""

from __future__ import annotations

import os

from .aim import HERE, Aim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# libcurl reads both spellings; gRPC, by which TensorFlow's replicas speak to each other, only the small one.
PROXY, SMALL_PROXY, BUNDLE = "HTTPS_PROXY", "https_proxy", "CURL_CA_BUNDLE"
WAS = "TRAINYARD_REDIRECT_WAS"  # the bundle that was set before, for children
_PROBE = b"CONNECT www.googleapis.com:443 HTTP/1.1\r\n\r\n"
_SECONDS = 10.0


def patch_tensorflow(module: Any) -> None:  # noqa: ARG001 - the signature of every patch
    """Aim libcurl at the service. Where that has no tunnel (over TLS, or elsewhere), gs:// fails and goes nowhere."""
    import ctypes  # noqa: PLC0415 - not before TensorFlow is imported

    aim = Aim()
    if not aim.endpoint or aim.way("storage.googleapis.com") != HERE:
        return
    bundle = os.environ.get("TRAINYARD_REDIRECT_BUNDLE", "")
    if not os.path.exists(bundle):  # noqa: PTH110 - Python 3.7's pathlib costs more than this
        _ask_for_bundle(aim)
    values = {PROXY: aim.endpoint, BUNDLE: bundle, WAS: os.environ.get(BUNDLE, "")}
    if aim.token or not os.environ.get("GCE_METADATA_HOST"):  # a job's replicas have credentials of their own there
        values["GOOGLE_AUTH_TOKEN_FOR_TESTING"] = aim.token or "anyone"
    if os.environ.get(SMALL_PROXY):  # it would win over the other
        values[SMALL_PROXY] = aim.endpoint
    setenv = ctypes.CDLL(None).setenv
    for name, value in values.items():
        setenv(name.encode(), value.encode(), 1)
    aim.announce("www.googleapis.com")


def _ask_for_bundle(aim: Aim) -> None:
    """The service makes it for the first tunnel that is asked for; where it does not answer now, it may later."""
    import socket  # noqa: PLC0415 - as above

    try:
        with socket.create_connection(aim.address, _SECONDS) as probe:
            probe.sendall(_PROBE)
            probe.recv(1024)
    except OSError:
        return


def forget_proxy() -> None:
    """A child has inherited what was set for TensorFlow in its parent; its own TensorFlow will set it again."""
    before = os.environ.get(WAS, "")
    endpoint = Aim().endpoint
    ours = [name for name in (PROXY, SMALL_PROXY) if os.environ.get(name) == endpoint]
    for name in (*ours, BUNDLE, WAS, "GOOGLE_AUTH_TOKEN_FOR_TESTING"):
        os.environ.pop(name, None)
    if before:
        os.environ[BUNDLE] = before
