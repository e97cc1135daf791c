"""gRPC: a channel to a Google host becomes one to the service, without the TLS and the credentials meant for Google."""

from __future__ import annotations

from functools import wraps

from .aim import NOWHERE, ON, Aim, RealCloudRefused
from .credentials import bearer_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _aim_of(target: Any) -> Aim | None:
    """The aim when a channel to `target` goes to the service, None when it goes on. Raises RealCloudRefused."""
    aim = Aim()
    if not aim.endpoint:
        return None
    host = host_of(target)
    way = aim.way(host)
    if way == NOWHERE:
        raise RealCloudRefused(host)
    if way == ON:
        return None
    aim.announce(host)
    return aim


def host_of(target: Any) -> str:
    """The host in `host`, `host:443`, `dns:///host:443` or `google-c2p:///host` (https://grpc.github.io/grpc/core/md_doc_naming.html)."""
    text = target.decode("utf-8", "replace") if isinstance(target, bytes) else str(target)
    text = text.rpartition("/")[2]
    scheme, colon, rest = text.partition(":")
    if colon and scheme in ("dns", "xds"):
        text = rest
    return text.rpartition(":")[0] if text.count(":") == 1 else text


def patch_grpc(module: Any) -> None:
    """grpc.secure_channel and grpc.insecure_channel."""
    secure, insecure = module.secure_channel, module.insecure_channel

    def ours(aim: Aim, options: Any, compression: Any) -> Any:
        if aim.secure:
            channel = secure(aim.netloc, module.ssl_channel_credentials(), options, compression)
        else:
            channel = insecure(aim.netloc, options, compression)
        bearer = bearer_of(aim)
        return module.intercept_channel(channel, _bearer(module, bearer)) if bearer else channel

    @wraps(secure)
    def redirected_secure(target: Any, credentials: Any, options: Any = None, compression: Any = None) -> Any:
        aim = _aim_of(target)
        return secure(target, credentials, options, compression) if aim is None else ours(aim, options, compression)

    @wraps(insecure)
    def redirected_insecure(target: Any, options: Any = None, compression: Any = None) -> Any:
        aim = _aim_of(target)
        return insecure(target, options, compression) if aim is None else ours(aim, options, compression)

    module.secure_channel, module.insecure_channel = redirected_secure, redirected_insecure


def patch_grpc_aio(module: Any) -> None:
    """grpc.aio.secure_channel and grpc.aio.insecure_channel."""
    import grpc  # noqa: PLC0415 - whoever has grpc.aio has it

    secure, insecure = module.secure_channel, module.insecure_channel

    def ours(aim: Aim, options: Any, compression: Any, interceptors: Any) -> Any:
        bearer = bearer_of(aim)
        if bearer:
            interceptors = [*(interceptors or ()), *_bearers_aio(module, bearer)]
        if aim.secure:
            return secure(aim.netloc, grpc.ssl_channel_credentials(), options, compression, interceptors)
        return insecure(aim.netloc, options, compression, interceptors)

    @wraps(secure)
    def redirected_secure(
        target: Any, credentials: Any, options: Any = None, compression: Any = None, interceptors: Any = None
    ) -> Any:
        aim = _aim_of(target)
        if aim is None:
            return secure(target, credentials, options, compression, interceptors)
        return ours(aim, options, compression, interceptors)

    @wraps(insecure)
    def redirected_insecure(target: Any, options: Any = None, compression: Any = None, interceptors: Any = None) -> Any:
        aim = _aim_of(target)
        if aim is None:
            return insecure(target, options, compression, interceptors)
        return ours(aim, options, compression, interceptors)

    module.secure_channel, module.insecure_channel = redirected_secure, redirected_insecure


def _pairs(details: Any, bearer: Callable[[], str]) -> list[tuple[str, str]]:
    """The call's metadata with our credential in place of any other."""
    kept = [(key, value) for key, value in details.metadata or () if key.lower() != "authorization"]
    return [*kept, ("authorization", bearer())]


class _Details:
    """Another call's details but for the metadata: the library promises attributes, not a constructor."""

    def __init__(self, details: Any, metadata: list[tuple[str, str]]) -> None:
        self._details = details
        self.metadata = metadata

    def __getattr__(self, name: str) -> Any:
        return getattr(self._details, name)


def _bearer(module: Any, bearer: Callable[[], str]) -> Any:
    """An interceptor of all four kinds of calls that presents the credential."""

    class Bearer(
        module.UnaryUnaryClientInterceptor,  # type: ignore[misc]  # bases that are known only when grpc is there
        module.UnaryStreamClientInterceptor,  # type: ignore[misc]  # as above
        module.StreamUnaryClientInterceptor,  # type: ignore[misc]  # as above
        module.StreamStreamClientInterceptor,  # type: ignore[misc]  # as above
    ):
        def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            return continuation(_Details(details, _pairs(details, bearer)), request)

        intercept_unary_stream = intercept_stream_unary = intercept_stream_stream = intercept_unary_unary

    return Bearer()


def _bearers_aio(module: Any, bearer: Callable[[], str]) -> list[Any]:
    """One interceptor for each kind: grpc.aio sorts them by class and takes the first that fits."""

    async def intercept(_self: Any, continuation: Any, details: Any, request: Any) -> Any:
        return await continuation(details._replace(metadata=module.Metadata(*_pairs(details, bearer))), request)

    return [
        type("Bearer", (base,), {f"intercept_{kind}": intercept})()
        for kind, base in (
            ("unary_unary", module.UnaryUnaryClientInterceptor),
            ("unary_stream", module.UnaryStreamClientInterceptor),
            ("stream_unary", module.StreamUnaryClientInterceptor),
            ("stream_stream", module.StreamStreamClientInterceptor),
        )
    ]
