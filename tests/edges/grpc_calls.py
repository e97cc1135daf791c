"""gRPC calls with grpcio and the service's own descriptors: no client library between the test and the wire."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import grpc

from trainyard.contract.pool import message_class


class Grpc:
    """An insecure channel to the server's one port, for one API version."""

    def __init__(self, port: int, version: str = "v1") -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.enable_retries", 0)])
        self.package = f"google.cloud.aiplatform.{version}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.channel.close()

    def message(self, name: str, /, **fields: Any) -> Any:
        """A message of the API version, or of any package when the name holds a dot."""
        return message_class(name if "." in name else f"{self.package}.{name}")(**fields)

    def call(self, method: str, request: Any, answer: str, metadata: tuple[tuple[str, str], ...] = ()) -> Any:
        """One unary call; `method` as `JobService/CreateCustomJob`, or a full path beginning with a slash."""
        path = method if method.startswith("/") else f"/{self.package}.{method}"
        kind = type(self.message(answer))
        stub = self.channel.unary_unary(
            path, request_serializer=lambda each: each.SerializeToString(), response_deserializer=kind.FromString
        )
        return stub(request, timeout=20, metadata=metadata)
