"""The composition root's part for gRPC: calls and streams of the service, with the caller that their metadata names."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from trainyard.contract.operations import Operation
from trainyard.service.access import Caller
from trainyard.service.dispatch import Service


def call_of(service: Service) -> Callable[[Operation, str, Any, Mapping[str, str]], Awaitable[Any]]:
    """What answers one call."""

    async def call(operation: Operation, version: str, request: Any, metadata: Mapping[str, str]) -> Any:
        return await service.call(operation, version, request, _caller(service, metadata))

    return call


def _caller(service: Service, metadata: Mapping[str, str]) -> Caller:
    """Who calls by gRPC; raises as Access.identify does."""
    known = service.access.identify(metadata.get("authorization", ""), metadata.get("x-goog-api-key", ""))
    return replace(known, address=metadata.get(":client", ""))


def stream_of(
    service: Service,
) -> Callable[[Operation, AsyncIterator[Any], Mapping[str, str]], AsyncGenerator[Any, None]]:
    """What answers one stream."""

    async def stream(
        operation: Operation, requests: AsyncIterator[Any], metadata: Mapping[str, str]
    ) -> AsyncGenerator[Any, None]:
        async with contextlib.aclosing(service.stream(operation, requests, _caller(service, metadata))) as answers:
            async for answer in answers:
                yield answer

    return stream
