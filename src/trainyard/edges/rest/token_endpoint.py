"""POST /token: a service account's signed JWT for an access token, as at Google's own endpoint (RFC 6749, RFC 7523).

Key files that we issue name it as their `token_uri`; clients that do not sign requests themselves go there, such as
google-cloud-storage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs

import orjson

from trainyard.core.errors import ApiError
from trainyard.edges.rest.browsers import Names, refuse_foreign_page
from trainyard.edges.rest.exchange import Disconnected, Exchange, Receive, Refusal, Send
from trainyard.service.access_grants import Grants, InvalidGrant

PATHS: Final = (b"/token", b"/oauth2/v4/token", b"/o/oauth2/token")
"""Ours, and those of Google's own endpoints, for who is sent here in their place."""
JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def claims(scope: Mapping[str, Any]) -> bool:
    """Whether a request is for the token endpoint."""
    return scope["raw_path"] in PATHS


class TokenEndpoint:
    """ASGI, http only."""

    def __init__(self, grants: Grants, names: Names) -> None:
        """Give out what `grants` has; `names` are the service's own, for browsers.py."""
        self._grants = grants
        self._names = names

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send)
        try:
            refuse_foreign_page(exchange.headers, (scope.get("server") or ("", None))[1], self._names)
            if exchange.method != "POST":
                raise InvalidGrant("invalid_request", "A token is asked for by POST.")
            granted = self._grants.account_token(_assertion(await exchange.body()))
            status, answer = 200, {"access_token": granted.token, "expires_in": granted.seconds, "token_type": "Bearer"}
        except Disconnected:
            return
        except InvalidGrant as error:
            status, answer = 400, {"error": error.error, "error_description": str(error)}
        except (ApiError, Refusal) as error:
            status, answer = 400, {"error": "invalid_request", "error_description": error.message}
        await exchange.answer(status, orjson.dumps(answer), b"application/json", (b"cache-control", b"no-store"))


def _assertion(body: bytes) -> str:
    try:
        form = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=16)
    except ValueError:
        raise InvalidGrant("invalid_request", "The body is not a form (application/x-www-form-urlencoded).") from None
    kind = form.get("grant_type", [""])[-1]
    if kind != JWT_BEARER:
        raise InvalidGrant("unsupported_grant_type", f"Invalid grant_type: {kind[:100]}; it is {JWT_BEARER}.")
    assertion = form.get("assertion", [""])[-1]
    if not assertion:
        raise InvalidGrant("invalid_request", "Missing parameter: assertion.")
    return assertion
