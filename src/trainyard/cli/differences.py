"""`trainyard diff`: where the answers of two recordings, or of a recording and a service, differ in shape.

Shape is: status code, media type, which fields there are, of what type, which form a text has (time, duration, number,
enum name), and which enum name it is. Other values differ in every run and are left out, unless asked for.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from trainyard.cli.exchanges import REMOVED, Cleaner, Exchange, Folder, body_bytes
from trainyard.cli.problems import FAILED, Unreachable, Usage

PATIENCE_SECONDS: Final = 120.0
_FORMS: Final = (
    ("time", re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)\Z")),
    ("duration", re.compile(r"-?\d+(\.\d+)?s\Z")),
    ("whole number as text", re.compile(r"-?\d+\Z")),
    ("resource name", re.compile(r"projects/[^/\s]+/\S+\Z")),
)
_ENUM_NAME: Final = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+\Z")
_PLACES: Final = (
    (re.compile(r"projects/[^/:]+"), "projects/*"),
    (re.compile(r"locations/[^/:]+"), "locations/*"),
    (re.compile(r"(?<=/)\d+(?=[/:]|\Z)"), "*"),
    (re.compile(r"(?<=/b/)[^/]+"), "*"),
)
_NOT_SENT: Final = frozenset(("content-length", "user-agent", "x-goog-api-client"))


@dataclass(frozen=True, slots=True)
class Difference:
    """Where (exchange, then path within its answer), and what it is on either side."""

    exchange: str
    where: str
    left: str
    right: str


def run(args: argparse.Namespace) -> int:
    """Print every difference; 0 where there is none, 1 otherwise."""
    if bool(args.other) == bool(args.against):
        raise Usage(
            "give a second directory, or --against URL",
            ["trainyard diff DIR_A DIR_B", "trainyard diff DIR --against URL"],
        )
    left = Folder(Path(args.directory)).read()
    right = Folder(Path(args.other)).read() if args.other else asked_again(left, args.against, args.token)
    found = [each for each in differences(left, right, args.values) if not _left_out(each.where, args.ignore)]
    if args.format == "json":
        print(
            json.dumps(
                [
                    {"exchange": each.exchange, "where": each.where, "left": each.left, "right": each.right}
                    for each in found
                ],
                indent=2,
            )
        )
        return FAILED if found else 0
    heading = ""
    for each in found:
        if each.exchange != heading:
            heading = each.exchange
            print(heading)
        print(f"  {each.where}: {each.left} | {each.right}")
    print(f"{len(found) or 'no'} difference{'' if len(found) == 1 else 's'} in {len(left)} and {len(right)} exchanges")
    return FAILED if found else 0


def differences(left: Sequence[Exchange], right: Sequence[Exchange], values: bool = False) -> Iterator[Difference]:
    """Every difference, in the order of the left side. Exchanges are paired by method and kind of path, in order."""
    there: defaultdict[str, list[Exchange]] = defaultdict(list)
    for exchange in right:
        there[sort_of(exchange)].append(exchange)
    for exchange in left:
        name = sort_of(exchange)
        if not there[name]:
            yield Difference(name, "exchange", "there", "missing")
            continue
        for where, one, other in _of_answers(exchange, there[name].pop(0), values):
            yield Difference(name, where, one, other)
    for name, rest in there.items():
        for _ in rest:
            yield Difference(name, "exchange", "missing", "there")


def sort_of(exchange: Exchange) -> str:
    """`GET /v1/projects/*/locations/*/customJobs/*`: what two exchanges have in common that may be compared."""
    path = exchange.path
    for pattern, replacement in _PLACES:
        path = pattern.sub(replacement, path)
    return f"{exchange.method} {path}"


def _of_answers(left: Exchange, right: Exchange, values: bool) -> Iterator[tuple[str, str, str]]:
    if left.status != right.status:
        yield "status", str(left.status), str(right.status)
    media = [each.answer.headers.get("content-type", "").partition(";")[0] for each in (left, right)]
    if media[0] != media[1]:
        yield "content-type", media[0] or "none", media[1] or "none"
    if left.answer.form != right.answer.form:
        yield "body", left.answer.form or "none", right.answer.form or "none"
    elif left.answer.form == "json":
        yield from _of_values(left.answer.body, right.answer.body, "", values)
    elif values and left.answer.body != right.answer.body:
        yield "body", "one", "another"


def _of_values(left: Any, right: Any, where: str, values: bool) -> Iterator[tuple[str, str, str]]:
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted({*left, *right}):
            below = f"{where}.{key}" if where else str(key)
            if key not in left or key not in right:
                yield below, _told(left, key), _told(right, key)
            else:
                yield from _of_values(left[key], right[key], below, values)
    elif isinstance(left, list) and isinstance(right, list):
        if values and len(left) != len(right):
            yield where, f"{len(left)} elements", f"{len(right)} elements"
        for one, other in zip(left, right, strict=False):
            yield from _of_values(one, other, f"{where}[]", values)
    elif form_of(left) != form_of(right):
        yield where, form_of(left), form_of(right)
    elif values and left != right:
        yield where, json.dumps(left), json.dumps(right)


def _told(value: dict[str, Any], key: str) -> str:
    return form_of(value[key]) if key in value else "missing"


def form_of(value: Any) -> str:
    """What kind of value it is, in words; of an enum name, the name."""
    if isinstance(value, str):
        if value == REMOVED:
            return "text"
        if _ENUM_NAME.match(value):
            return value
        return next((form for form, pattern in _FORMS if pattern.match(value)), "text")
    kinds = {dict: "object", list: "list", bool: "true or false", int: "number", float: "number", type(None): "null"}
    return kinds[type(value)]


def _left_out(where: str, ignored: Sequence[str]) -> bool:
    return any(where == each or where.startswith(f"{each}.") or where.endswith(f".{each}") for each in ignored)


def asked_again(exchanges: Sequence[Exchange], url: str, token: str) -> list[Exchange]:
    """The recorded requests, put to a service. Names that it gives take the place of the recorded ones from then on."""
    there = urlsplit(url)
    if there.scheme not in ("http", "https") or not there.hostname:
        raise Usage(f"{url!r} is no address of a service; one looks like http://127.0.0.1:8470")
    make = http.client.HTTPSConnection if there.scheme == "https" else http.client.HTTPConnection
    names: dict[str, str] = {}
    again = []
    for exchange in exchanges:
        connection = make(there.hostname, there.port, timeout=PATIENCE_SECONDS)
        try:
            answered = _ask(connection, exchange, there.path.rstrip("/"), names, token)
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(url, str(error) or type(error).__name__) from None
        finally:
            connection.close()
        _learn(exchange.answer.body, answered.answer.body, names)
        again.append(answered)
    return again


def _ask(
    connection: http.client.HTTPConnection, exchange: Exchange, prefix: str, names: dict[str, str], token: str
) -> Exchange:
    headers = {
        name: value
        for name, value in exchange.request.headers.items()
        if name not in _NOT_SENT and REMOVED not in value
    }
    if token:
        headers["authorization"] = f"Bearer {token}"
    target, body = _renamed(exchange.target, names), _renamed(body_bytes(exchange.request).decode("latin-1"), names)
    connection.request(exchange.method, prefix + target, body.encode("latin-1") or None, headers)
    answer = connection.getresponse()
    kept = Cleaner().message(answer.getheaders(), answer.read())
    query = [list(pair) for pair in parse_qsl(urlsplit(target).query, keep_blank_values=True)]
    return Exchange(exchange.method, exchange.path, query, exchange.request, answer.status, kept)


def _learn(recorded: Any, given: Any, names: dict[str, str]) -> None:
    """Which name stands now where another one stood: jobs, operations, page tokens."""
    if isinstance(recorded, dict) and isinstance(given, dict):
        for key in recorded.keys() & given.keys():
            one, other = recorded[key], given[key]
            if key in ("name", "nextPageToken") and isinstance(one, str) and isinstance(other, str) and one != other:
                names[one] = other
                names[one.rpartition("/")[2]] = other.rpartition("/")[2]
            else:
                _learn(one, other, names)
    elif isinstance(recorded, list) and isinstance(given, list):
        for one, other in zip(recorded, given, strict=False):
            _learn(one, other, names)


def _renamed(text: str, names: dict[str, str]) -> str:
    long_enough = [re.escape(name) for name in sorted(names, key=len, reverse=True) if len(name) >= 6]
    return re.sub("|".join(long_enough), lambda found: names[found.group()], text) if long_enough else text
