"""The metadata server of Google's machines, as far as their clients use it to find default credentials.

Every run has an address of its own, with its ticket in the path (GCE_METADATA_HOST in its replicas' environment):
who knows it gets tokens of the run, as long as the run lasts. In clear text, because clients of a metadata server speak
nothing else, and therefore to this machine only. Paths and headers:
https://cloud.google.com/compute/docs/metadata/querying-metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

import orjson

from trainyard.core.errors import ApiError
from trainyard.edges.rest.browsers import Names, refuse_foreign_page
from trainyard.edges.rest.exchange import Exchange, Receive, Send
from trainyard.service.access_grants import Grants, Holder

PREFIX: Final = "/trainyard/v1/runs/"
_RAW_PREFIX: Final = PREFIX.encode()
SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/userinfo.email")
UNIVERSE: Final = "googleapis.com"
_ROOT: Final = "computeMetadata/v1/"
_ACCOUNT: Final = "instance/service-accounts/default"
_FLAVOR: Final = (b"metadata-flavor", b"Google")
_DOMAIN: Final = "trainyard.internal"
"""Not Google's own: of accounts under gserviceaccount.com google-auth asks the real iamcredentials.googleapis.com."""
_TEXT: Final = b"application/text"
_JSON: Final = b"application/json"


def claims(scope: Mapping[str, Any]) -> bool:
    """Whether a request is for the metadata server."""
    return bool(scope["raw_path"].startswith(_RAW_PREFIX))


def is_near(scope: Mapping[str, Any]) -> bool:
    """Whether a request comes from this machine."""
    client, server = scope.get("client"), scope.get("server")
    host = client[0] if client else ""
    return host in ("127.0.0.1", "::1") or host.startswith("127.") or bool(server and host and host == server[0])


def variables(netloc: str, ticket: str) -> dict[str, str]:
    """What points Google's clients at a run's own address; `netloc`: the service's host and port, for replicas."""
    address = f"{netloc}{PREFIX}{ticket}"
    return {"GCE_METADATA_HOST": address, "GCE_METADATA_ROOT": address, "GCE_METADATA_IP": address}


class MetadataApp:
    """ASGI, http only. Nothing of a request is logged: its path is a secret."""

    def __init__(self, grants: Grants, names: Names) -> None:
        """Give out what `grants` has; `names` are the service's own, for browsers.py."""
        self._grants = grants
        self._names = names

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send)
        status, body, kind = self._answer(exchange)
        await exchange.answer(status, body, kind, _FLAVOR, (b"cache-control", b"no-store"))

    def _answer(self, exchange: Exchange) -> tuple[int, bytes, bytes]:
        headers = exchange.headers
        try:
            refuse_foreign_page(headers, (exchange.scope.get("server") or ("", None))[1], self._names)
        except ApiError as error:
            return 403, error.message.encode(), _TEXT
        if not is_near(exchange.scope) or "x-forwarded-for" in headers:
            return 403, b"Only replicas on the service's own machine are served.\n", _TEXT
        if headers.get("metadata-flavor") != "Google":
            return 403, b"Missing required header: Metadata-Flavor: Google\n", _TEXT
        if exchange.method not in ("GET", "HEAD"):
            return 405, b"The metadata server is only read.\n", _TEXT
        ticket, _, path = unquote(exchange.path.removeprefix(PREFIX)).partition("/")
        holder = self._grants.holder_of(ticket)
        if holder is None:
            return 404, b"The run that this address was made for has ended, or there never was one.\n", _TEXT
        return self._found(
            holder, ticket, path.removeprefix(_ROOT), recursive=b"recursive" in exchange.scope["query_string"]
        )

    def _found(self, holder: Holder, ticket: str, path: str, *, recursive: bool) -> tuple[int, bytes, bytes]:
        job = holder.job
        email = holder.account or f"job-{job.id}@{job.scope.project}.{_DOMAIN}"
        account = path.replace(f"service-accounts/{email}", "service-accounts/default").rstrip("/")
        if account == _ACCOUNT and recursive:
            whole = {"aliases": ["default"], "email": email, "scopes": SCOPES}
            return 200, orjson.dumps(whole), _JSON
        if account == f"{_ACCOUNT}/token":
            granted = self._grants.run_token(ticket)
            assert granted is not None, "the run lasts: it was looked at a moment ago"
            token = {"access_token": granted.token, "expires_in": granted.seconds, "token_type": "Bearer"}
            return 200, orjson.dumps(token), _JSON
        texts = {
            "": _ROOT,
            "computeMetadata": "v1/\n",
            "project/project-id": job.scope.project,
            "project/numeric-project-id": job.scope.project,
            "universe/universe-domain": UNIVERSE,
            "universe/universe_domain": UNIVERSE,
            "instance/service-accounts": f"default/\n{email}/\n",
            _ACCOUNT: "aliases\nemail\nscopes\ntoken\n",
            f"{_ACCOUNT}/email": email,
            f"{_ACCOUNT}/scopes": "".join(f"{scope}\n" for scope in SCOPES),
        }
        if account not in texts:
            return 404, b"The metadata server of Trainyard does not have this.\n", _TEXT
        return 200, texts[account].encode(), _TEXT
