"""gRPC over the operation book: every method that REST has, under the service names of v1 and v1beta1.

Importing this module loads grpcio (about 90 ms and 25 MB); the composition root does so at the first HTTP/2 connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, Final
from urllib.parse import unquote

import grpc
import grpc.aio

from trainyard.contract.operations import Operation, operations, versioned
from trainyard.contract.pool import message_class
from trainyard.core.errors import ApiError
from trainyard.edges.faults import status_bytes, unforeseen
from trainyard.service.not_served import refused_method

MOST_MESSAGE_BYTES: Final = 8 * 1024 * 1024
UNVERSIONED: Final = "v1"
"""Mixins such as google.longrunning.Operations have no version in their path; what they answer is the same in all."""

log = logging.getLogger("trainyard.rpc")

CLIENT: Final = ":client"
"""Where the metadata handed on says who calls; no client can send a key with a colon (gRPC over HTTP/2)."""

Call = Callable[[Operation, str, Any, Mapping[str, str]], Awaitable[Any]]
"""What a call means: operation, version, request and the metadata, which says who calls. Raises ApiError."""
Stream = Callable[[Operation, AsyncIterator[Any], Mapping[str, str]], AsyncGenerator[Any, None]]
"""What a call means whose messages go both ways as long as it lasts. Raises ApiError."""


class RpcServer:
    """A grpc.aio server for the whole book. Its addresses are added before it starts."""

    def __init__(self, call: Call, stream: Stream) -> None:
        """Made on the event loop that is to serve it."""
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", MOST_MESSAGE_BYTES),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),  # two servers on one port must be an error, not a lottery
            ],
        )
        self._server.add_generic_rpc_handlers((_Handlers(call, stream),))

    def add_address(self, address: str, certificate: Callable[[], tuple[bytes, bytes]] | None = None) -> int:
        """Listen on `host:port` or `unix-abstract:name` too; gives the port. Raises OSError where it is taken.

        `certificate` gives key and chain (PEM) as they are now, and makes the address speak TLS.
        """
        try:
            if certificate is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, _tls(certificate))
        except RuntimeError as error:
            raise OSError(str(error)) from None
        return int(port)

    async def start(self) -> None:
        """Serve from now on."""
        await self._server.start()

    async def stop(self, grace_seconds: float) -> None:
        """Take no further call and give those under way the grace to end."""
        await self._server.stop(grace_seconds)


def _tls(certificate: Callable[[], tuple[bytes, bytes]]) -> grpc.ServerCredentials:
    def configuration() -> Any:
        return grpc.ssl_server_certificate_configuration([certificate()])

    return grpc.dynamic_ssl_server_credentials(configuration(), configuration)


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio has no types
    """One handler per method and version, by its full path."""

    def __init__(self, call: Call, stream: Stream) -> None:
        self._handlers = {
            versioned(operation.grpc_path, version): _stream_handler(stream, operation)
            if operation.stream
            else _handler(call, operation, version)
            for operation in operations()
            for version in _versions(operation)
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """The handler; None makes grpcio answer UNIMPLEMENTED, without a word about why."""
        method = handler_call_details.method
        return self._handlers.get(method) or _refusal_handler(method)


def _versions(operation: Operation) -> tuple[str, ...]:
    if "{v}" not in operation.grpc_path:
        return (UNVERSIONED,)
    return tuple(version for version in operation.versions if version != "ui")


def _handler(call: Call, operation: Operation, version: str) -> grpc.RpcMethodHandler:
    async def behaviour(request: Any, context: grpc.aio.ServicerContext) -> Any:
        try:
            return await call(operation, version, request, _metadata(context))
        except ApiError as error:
            failure = error
        except asyncio.CancelledError:
            raise
        except Exception:
            failure = unforeseen(f"{operation.method} ({version})", log)
        return await _abort(context, failure)

    return grpc.unary_unary_rpc_method_handler(behaviour, **_serializers(operation, version))


def _stream_handler(stream: Stream, operation: Operation) -> grpc.RpcMethodHandler:
    async def behaviour(requests: AsyncIterator[Any], context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        try:
            async with aclosing(stream(operation, requests, _metadata(context))) as answers:
                async for answer in answers:
                    yield answer
            return
        except ApiError as error:
            failure = error
        except asyncio.CancelledError:
            raise
        except Exception:
            failure = unforeseen(operation.method, log)
        await _abort(context, failure)

    return grpc.stream_stream_rpc_method_handler(behaviour, **_serializers(operation, UNVERSIONED))


def _refusal_handler(method: str) -> grpc.RpcMethodHandler | None:
    failure = refused_method(method)
    if failure is None:
        return None

    async def behaviour(requests: AsyncIterator[Any], context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:  # noqa: ARG001 - grpcio's signature
        await _abort(context, failure)
        yield  # never reached: it makes this an answer that is a stream, which does for every form of call

    return grpc.stream_stream_rpc_method_handler(behaviour)


def _serializers(operation: Operation, version: str) -> dict[str, Callable[[Any], Any]]:
    return {
        "request_deserializer": message_class(versioned(operation.request, version)).FromString,
        "response_serializer": lambda message: message.SerializeToString(),
    }


def _metadata(context: grpc.aio.ServicerContext) -> Mapping[str, str]:
    given = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    given[CLIENT] = address_of(context.peer())
    return given


def address_of(peer: str) -> str:
    """`127.0.0.1:43512` or `[::1]:43512` from gRPC's word for it; through the one port it is in the name (lazy.py)."""
    scheme, _, rest = peer.partition(":")
    if scheme in ("ipv4", "ipv6"):
        return unquote(rest)
    return rest.rpartition("/")[2]


async def _abort(context: grpc.aio.ServicerContext, failure: ApiError) -> Any:
    details = (("grpc-status-details-bin", status_bytes(failure)),)
    return await context.abort(_CODES[int(failure.code)], failure.message, details)


_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
