"""TensorFlow's gs:// is C++ with Google's names in it; all that it can be told is a proxy, and whom to trust.

Both are set in the process's own environment, behind Python's back: Python's libraries have their own ways (web.py),
and must not take the service for a proxy to the rest of the world.
"""

from __future__ import annotations

import os

from .aim import Aim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PROXY = "https_proxy"
_PROBE = b"CONNECT www.googleapis.com:443 HTTP/1.1\r\n\r\n"
_SECONDS = 10.0


def patch_tensorflow(module: Any) -> None:  # noqa: ARG001 - the signature of every patch
    """Aim libcurl at the service, where that makes its certificate on this machine; else it stays as it is, and fails.

    Nothing that it sends reaches Google: without the proxy it has no credentials and, under us, no metadata server.
    """
    import ctypes  # noqa: PLC0415 - not before TensorFlow is imported
    import socket  # noqa: PLC0415 - as above

    aim = Aim()
    bundle = os.environ.get("TRAINYARD_REDIRECT_BUNDLE", "")
    if not aim.endpoint or aim.secure or not bundle:
        return
    with socket.create_connection(aim.address, _SECONDS) as probe:  # at the first one the service makes the bundle
        probe.sendall(_PROBE)
        probe.recv(1024)
    if not os.path.exists(bundle):  # noqa: PTH110 - Python 3.7's pathlib costs more than this
        return
    setenv = ctypes.CDLL(None).setenv
    for name, value in (
        (PROXY, aim.endpoint),
        ("CURL_CA_BUNDLE", bundle),
        ("GOOGLE_AUTH_TOKEN_FOR_TESTING", aim.token or "anyone"),
    ):
        setenv(name.encode(), value.encode(), 1)
    aim.announce("www.googleapis.com")


def forget_proxy() -> None:
    """A child has inherited what was set for TensorFlow in its parent; its own TensorFlow will set it again."""
    for name in (PROXY, "CURL_CA_BUNDLE", "GOOGLE_AUTH_TOKEN_FOR_TESTING"):
        os.environ.pop(name, None)
