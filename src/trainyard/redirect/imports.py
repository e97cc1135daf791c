"""A library is patched right after its own code has run and before anyone gets hold of it."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

# Which of our functions knows a library: `module:function`, called with the library's module.
PATCHES = {
    "socket": "sockets:patch_socket",
    "http.client": "sockets:patch_http_client",
    "urllib.request": "web:patch_urllib",
    "requests.sessions": "web:patch_requests",
    "urllib3.poolmanager": "web:patch_urllib3",
    "httplib2": "web:patch_httplib2",
    "httpx": "web:patch_httpx",
    "aiohttp.client": "web:patch_aiohttp",
    "grpc": "channels:patch_grpc",
    "grpc.aio": "channels:patch_grpc_aio",
    "google.auth": "credentials:patch_default",
    "google.auth._default": "credentials:patch_default",
    "google.auth._default_async": "credentials:patch_default_async",
    "google.auth.credentials": "credentials:patch_before_request",
    "google.auth.api_key": "credentials:patch_before_request",
    "google.auth.jwt": "credentials:patch_before_request",
    "google.oauth2.credentials": "credentials:patch_before_request",
    "google.auth._credentials_async": "credentials:patch_before_request_async",
    "google.auth._jwt_async": "credentials:patch_before_request_async",
    "google.oauth2._credentials_async": "credentials:patch_before_request_async",
    "google.auth.aio.credentials": "credentials:patch_before_request_async",
    "google.auth.compute_engine.credentials": "boundaries:patch_lookup",
    "tensorflow": "cxx:patch_tensorflow",
    "google.cloud.aiplatform.utils.resource_manager_utils": "sdk:patch_project_names",
}


class Hook:
    """A finder that finds nothing itself: it asks the others and adds a patch to what they found (PEP 451)."""

    def __init__(self) -> None:
        only = os.environ.get("TRAINYARD_REDIRECT_ONLY")
        self.names = set(only.split(",") if only else PATCHES)
        self._asking: set[str] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The others' spec with the patch in its loader, for the names that we patch; None for all the rest."""
        if name not in self.names or name in self._asking:
            return None
        # Somebody else's hook may ask all finders, us included, while we ask it.
        self._asking.add(name)
        try:
            spec = _first(self, name, path, target)
        finally:
            self._asking.discard(name)
        if spec is not None and spec.loader is not None:
            _patch_after(spec.loader, name)
        return spec


def _first(hook: Hook, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        if finder is hook or find is None:
            continue
        spec: ModuleSpec | None = find(name, path, target)
        if spec is not None:
            return spec
    return None


def _patch_after(loader: object, name: str) -> None:
    """Make the loader run the patch once it has run the module; an archive's loader runs others too."""
    execute = loader.exec_module  # type: ignore[attr-defined]  # every loader of this century has it

    def exec_module(module: ModuleType) -> None:
        execute(module)
        if module.__name__ == name:
            patch(module, name)

    loader.exec_module = exec_module  # type: ignore[attr-defined]  # as above


def patch(module: ModuleType, name: str) -> None:
    """Apply the patch of PATCHES[name]; raises ImportError where the library is not as we know it.

    A program that we can't redirect must not run on against the real cloud.
    """
    from importlib import import_module  # noqa: PLC0415 - not before somebody imports a library that we know

    file, _, function = PATCHES[name].partition(":")
    apply = getattr(import_module("." + file, __package__), function)
    try:
        apply(module)
    except AttributeError as error:
        version = getattr(sys.modules.get(name.partition(".")[0]), "__version__", "")
        raise ImportError(
            f"trainyard exec can't redirect {name} {version}: {error}. "
            "Please report it; nothing was sent to the real cloud.",
            name=name,
        ) from error
