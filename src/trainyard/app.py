"""The composition root: the one module that knows every name, and the order in which things come up and go down.

Up: address, store, executor, controller, edges; ready only when all of them are. Down: nobody new is let in, what was
begun is finished, state is let go of last. Jobs go on running meanwhile and afterwards (law 7).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Final

import uvloop

from trainyard import (
    __version__,
    app_access,
    app_keys,
    app_kinds,
    app_rpc,
    app_shells,
    app_sql,
    app_tracking,
    object_stores,
)
from trainyard.app_executor import open_executor
from trainyard.contract.transcoding import Router
from trainyard.control.loop import Controller
from trainyard.core.clock import rfc3339
from trainyard.core.errors import ApiError
from trainyard.core.ids import TimeOrderedIds
from trainyard.edges.clear_text import NoClearText
from trainyard.edges.dashboards.app import DashboardApp
from trainyard.edges.port import Port
from trainyard.edges.rest import metadata, token_endpoint
from trainyard.edges.rest.app import RestApp
from trainyard.edges.rest.browsers import refuse_foreign_page
from trainyard.edges.rest.follow import Streams
from trainyard.edges.rest.http1 import Connections, connection_factory
from trainyard.edges.rest.key_routes import KeyRoutes
from trainyard.edges.rest.own_routes import OwnRoutes
from trainyard.edges.rest.shells import ShellRoute
from trainyard.edges.rpc.lazy import LazyRpc
from trainyard.edges.secure import Certificate
from trainyard.edges.side_by_side import Mount, SideBySide
from trainyard.edges.storage.app import StorageApp, claims
from trainyard.edges.storage.places import Places
from trainyard.objects import ObjectStore
from trainyard.service.dispatch import Service
from trainyard.service.following import Follower
from trainyard.service.persistent import Grounds, PersistentResources
from trainyard.setting_checks import is_loopback
from trainyard.settings import Settings
from trainyard.store import Narrated, Store, StoreError
from trainyard.stores.log_files.book import FileLogBook

_COLLECT: Final = (20_000, 20, 20)
"""When to look for cycles: a page of jobs makes thousands of objects, which all go by themselves (gc.set_threshold)."""

log = logging.getLogger("trainyard.app")


class CannotServe(Exception):
    """The service cannot come up; the message says what is in the way and what to do."""


IN_THE_WAY: Final = (CannotServe, StoreError, ApiError, *app_access.IN_THE_WAY)
"""What keeps the service from coming up, each with a sentence of its own."""


class SystemClock:
    """The real clock."""

    def now_us(self) -> int:
        """Microseconds since the Unix epoch."""
        return time.time_ns() // 1000

    def steady_us(self) -> int:
        """Microseconds since the machine started."""
        return time.monotonic_ns() // 1000


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the service is reached."""

    host: str
    port: int
    grpc_port: int | None
    secure: bool = False
    sql_port: int | None = None

    def __str__(self) -> str:
        """`http://127.0.0.1:8470 (REST and gRPC), postgresql://127.0.0.1:5466 (SQL)`: what the ready line says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        own = f", gRPC also on {host}:{self.grpc_port}" if self.grpc_port else ""
        sql = f", postgresql://{host}:{self.sql_port} (SQL)" if self.sql_port else ""
        scheme = "https" if self.secure else "http"
        return f"{scheme}://{host}:{self.port} (REST and gRPC{own}){sql}"


@dataclass(frozen=True, slots=True)
class Inside:
    """The service without its edges."""

    store: Store
    logbook: FileLogBook
    controller: Controller
    control: asyncio.Task[None]
    service: Service
    doors: app_access.Doors
    certificate: Certificate | None
    objects: ObjectStore
    resources: PersistentResources
    sealed: app_keys.Sealed

    def problems(self) -> list[str]:
        """What does not work just now, one sentence each."""
        ended = (
            ["The controller has ended; jobs do not go on until the service is restarted."]
            if self.control.done()
            else []
        )
        told = (*self.store.problems(), *self.controller.problems(), *self.sealed.problems())
        return [*ended, *dict.fromkeys(told)]  # the same full disk is often both's problem


def run(settings: Settings, ready: Callable[[Addresses], None]) -> None:
    """Serve until SIGTERM or SIGINT. Raises one of IN_THE_WAY, or OSError, when it cannot come up."""
    log_to_stderr(settings.log_level)
    uvloop.run(_until_signalled(settings, ready))


async def _until_signalled(settings: Settings, ready: Callable[[Addresses], None]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(settings, stop, ready)


def log_to_stderr(level: str) -> None:
    """One short line per event: time, level, part, sentence. Nothing here ever sees an Authorization header."""
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.raiseExceptions = False  # a full disk under stderr must not end in more writing to it
    logging.basicConfig(handlers=[handler], level=level.upper())
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


async def serve(settings: Settings, stop: asyncio.Event, ready: Callable[[Addresses], None]) -> None:
    """Come up, call `ready`, stay until `stop` is set, go down. Raises as `run` does."""
    listener = bind(settings.host, settings.port)
    with contextlib.closing(listener):
        port = listener.getsockname()[1]
        async with (
            running(settings, port) as inside,
            app_sql.serving(_sql(settings, inside), app_sql.bind(settings, bind)) as sql,
            listening(settings, inside, listener, sql) as addresses,
        ):
            ready(addresses)
            gc.collect()
            gc.freeze()  # what is here now stays to the end; no collection need look at it again
            gc.set_threshold(*_COLLECT)
            await stop.wait()
            log.info("stopping; jobs that run go on running")


def bind(host: str, port: int, flag: str = "--port") -> socket.socket:
    """A socket of our own on the address, not listening yet. Raises CannotServe, which names the flag."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    family, kind, protocol, _, address = min(
        found, key=lambda each: each[0] != socket.AF_INET
    )  # localhost is 127.0.0.1
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not a reason to wait for old connections
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise CannotServe(_in_the_way(host, port, flag, error.strerror)) from None
    return listener


