"""What the original lacks, under /trainyard/v1 (docs/adr/0005): health, explanations, usage, logs, claims, shells."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from trainyard.contract.codec import write_json
from trainyard.contract.system_parameters import is_system
from trainyard.core.errors import Code, FieldViolation, InvalidArgument
from trainyard.edges.rest.exchange import Exchange, Refusal
from trainyard.edges.rest.follow import Streams
from trainyard.edges.rest.key_routes import KeyRoutes
from trainyard.edges.rest.raw import Opener, send_files
from trainyard.edges.rest.shells import PARAMETERS, ShellRoute
from trainyard.service.access import Caller
from trainyard.service.claims import Claims
from trainyard.service.following import Follower
from trainyard.service.insight import Insight
from trainyard.service.persistent import PersistentResources
from trainyard.service.run_metrics import DEFAULT_POINTS, RunMetrics
from trainyard.service.run_usage import RunUsage

PREFIX: Final = "/trainyard/v1/"
_JOB: Final = r"(?P<name>projects/[^/]+/locations/[^/]+/[^/]+/[^/:]+(?:/nasTrialDetails/[^/:]+)?)"
_HEALTH: Final = re.compile(r"health\Z")
_EXPLAIN: Final = re.compile(_JOB + r":explain\Z")
_METRICS: Final = re.compile(_JOB + r":metrics\Z")
_USAGE: Final = re.compile(_JOB + r":usage\Z")
_CLAIM: Final = re.compile(_JOB + r":claim\Z")
_REPORT: Final = re.compile(_JOB + r":report\Z")
_FINISH: Final = re.compile(_JOB + r":finish\Z")
_POOLS: Final = re.compile(r"pools(?:/(?P<pool>[^/:]+))?\Z")
_LOGS: Final = re.compile(_JOB + r"/logs\Z")
_RAW: Final = re.compile(_JOB + r"/logs/(?P<task>(?:(?:search|train)-\d+/)?[^/]+)/(?P<stream>[^/]+)\Z")
_SHELL: Final = re.compile(_JOB + r"/shells/(?P<replica>[^/]+)\Z")
_TASK: Final = re.compile(r"service|(?:search|train)-\d+|(?:(?:search|train)-\d+/)?workerpool\d+-\d+")
_LOG_PARAMETERS: Final = frozenset({"cursor", "task", "size", "follow"})


@dataclass(frozen=True, slots=True)
class OwnRoutes:
    """The routes and what they read from. `health` gives JSON values; `status` in it is `ok` or `degraded`."""

    insight: Insight
    follower: Follower
    health: Callable[[], Mapping[str, Any]]
    streams: Streams
    metrics: RunMetrics
    usage: RunUsage
    claims: Claims
    pools: PersistentResources
    shells: ShellRoute
    keys: KeyRoutes
    opener: Opener

    async def answer(self, exchange: Exchange, caller: Caller) -> bool:
        """Answer what is ours; False where the path is not. Raises ApiError and Refusal."""
        if not exchange.path.startswith(PREFIX):
            return False
        path = unquote(exchange.path[len(PREFIX) :])
        if match := _POOLS.match(path):
            await self._pools(exchange, match["pool"], caller)
            return True
        if (found := await self.keys.answer(exchange, path, caller, _posted)) is not None:
            await send_json(exchange, found)
            return True
        posts = ((_CLAIM, self.claims.claim), (_REPORT, self.claims.report), (_FINISH, self.claims.finish))
        for pattern, ask in posts:
            if match := pattern.match(path):
                await send_json(exchange, await ask(match["name"], caller, await _posted(exchange)))
                return True
        gets = (
            (_HEALTH, self._health),
            (_EXPLAIN, self._explain),
            (_METRICS, self._metrics),
            (_USAGE, self._usage),
            (_LOGS, self._logs),
            (_RAW, self._raw),
            (_SHELL, self._shell),
        )
        for pattern, get in gets:
            if match := pattern.match(path):
                _only_get(exchange)
                await get(exchange, match, caller)
                return True
        return False

    async def _pools(self, exchange: Exchange, name: str | None, caller: Caller) -> None:
        _parameters(exchange, frozenset())
        verb = (exchange.method.replace("HEAD", "GET"), name is None)
        if verb == ("GET", True):
            await send_json(exchange, {"pools": await self.pools.list_(caller)})
        elif verb == ("POST", True):
            await send_json(exchange, await self.pools.create(await _posted(exchange), caller))
        elif verb == ("GET", False):
            await send_json(exchange, await self.pools.get(name or "", caller))
        elif verb == ("DELETE", False):
            await self.pools.delete(name or "", caller)
            await send_json(exchange, {})
        else:
            allowed = "GET, HEAD, POST" if name is None else "GET, HEAD, DELETE"
            raise Refusal(405, Code.UNIMPLEMENTED, f"{exchange.path} takes {allowed}.", {"allow": allowed})

    async def _health(self, exchange: Exchange, match: re.Match[str], caller: Caller) -> None:  # noqa: ARG002 - one of many
        await send_json(exchange, self.health())

    async def _explain(self, exchange: Exchange, match: re.Match[str], caller: Caller) -> None:
        stage = _parameters(exchange, frozenset({"stage"})).get("stage", "")
        await send_json(exchange, self.insight.explain(match["name"], caller, stage))

    async def _logs(self, exchange: Exchange, match: re.Match[str], caller: Caller) -> None:
        name = match["name"]
        given = _parameters(exchange, _LOG_PARAMETERS)
        cursor, task = given.get("cursor", ""), _task(given.get("task", ""))
        streamed = "text/event-stream" in exchange.headers.get("accept", "")
        if _boolean("follow", given.get("follow", "true" if streamed else "false")):
            cursor = exchange.headers.get("last-event-id") or cursor
            self.insight.with_task(name, caller, task)
            await self.streams.send(exchange, self.follower.follow(name, caller, cursor), task)
            return
        job = self.insight.job(name, caller)  # before the lines: of a job that was final here, they are all
        page = await self.insight.logs(name, caller, cursor, _count("size", given.get("size", "0")), task)
        complete = job.is_final and not page["more"]
        await send_json(exchange, {"entries": page["entries"], "cursor": page["cursor"], "complete": complete})

    async def _metrics(self, exchange: Exchange, match: re.Match[str], caller: Caller) -> None:
        given = _parameters(exchange, frozenset({"tag", "points"}))
        await send_json(exchange, await self.metrics.read(match["name"], caller, given.get("tag", ""), _points(given)))

    async def _usage(self, exchange: Exchange, match: re.Match[str], caller: Caller) -> None:
        given = _parameters(exchange, frozenset({"task", "attempt", "points"}))
        task = _task(given.get("task", ""))
        shown = await self.usage.read(match["name"], caller, task, _attempt(given), _points(given))
        await send_json(exchange, shown)

    async def _raw(self, exchange: Exchange, match: re.Match[str], caller: Caller) -> None:
        given = _parameters(exchange, frozenset({"attempt"}))
        paths = self.insight.raw_files(match["name"], caller, _task(match["task"]), match["stream"], _attempt(given))
        await send_files(exchange, paths, self.opener)

    async def _shell(self, exchange: Exchange, match: re.Match[str], caller: Caller) -> None:
        given = _parameters(exchange, PARAMETERS)
        await self.shells.answer(exchange, (match["name"], match["replica"]), caller, given)


async def send_json(exchange: Exchange, value: Any) -> None:
    """Plain JSON values, pretty unless `prettyPrint=false`."""
    await exchange.answer(200, write_json(value, exchange.system.pretty))


def _attempt(given: Mapping[str, str]) -> int | None:
    return _count("attempt", given["attempt"]) if "attempt" in given else None


def _points(given: Mapping[str, str]) -> int:
    return _count("points", given.get("points", str(DEFAULT_POINTS)))


def _only_get(exchange: Exchange) -> None:
    if exchange.method not in ("GET", "HEAD"):
        raise Refusal(405, Code.UNIMPLEMENTED, f"{exchange.path} can only be read (GET).", {"allow": "GET, HEAD"})


async def _posted(exchange: Exchange) -> dict[str, Any]:
    """The JSON object that was sent; raises Refusal, or InvalidArgument where it is none."""
    if exchange.method != "POST":
        raise Refusal(405, Code.UNIMPLEMENTED, f"{exchange.path} can only be called with POST.", {"allow": "POST"})
    _parameters(exchange, frozenset())
    try:
        found = json.loads(await exchange.body() or b"{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InvalidArgument("The body must be one JSON object.")
    return found


def _parameters(exchange: Exchange, known: frozenset[str]) -> dict[str, str]:
    given = {name: value for name, value in exchange.query if not is_system(name)}
    for name in given:
        if name not in known:
            sentence = f"There is no parameter {name!r} here; there are {', '.join(sorted(known))}."
            raise InvalidArgument(sentence, [FieldViolation(name, sentence)])
    return given


def _task(text: str) -> str:
    """A task's name; one misspelt would else be followed in vain to the job's end."""
    if text and not _TASK.fullmatch(text):
        sentence = (
            f"There is no task {text!r}; tasks are service and the job's replicas, such as workerpool0-0, those of a "
            "search's trials such as search-3/workerpool0-0."
        )
        raise InvalidArgument(sentence, [FieldViolation("task", sentence)])
    return text


def _count(name: str, text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        sentence = f"{name} must be a whole number, not {text!r}."
        raise InvalidArgument(sentence, [FieldViolation(name, sentence)])
    return int(text)


def _boolean(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        sentence = f"{name} must be true or false, not {text!r}."
        raise InvalidArgument(sentence, [FieldViolation(name, sentence)])
    return text.lower() in ("true", "1")
