"""Resource names are read and written here and nowhere else; nobody else splits on "/".

A project has an id and a number. Names that we hand out carry the number, as the original does (reference:
https://google.aip.dev/122 and the service's observed answers); both are accepted on the way in.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

from trainyard.core.errors import InvalidArgument

_PROJECT = re.compile(r"(?:[a-z][a-z0-9.:-]{0,62}|[0-9]{1,19})\Z")
_LOCATION = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")
_KEY_PART = re.compile(r"[A-Za-z0-9_-]{1,63}\Z")
_NUMBER_DIGITS = 12


@lru_cache(maxsize=1024)
def project_number(project: str) -> str:
    """The number of a project: itself if it is one already, else twelve digits fixed by the id alone.

    The same id gives the same number on every machine and in every release, so no table is needed.
    """
    if project.isdecimal():
        return project
    digest = int.from_bytes(hashlib.sha256(project.encode()).digest()[:8], "big")
    lowest = 10 ** (_NUMBER_DIGITS - 1)
    return str(lowest + digest % (9 * lowest))


def project_of(resource: str) -> str:
    """The number of the project that a resource's name begins with; empty where it begins with none (buckets: `_`)."""
    match resource.split("/", 2):
        case ["projects", project, *_] if _PROJECT.match(project):
            return project_number(project)
    return ""


def collection_of(resource: str) -> str:
    """`customJobs` for a job or anything below one; empty for a project, a location and what is straight below it."""
    match resource.split("/"):
        case ["projects", _, "locations", _, collection, _, *_] if collection != "operations":
            return collection
    return ""


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """Where jobs live: a project (always its number) and a location."""

    project: str
    location: str

    def __str__(self) -> str:
        return f"projects/{self.project}/locations/{self.location}"

    @classmethod
    def of(cls, project: str, location: str) -> Scope:
        """A scope from a project's id or number; raises InvalidArgument on malformed parts."""
        if not _PROJECT.match(project):
            raise InvalidArgument(f"{project!r} is neither a project id nor a project number.")
        if not _LOCATION.match(location):
            raise InvalidArgument(f"{location!r} is not a location id such as us-central1.")
        return cls(project_number(project), location)

    @classmethod
    def parse(cls, text: str) -> Scope:
        """Read `projects/{project}/locations/{location}`."""
        match text.split("/"):
            case ["projects", project, "locations", location]:
                return cls.of(project, location)
        raise InvalidArgument(f"{text!r} is not of the form projects/*/locations/*.")


@dataclass(frozen=True, slots=True, order=True)
class JobName:
    """The full name of a job: scope, collection (`customJobs`) and the server-made decimal id."""

    scope: Scope
    collection: str
    id: int

    def __str__(self) -> str:
        return f"{self.scope}/{self.collection}/{self.id}"

    @classmethod
    def parse(cls, text: str) -> JobName:
        """Read `projects/*/locations/*/{collection}/{id}`; raises InvalidArgument on anything else."""
        match text.split("/"):
            case ["projects", project, "locations", location, collection, id] if collection:
                if not id.isascii() or not id.isdecimal() or len(id) > 19 or int(id) >= 2**63:
                    raise InvalidArgument(f"{id!r} is not a job id; ids are decimal numbers that the service makes.")
                return cls(Scope.of(project, location), collection, int(id))
        raise InvalidArgument(f"{text!r} is not a job name such as projects/*/locations/*/customJobs/*.")


@dataclass(frozen=True, slots=True, order=True)
class KeyName:
    """A key of encryption at rest, named as Cloud KMS names one."""

    scope: Scope
    ring: str
    id: str

    def __str__(self) -> str:
        return f"{self.scope}/keyRings/{self.ring}/cryptoKeys/{self.id}"

    @classmethod
    def parse(cls, text: str) -> KeyName:
        """Read `projects/*/locations/*/keyRings/*/cryptoKeys/*`; raises InvalidArgument on anything else."""
        match text.split("/"):
            case ["projects", project, "locations", location, "keyRings", ring, "cryptoKeys", id]:
                for part in (ring, id):
                    if not _KEY_PART.match(part):
                        raise InvalidArgument(
                            f"{part!r} cannot stand in the name of a key; letters, digits, - and _ can, up to 63."
                        )
                return cls(Scope.of(project, location), ring, id)
        raise InvalidArgument(f"{text!r} is not a key's name such as projects/*/locations/*/keyRings/*/cryptoKeys/*.")


@dataclass(frozen=True, slots=True, order=True)
class OperationName:
    """A long-running operation, under a job (`job` set) or straight under a scope (`job` None)."""

    scope: Scope
    job: JobName | None
    id: int

    def __str__(self) -> str:
        return f"{self.job or self.scope}/operations/{self.id}"

    @classmethod
    def parse(cls, text: str) -> OperationName:
        """Read `{scope or job name}/operations/{id}`; raises InvalidArgument on anything else."""
        head, slash, number = text.rpartition("/operations/")
        if not slash or not number.isascii() or not number.isdecimal() or len(number) > 19 or int(number) >= 2**63:
            raise InvalidArgument(f"{text!r} is not an operation name such as projects/*/locations/*/operations/*.")
        if head.count("/") == 3:
            return cls(Scope.parse(head), None, int(number))
        job = JobName.parse(head)
        return cls(job.scope, job, int(number))
