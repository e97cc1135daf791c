"""Where a host's traffic goes: to the service, on its way, or nowhere. Pure but for the environment it reads.

The environment is read at every decision, so that a child, a notebook's kernel and a test each have their own aim:

TRAINYARD_REDIRECT        address of the service; without it everything goes on its way
TRAINYARD_REDIRECT_ALLOW  hosts, separated by commas, that may be called as they are; `*.example.com` for all below
TRAINYARD_REDIRECT_QUIET  anything: don't say what is redirected
TRAINYARD_TOKEN           token to present to the service
TRAINYARD_REDIRECT_ONLY   modules, separated by commas, that are patched; without it all that we know (imports.py)
TRAINYARD_REDIRECT_BUNDLE whom TensorFlow is to trust (cxx.py)
TRAINYARD_REDIRECT_KEY    anything: the default credentials are a key that the service issued, so let them be used
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from urllib.parse import urlsplit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

GOOGLE = ".googleapis.com"
# Cloud Storage serves files of public buckets on the same host; only its JSON API and signed URLs are ours.
_STORAGE_PATHS = (
    "/storage/v1/",
    "/upload/storage/v1/",
    "/resumable/upload/storage/v1/",
    "/download/storage/v1/",
    "/batch/storage/v1",
)
HERE, ON, NOWHERE = "here", "on", "nowhere"


class RealCloudRefused(PermissionError):
    """The program would have called a Google service that Trainyard is not; nothing was sent.

    A PermissionError, because libraries report one and retry a broken connection.
    """

    def __init__(self, host: str, why: str = "") -> None:
        """Say which host, and how to allow it."""
        super().__init__(
            f"{host} was not called, {why or 'because Trainyard does not stand in for it'}; nothing reaches the real "
            f"cloud by accident. If this program is to call it: trainyard exec --allow-host {host} -- …"
        )
        self.host = host


class Aim:
    """What the environment says, read once per decision."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self.endpoint = environment.get("TRAINYARD_REDIRECT", "").rstrip("/")
        self.allowed = tuple(filter(None, environment.get("TRAINYARD_REDIRECT_ALLOW", "").lower().split(",")))
        self.quiet = bool(environment.get("TRAINYARD_REDIRECT_QUIET"))
        self.token = environment.get("TRAINYARD_TOKEN", "")
        self.has_key = bool(environment.get("TRAINYARD_REDIRECT_KEY"))

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the service."""
        parts = urlsplit(self.endpoint)
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def secure(self) -> bool:
        """Whether the service speaks TLS."""
        return self.endpoint.startswith("https:")

    @property
    def netloc(self) -> str:
        """`host:port` of the service, as a Host header or a gRPC target has it."""
        host, port = self.address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def way(self, host: str, path: str | None = None, query: str = "") -> str:
        """HERE, ON or NOWHERE for a host; `path` is None where it can't be known (a channel)."""
        name = host.lower().rstrip(".")
        if not self.endpoint or not (name.endswith(GOOGLE) or name == GOOGLE[1:]) or self._allows(name):
            return ON
        return HERE if stands_in(name, path, query) else NOWHERE

    def _allows(self, name: str) -> bool:
        return any(name == each or (each.startswith("*.") and name.endswith(each[1:])) for each in self.allowed)

    def url(self, url: str) -> str | None:
        """Where a request for this address goes instead; None where it stays. Raises RealCloudRefused."""
        if not self.endpoint:
            return None
        parts = urlsplit(url)
        host = parts.hostname or ""
        way = self.way(host, parts.path or "/", parts.query)
        if way == NOWHERE:
            raise RealCloudRefused(host, _public_file(host))
        if way == ON:
            return None
        self.announce(host)
        query = f"?{parts.query}" if parts.query else ""
        return f"{self.endpoint}{parts.path or '/'}{query}"

    def is_ours(self, url: str) -> bool:
        """Whether a request for this address gets our credentials instead of its own. Raises RealCloudRefused.

        A program that names the service itself keeps the credentials that it names too, unless we were given better.
        """
        direct = bool(self.endpoint and self.token) and url.startswith(self.endpoint + "/")
        return direct or (self.url(url) is not None and not self.has_key)

    def announce(self, host: str) -> None:
        """Say once for every host that it is redirected."""
        if not self.quiet:
            _say_once(host, self.endpoint)

    def identify(self, headers: MutableMapping[str, str]) -> None:
        """Put our token in place of whatever credential a redirected request carries: none of the user's leaves."""
        if self.has_key:
            return
        for name in [each for each in headers if each.lower() in ("authorization", "x-goog-api-key")]:
            del headers[name]
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"


def stands_in(name: str, path: str | None, query: str = "") -> bool:
    """Whether the service answers for a Google host: Vertex AI, Cloud Logging, Cloud Storage's JSON API, signed URLs.

    Hosts have five forms: S, REGION-S, S.REGION.rep and each with .mtls (https://cloud.google.com/vertex-ai/docs/reference/rest,
    https://cloud.google.com/storage/docs/regional-endpoints, https://google.aip.dev/auth/4114).
    """
    stem = name[: -len(GOOGLE)]
    if stem.endswith(".mtls"):
        stem = stem[: -len(".mtls")]
    if stem.endswith(".rep"):
        stem = stem.partition(".")[0]
    if stem in ("aiplatform", "logging") or (stem.endswith("-aiplatform") and "." not in stem):
        return True
    if stem == "storage":
        return path is None or path.startswith(_STORAGE_PATHS) or "Signature=" in query
    return stem == "www" and path is not None and path.startswith(_STORAGE_PATHS)


def _public_file(host: str) -> str:
    return "because this is no call of its JSON API" if host.lower().startswith("storage.") else ""


@lru_cache(maxsize=None)  # noqa: UP033 - functools.cache is not in Python 3.8
def _say_once(host: str, endpoint: str) -> None:
    try:
        print(f"trainyard: {host} is {endpoint} here", file=sys.stderr, flush=True)
    except (OSError, ValueError, AttributeError):
        return  # a program may have closed or taken away its stderr, and must not die of our courtesy
