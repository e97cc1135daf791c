"""google-auth: no credential of the user's is looked for, refreshed or sent when a request goes to the service."""

from __future__ import annotations

import os
from functools import wraps
from importlib import import_module

from .aim import Aim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_NO_SECRET = "trainyard"  # noqa: S105 - clients insist on a token; a service without --auth does not look at it


def patch_default(module: Any) -> None:
    """google.auth.default: ours unless the program may also call real services and has credentials for them."""
    default = module.default
    if getattr(default, "is_trainyards", False):
        return

    @wraps(default)
    def found(*positional: Any, **options: Any) -> Any:
        aim = Aim()
        if not aim.endpoint or aim.has_key:
            return default(*positional, **options)
        if aim.allowed:
            try:
                return default(*positional, **options)
            except import_module("google.auth.exceptions").DefaultCredentialsError:
                return _ours(aim), _project()
        return _ours(aim), _project()

    found.is_trainyards = True  # type: ignore[attr-defined]  # the function is found under two names
    module.default = found


def patch_default_async(module: Any) -> None:
    """google.auth's asynchronous default."""
    default = module.default_async

    @wraps(default)
    def found(*positional: Any, **options: Any) -> Any:
        aim = Aim()
        if not aim.endpoint or aim.allowed or aim.has_key:
            return default(*positional, **options)
        credentials = import_module("google.oauth2._credentials_async")
        return credentials.Credentials(aim.token or _NO_SECRET), _project()

    module.default_async = found


def _ours(aim: Aim) -> Any:
    base: Any = import_module("google.oauth2.credentials").Credentials

    class Local(base):  # type: ignore[misc]  # known only where google-auth is installed
        """A token that is always valid; some programs refresh it all the same."""

        def refresh(self, request: Any) -> None:
            del request

    return Local(aim.token or _NO_SECRET)


def bearer_of(aim: Aim) -> Callable[[], str] | None:
    """What makes the value of an Authorization header for each call to the service; None where none is needed."""
    if aim.token:
        return lambda: f"Bearer {aim.token}"
    if not aim.has_key:
        return None
    scopes = ["https://www.googleapis.com/auth/cloud-platform"]
    found, _ = import_module("google.auth").default(scopes=scopes)
    if hasattr(found, "with_always_use_jwt_access"):
        found = found.with_always_use_jwt_access(True)  # as the generated clients do: signed here, no call for a token
    fetch = import_module("google.auth.transport.requests").Request()

    def bearer() -> str:
        headers: dict[str, str] = {}
        found.before_request(fetch, "POST", aim.endpoint, headers)
        return headers["authorization"]

    return bearer


def _project() -> str | None:
    return os.environ.get("GOOGLE_CLOUD_PROJECT") or os.environ.get("GCLOUD_PROJECT")


def patch_before_request(module: Any) -> None:
    """Every class that adds a credential to a request: for the service it is our token, with no refresh before it."""
    for each in _classes(module):
        _patch_class(each)


def _patch_class(each: Any) -> None:
    before_request = each.before_request

    @wraps(before_request)
    def local(self: Any, request: Any, method: str, url: str, headers: Any) -> None:
        aim = Aim()
        if aim.is_ours(url):
            aim.identify(headers)
        else:
            before_request(self, request, method, url, headers)

    each.before_request = local


def patch_before_request_async(module: Any) -> None:
    """As patch_before_request, where it is a coroutine."""
    for each in _classes(module):
        _patch_class_async(each)


def _patch_class_async(each: Any) -> None:
    before_request = each.before_request

    @wraps(before_request)
    async def local(self: Any, request: Any, method: str, url: str, headers: Any) -> None:
        aim = Aim()
        if aim.is_ours(url):
            aim.identify(headers)
        else:
            await before_request(self, request, method, url, headers)

    each.before_request = local


def _classes(module: Any) -> list[Any]:
    """Classes of this module that have a `before_request` of their own."""
    own = [each for each in vars(module).values() if isinstance(each, type) and each.__module__ == module.__name__]
    return [each for each in own if "before_request" in vars(each)]