@contextlib.asynccontextmanager
async def running(settings: Settings, port: int) -> AsyncIterator[Inside]:
    """Everything but the edges, brought up and down in order; `port` is what replicas reach the service by."""
    clock = SystemClock()
    async with app_keys.state(settings, clock) as (store, vault):
        doors = await asyncio.to_thread(app_access.open_doors, settings, clock, store)
        certificate = await asyncio.to_thread(app_access.certificate, settings)
        objects = await asyncio.to_thread(_objects, settings)
        tracker = app_tracking.open_tracker(settings)
        machines = app_kinds.known_machines(settings)
        executor = await open_executor(settings, clock, port, objects, machines)
        known = app_kinds.known_kinds(settings, machines, *app_shells.places(settings, port))
        outputs = app_keys.open_outputs(vault, store, known, objects)
        equip = app_keys.gated(outputs, app_tracking.equipment(app_access.equipment(settings, port, doors), tracker))
        controller = Controller(store, known, executor, clock, equip=equip)
        ids = TimeOrderedIds(clock, store.largest_id)
        controller.share_ids(ids)
        grounds = Grounds(machines, known, store, clock, controller.set_aside, app_kinds.warming(executor))
        resources = app_kinds.opened(grounds, settings, doors.access, doors.audit)  # before anybody is let in
        control = asyncio.create_task(controller.run(), name="controller")
        control.add_done_callback(_controller_ended)
        try:
            logs, told = settings.data_dir / "logs", _narration(store)
            logbook = FileLogBook(logs, told, settings.stderr_severity, store.runs_after, vault)
            controller.share_last_lines(logbook.last_lines)
            service = Service(
                desk=store, logbook=logbook, kinds=known.values(), clock=clock, ids=ids, access=doors.access
            )
            app_shells.share(service, doors.audit, executor)
            async with (
                app_tracking.tracking(tracker, store, service, objects),
                app_keys.sealing(outputs, store, service, executor, logbook, clock) as sealed,
            ):
                yield Inside(
                    store, logbook, controller, control, service, doors, certificate, objects, resources, sealed
                )
        finally:
            control.cancel()
            await asyncio.gather(control, return_exceptions=True)
            await resources.close()
            await executor.close()
            await asyncio.to_thread(objects.close)


