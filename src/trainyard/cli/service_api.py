"""The calls that the command line makes: the public API of jobs and the service's own routes beside it."""

from __future__ import annotations

import os
import re
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from trainyard.cli.connection import Connection, Target
from trainyard.cli.problems import Problem, Usage

VERSION = "v1"
OWN = "trainyard/v1"  # what the original does not have: docs/adr/0005
FINAL_STATES = frozenset({"JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"})
_MOST_LINES = 10_000  # of one page of output
_NAME = re.compile(r"projects/[^/\s]+/locations/[^/\s]+/([A-Za-z]+)/[0-9]+\Z")

Job = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a kind of job is called: its resource, its collection, its command."""

    resource: str
    collection: str
    command: str


CUSTOM_JOB: Final = Kind("CustomJob", "customJobs", "custom-jobs")
NAS_JOB: Final = Kind("NasJob", "nasJobs", "nas-jobs")
_KINDS: Final = {kind.command: kind for kind in (CUSTOM_JOB, NAS_JOB)}


def connect(flags: Namespace) -> ServiceApi:
    """The service that the flags and the environment name, for the kind of job that the command is about."""
    token = os.environ.get("TRAINYARD_TOKEN", "")
    target = Target(flags.endpoint.rstrip("/"), flags.project, flags.region, token)
    return ServiceApi(target, _KINDS[getattr(flags, "noun", CUSTOM_JOB.command)])


class ServiceApi:
    """One service, one project and region, one kind of job. All answers are decoded JSON."""

    def __init__(self, target: Target, kind: Kind = CUSTOM_JOB) -> None:
        """Keep one connection for all calls."""
        self.target = target
        self.kind = kind
        self.connection = Connection(target)

    @property
    def _collection(self) -> str:
        return f"{self.target.parent}/{self.kind.collection}"

    def health(self) -> dict[str, Any]:
        """What the service says of itself; raises Unreachable."""
        answer = self.connection.call("GET", f"{OWN}/health")
        return answer if isinstance(answer, dict) else {}

    def create(self, job: Job) -> Job:
        """Create a job; it is durable when this returns."""
        return _object(self.connection.call("POST", f"{VERSION}/{self._collection}", body=job))

    def get(self, name: str) -> Job:
        """The job as the API shows it."""
        return _object(self.connection.call("GET", f"{VERSION}/{name}"))

    def cancel(self, name: str) -> None:
        """Ask for the job's end; the answer does not wait for it."""
        self.connection.call("POST", f"{VERSION}/{name}:cancel", body={})

    def delete(self, name: str) -> dict[str, Any]:
        """Delete a job that has ended; the answer is the operation."""
        return _object(self.connection.call("DELETE", f"{VERSION}/{name}"))

    def explain(self, name: str) -> dict[str, Any]:
        """Why the job is where it is: sentence, place in the queue, history, replicas."""
        return _object(self.connection.call("GET", f"{OWN}/{name}:explain"))

    def metrics(self, name: str, tag: str = "", points: int = 1000) -> dict[str, Any]:
        """The scalars of the job's event files: `source`, `series` with their points, `damaged` files."""
        query = {"points": str(points)} | ({"tag": tag} if tag else {})
        return _object(self.connection.call("GET", f"{OWN}/{name}:metrics", query))

    def usage(self, name: str, points: int = 2, task: str = "", attempt: int | None = None) -> dict[str, Any]:
        """What the job's replicas used: `replicas`, with their points."""
        query = {"points": str(points), "task": task, "attempt": "" if attempt is None else str(attempt)}
        kept = {name: value for name, value in query.items() if value}
        return _object(self.connection.call("GET", f"{OWN}/{name}:usage", kept))

    def last_cursor(self, name: str, task: str = "") -> str:
        """The cursor behind the last line that there is now."""
        query = {"size": str(_MOST_LINES)} | ({"task": task} if task else {})
        while True:
            page = _object(self.connection.call("GET", f"{OWN}/{name}/logs", query))
            query["cursor"] = str(page.get("cursor", ""))
            if len(page.get("entries", [])) < _MOST_LINES:
                return query["cursor"]

    def jobs(self, filter_text: str = "", page_size: int = 100) -> Iterator[Job]:
        """All jobs that match, newest first, page by page as they are wanted."""
        query = {"pageSize": str(page_size)}
        if filter_text:
            query["filter"] = filter_text
        return self.pages(self._collection, self.kind.collection, query)

    def pages(self, path: str, items: str, query: dict[str, str]) -> Iterator[dict[str, Any]]:
        """All items of a list, page by page as they are wanted."""
        while True:
            page = _object(self.connection.call("GET", f"{VERSION}/{path}", query))
            yield from page.get(items, [])
            token = page.get("nextPageToken", "")
            if not token:
                return
            query["pageToken"] = token

    def name_of(self, job: str) -> str:
        """The full name of a job given as id, full name, address (as `list --uri` prints) or unique display name."""
        text = job.strip()
        if text.isascii() and text.isdecimal():
            return f"{self._collection}/{text}"
        path = urlsplit(text).path.removeprefix(f"/{VERSION}/") if "://" in text else text
        full = _NAME.match(path)
        if full and full.group(1) == self.kind.collection:
            return path
        if not text or "/" in text:
            ways = "give its id, its full name, or a display name that only one job has"
            raise Usage(f"{job!r} is no {self.kind.resource}; {ways}")
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        found = [each for each in self.jobs(f'displayName="{quoted}"') if each.get("displayName") == text]
        if not found:
            raise Problem(f"there is no job called {text!r} in {self.target.parent}")
        if len(found) > 1:
            raise Problem(
                f"{len(found)} jobs are called {text!r}; give the id of the one you mean",
                [f"{job_id(each)}  {short_state(each)}  created {each.get('createTime', '')}" for each in found[:10]],
            )
        return str(found[0]["name"])


def job_id(job: Job) -> str:
    """The last part of a job's name."""
    return str(job.get("name", "")).rpartition("/")[2]


def short_state(job: Mapping[str, Any]) -> str:
    """`RUNNING` for JOB_STATE_RUNNING; empty where there is none."""
    return str(job.get("state", "")).removeprefix("JOB_STATE_")


def _object(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise Problem("the service answered with something that is no JSON object")
    return answer
