"""Whom commands trust over TLS: what the machine trusts, and a service that made its own certificate."""

from __future__ import annotations

import contextlib
import os
import ssl

from trainyard.cli import background


def context() -> ssl.SSLContext:
    """SSL_CERT_FILE counts, as everywhere (OpenSSL); without any, <data-dir>/tls/ca.pem is added where it is."""
    made = ssl.create_default_context()
    with contextlib.suppress(OSError):  # no such file, none of ours, or not ours to read: then the machine decides
        made.load_verify_locations(background.data_dir(os.environ) / "tls" / "ca.pem")
    return made