@contextlib.asynccontextmanager
async def listening(
    settings: Settings, inside: Inside, listener: socket.socket, sql: app_sql.Sql
) -> AsyncIterator[Addresses]:
    """The edges over `inside`, on their ports; at the end requests under way get settings.drain seconds."""
    streams, connections = Streams(), Connections()
    rpc = LazyRpc(app_rpc.call_of(inside.service), app_rpc.stream_of(inside.service))
    certificate, names = inside.certificate, settings.names()
    grpc_port = await _own_grpc_port(rpc, settings, certificate)
    objects = Places(inside.objects, _buckets_appear(settings))
    own = _own_routes(inside, streams, sql.port)
    guard = partial(refuse_foreign_page, names=names)
    storage = StorageApp(objects, guard, app_access.object_access(inside.doors, SystemClock(), objects.store))
    own_port = listener.getsockname()[1]
    dashboards = DashboardApp(
        inside.service.dashboards(), app_shells.dashboards_at(settings, own_port), streams.lasting
    )
    mounts: list[Mount] = [
        (dashboards.claims, dashboards),
        (metadata.claims, metadata.MetadataApp(inside.doors.grants, names)),
        (token_endpoint.claims, token_endpoint.TokenEndpoint(inside.doors.grants, names)),
        (claims, storage),
        (sql.claims, sql),
    ]
    app = SideBySide(mounts, RestApp(inside.service, own, Router(), names))
    front = app if certificate is None else NoClearText(app, metadata.claims)
    port = Port(connection_factory(front, connections), rpc.connect)
    port.tunnels = app_access.tunnels(settings)
    await port.listen(listener, certificate.context if certificate else None)
    keeping = asyncio.create_task(certificate.keep()) if certificate else None
    try:
        yield Addresses(settings.host, own_port, grpc_port, certificate is not None, sql.port)
    finally:
        if keeping is not None:
            keeping.cancel()
        port.stop_listening()
        streams.stop()
        connections.shut_down()
        await asyncio.gather(rpc.stop(settings.drain), _quiet(connections, settings.drain))
        port.cut()
        await storage.close()


def _own_routes(inside: Inside, streams: Streams, sql_port: int | None) -> OwnRoutes:
    service = inside.service
    return OwnRoutes(
        service.insight,
        Follower(service.insight, inside.store, inside.logbook, streams.pause),
        _health(inside, sql_port),
        streams,
        service.metrics(inside.objects),
        service.usage(),
        service.claims(),
        inside.resources,
        ShellRoute(service.shells(), streams),
        KeyRoutes(inside.sealed.keys),
        inside.logbook.files.open,
    )


async def _quiet(connections: Connections, seconds: float) -> None:
    """Until every request under way is answered, or the time is up and they are cut off."""
    if connections.tasks:
        await asyncio.wait(connections.tasks, timeout=seconds)
    for task in list(connections.tasks):
        task.cancel()
    for connection in list(connections.connections):
        connection.transport.close()
    await asyncio.sleep(0)


def _sql(settings: Settings, inside: Inside) -> app_sql.Sql:
    return app_sql.Sql(inside.service, settings, inside.certificate)


def _objects(settings: Settings) -> ObjectStore:
    try:
        keeper = import_module(object_stores.BUILT_IN["url" if settings.objects_url else "directory"])
    except ModuleNotFoundError as error:
        raise CannotServe(f"objects_url needs {error.name}: pip install 'trainyard[objects]', or unset it.") from error
    where = (settings.objects_url,) if settings.objects_url else ()
    store: ObjectStore = keeper.open_store(settings.data_dir, SystemClock(), *where)
    return store


def _buckets_appear(settings: Settings) -> bool:
    return settings.missing_buckets == "always" or (settings.missing_buckets == "auto" and is_loopback(settings.host))


def _narration(store: Store) -> Callable[[int, int], Sequence[Narrated]]:
    def narration(job_id: int, after_seq: int) -> Sequence[Narrated]:
        job = store.find(job_id)
        return store.narration(job.name, after_seq) if job is not None else ()

    return narration


def _health(inside: Inside, sql_port: int | None) -> Callable[[], dict[str, Any]]:
    started = rfc3339(SystemClock().now_us())
    boot = secrets.token_hex(8)

    def health() -> dict[str, Any]:
        problems = inside.problems()
        return {
            "status": "degraded" if problems else "ok",
            "problems": problems,
            "version": __version__,
            "startTime": started,
            "instance": boot,
            "pid": os.getpid(),
            "sqlPort": sql_port,
        }

    return health


async def _own_grpc_port(rpc: LazyRpc, settings: Settings, certificate: Certificate | None) -> int | None:
    if settings.grpc_port is None:
        return None
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        pair = (lambda: (certificate.key, certificate.chain)) if certificate else None
        return await rpc.start(f"{host}:{settings.grpc_port}", pair)
    except OSError:
        raise CannotServe(_in_the_way(settings.host, settings.grpc_port, "--grpc-port", "it is taken")) from None


def _in_the_way(host: str, port: int, flag: str, why: str | None) -> str:
    way_out = f"Stop what listens there, or choose another {flag} (0 takes a free one)."
    return f"Cannot listen on {host} port {port}: {why}. {way_out}"


def _controller_ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.critical(
            "the controller has ended; jobs do not go on until the service is restarted", exc_info=task.exception()
        )
