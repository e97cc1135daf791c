"""gRPC over the operation book: every method that REST has, under the service names of v1 and v1beta1.

Importing this module loads grpcio (about 90 ms and 25 MB); the composition root does so at the first HTTP/2 connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import grpc
import grpc.aio

from trainyard.contract.operations import Operation, operations, versioned
from trainyard.contract.pool import message_class
from trainyard.core.errors import ApiError
from trainyard.edges.faults import status_bytes, unforeseen

MOST_MESSAGE_BYTES: Final = 8 * 1024 * 1024
UNVERSIONED: Final = "v1"
"""Mixins such as google.longrunning.Operations have no version in their path; what they answer is the same in all."""

log = logging.getLogger("trainyard.rpc")

Call = Callable[[Operation, str, Any, Mapping[str, str]], Awaitable[Any]]
"""What a call means: operation, version, request and the metadata, which says who calls. Raises ApiError."""


class RpcServer:
    """A grpc.aio server for the whole book. Its addresses are added before it starts."""

    def __init__(self, call: Call) -> None:
        """Made on the event loop that is to serve it."""
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", MOST_MESSAGE_BYTES),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),  # two servers on one port must be an error, not a lottery
            ],
        )
        self._server.add_generic_rpc_handlers((_Handlers(call),))

    def add_address(self, address: str) -> int:
        """Listen on `host:port` or `unix-abstract:name` too; gives the port. Raises OSError where it is taken."""
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(str(error)) from None
        return int(port)

    async def start(self) -> None:
        """Serve from now on."""
        await self._server.start()

    async def stop(self, grace_seconds: float) -> None:
        """Take no further call and give those under way the grace to end."""
        await self._server.stop(grace_seconds)


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio has no types
    """One unary handler per method and version, by its full path."""

    def __init__(self, call: Call) -> None:
        self._handlers = {
            versioned(operation.grpc_path, version): _handler(call, operation, version)
            for operation in operations()
            for version in _versions(operation)
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """The handler; None makes grpcio answer UNIMPLEMENTED."""
        return self._handlers.get(handler_call_details.method)


def _versions(operation: Operation) -> tuple[str, ...]:
    if "{v}" not in operation.grpc_path:
        return (UNVERSIONED,)
    return tuple(version for version in operation.versions if version != "ui")


def _handler(call: Call, operation: Operation, version: str) -> grpc.RpcMethodHandler:
    async def behaviour(request: Any, context: grpc.aio.ServicerContext) -> Any:
        metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        try:
            return await call(operation, version, request, metadata)
        except ApiError as error:
            failure = error
        except asyncio.CancelledError:
            raise
        except Exception:
            failure = unforeseen(f"{operation.method} ({version})", log)
        details = (("grpc-status-details-bin", status_bytes(failure)),)
        return await context.abort(_CODES[int(failure.code)], failure.message, details)

    return grpc.unary_unary_rpc_method_handler(
        behaviour,
        request_deserializer=message_class(versioned(operation.request, version)).FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )


_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
