"""The promise of an object store: buckets of immutable objects with generations, as Cloud Storage has them.

Keepers are in `object_stores/`; each passes tests/seams/object_store_suite.py. Every call blocks and is made off the
event loop, from any thread. What a call has returned is durable (law 1); an object is there as a whole or not at all.
Semantics: https://cloud.google.com/storage/docs/json_api/v1 and https://cloud.google.com/storage/docs/consistency.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, runtime_checkable

from trainyard.core.errors import FailedPrecondition, InvalidArgument, NotFound

ReadAt = Callable[[int, int], bytes]
"""Offset and size in, bytes out."""
MOST_COMPONENTS: Final = 32
"""As many sources as one compose takes."""


class ConditionNotMet(FailedPrecondition):
    """The object is not as the caller expected it to be (HTTP 412); the caller reads it again."""

    def __init__(self) -> None:
        """The original's sentence."""
        super().__init__("At least one of the pre-conditions you specified did not hold.")


class NotModified(FailedPrecondition):
    """A reader asked for what differs from what it has, and nothing does (HTTP 304)."""

    def __init__(self) -> None:
        """Nobody reads it: a 304 has no body."""
        super().__init__("Not modified.")


class HashMismatch(InvalidArgument):
    """The bytes that came are not the bytes that were sent; nothing was stored."""


class ObjectHeld(FailedPrecondition):
    """A hold keeps the object from being deleted or replaced (HTTP 403)."""


class ObjectLocked(FailedPrecondition):
    """The object is sealed under a key that is not to be had now, or not any more (HTTP 400)."""


def no_bucket() -> NotFound:
    """The error for a bucket that is not there, in the original's words."""
    return NotFound("The specified bucket does not exist.")


def no_object(bucket: str, name: str) -> NotFound:
    """The error for an object that is not there, in the original's words."""
    return NotFound(f"No such object: {bucket}/{name}")


@dataclass(frozen=True, slots=True)
class Conditions:
    """What must hold for a call to go on; None asks for nothing. A generation of 0 means: there is no such object."""

    generation: int | None = None
    generation_not: int | None = None
    metageneration: int | None = None
    metageneration_not: int | None = None

    def check(self, generation: int, metageneration: int, *, reading: bool = False) -> None:
        """Hold against what is there (zeros: nothing). Raises ConditionNotMet, or NotModified for readers."""
        wanted = ((self.generation, generation), (self.metageneration, metageneration))
        if any(want is not None and want != have for want, have in wanted):
            raise ConditionNotMet
        unwanted = ((self.generation_not, generation), (self.metageneration_not, metageneration))
        if any(want is not None and want == have for want, have in unwanted):
            raise NotModified if reading else ConditionNotMet


ANY: Final = Conditions()


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket; `attributes` are what its owner set, in the API's JSON names."""

    name: str
    created_us: int
    updated_us: int
    metageneration: int = 1
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def versioned(self) -> bool:
        """Whether replaced and deleted objects are kept as noncurrent generations."""
        return bool((self.attributes.get("versioning") or {}).get("enabled"))


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One generation of an object; `attributes` are what its owner set, in the API's JSON names."""

    bucket: str
    name: str
    generation: int
    size: int
    created_us: int
    updated_us: int
    metageneration: int = 1
    crc32c: int | None = None  # None: nobody has read it yet (a job wrote it past the endpoint)
    md5: bytes | None = None  # None: composed, or large and never asked for
    components: int = 0  # how many objects it was composed of; 0 where it was not
    deleted_us: int | None = None  # set on a noncurrent generation
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def held(self) -> bool:
        """Whether a hold keeps it from being deleted or replaced."""
        return bool(self.attributes.get("temporaryHold") or self.attributes.get("eventBasedHold"))


@dataclass(frozen=True, slots=True)
class Target:
    """Where a draft is to become an object, and as what."""

    bucket: str
    name: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    conditions: Conditions = ANY
    crc32c: int | None = None  # what the sender computed
    md5: bytes | None = None
    components: int = 0


@dataclass(frozen=True, slots=True)
class Query:
    """Which objects of a bucket, in order of their names' UTF-8 bytes."""

    prefix: str = ""
    delimiter: str = ""
    start: str = ""  # names not less than this
    end: str = ""  # names less than this; empty: no limit
    glob: str = ""
    versions: bool = False
    trailing_delimiter: bool = False
    size: int = 1000
    after: str = ""  # the token of the page before


@dataclass(frozen=True, slots=True)
class Listing:
    """One page. `next_after` is empty on the last."""

    objects: Sequence[StoredObject]
    prefixes: Sequence[str]
    next_after: str


class Reader(Protocol):
    """The bytes of one generation; they stay readable while it is open, whatever becomes of the object."""

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from `offset`; raises OSError where there are fewer."""

    def close(self) -> None:
        """Let go of it."""


class Draft(Protocol):
    """Bytes on their way to become an object; nobody sees them before."""

    id: str
    size: int

    def write(self, data: bytes) -> None:
        """Append. Raises OSError."""

    def want_md5(self) -> None:
        """Compute the MD5 also where the draft grows large; to be called before the first byte."""

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` of the bytes that were written; raises OSError where there are fewer."""

    @property
    def crc32c(self) -> int:
        """Of what was written so far."""

    def verify(self, crc32c: int | None, md5: bytes | None) -> None:
        """Raise HashMismatch where what was written is not what its sender computed; None is not looked at."""

    def discard(self) -> None:
        """Forget the bytes; may be repeated, and does nothing once the draft has become an object."""


class ObjectStore(Protocol):
    """Buckets and objects. Unknown ones raise NotFound; malformed names raise InvalidArgument."""

    def buckets(self) -> Sequence[Bucket]:
        """All of them, by name."""

    def bucket(self, name: str) -> Bucket:
        """One of them."""

    def known_deleted(self, name: str) -> bool:
        """Whether somebody deleted a bucket of this name: it does not come back unasked."""

    def create_bucket(self, name: str, attributes: Mapping[str, Any]) -> Bucket:
        """Raises AlreadyExists."""

    def update_bucket(self, name: str, attributes: Mapping[str, Any], conditions: Conditions = ANY) -> Bucket:
        """Replace what its owner set."""

    def delete_bucket(self, name: str, conditions: Conditions = ANY) -> None:
        """Raises FailedPrecondition where it is not empty."""

    def stat(self, bucket: str, name: str, generation: int | None = None) -> StoredObject:
        """The object, or a generation of it, with its CRC32C."""

    def open(self, bucket: str, name: str, generation: int | None = None) -> tuple[StoredObject, Reader]:
        """The object and its bytes; its CRC32C is there only if it was known."""

    def list(self, bucket: str, query: Query) -> Listing:
        """A page of a bucket. The CRC32C of what a job wrote is there once somebody has asked for the object."""

    def draft(self) -> Draft:
        """A new one; it is gone when the service restarts, unless it is kept."""

    def keep(self, draft: Draft, state: Mapping[str, Any]) -> None:
        """Make what was written so far durable under the draft's id, with a note for whoever goes on with it."""

    def kept(self, draft_id: str) -> tuple[Draft | None, Mapping[str, Any]]:
        """What was kept, also after a restart; no draft where it has become an object. Raises NotFound."""

    def forget(self, draft_id: str) -> None:
        """Forget a kept draft and its note; may be repeated."""

    def put(self, draft: Draft, target: Target) -> StoredObject:
        """Make a draft the object's next generation, whole and durable, and the draft nothing.

        Raises ConditionNotMet, HashMismatch or ObjectHeld; then nothing has changed and the draft is still there.
        """

    def copy(self, source: StoredObject, target: Target) -> StoredObject:
        """The same bytes under another name (or again under the same), durable."""

    def update(
        self,
        bucket: str,
        name: str,
        generation: int | None,
        attributes: Mapping[str, Any],
        conditions: Conditions = ANY,
    ) -> StoredObject:
        """Replace what its owner set; the bytes and the generation stay."""

    def delete(self, bucket: str, name: str, generation: int | None = None, conditions: Conditions = ANY) -> None:
        """Remove the object (kept as noncurrent where the bucket is versioned), or for good one generation of it."""

    def share_seals(self, seals: ObjectSeals) -> None:
        """Open by these what is sealed, from now on. Reading raises ObjectLocked where they can't."""

    def close(self) -> None:
        """Let go of everything."""


class ObjectSeals(Protocol):
    """What an object store needs of a vault. Sealed bytes say in their beginning whose data key opens them."""

    @property
    def in_use(self) -> bool:
        """Whether anything was ever sealed."""

    def size_of(self, beginning: bytes) -> int | None:
        """How large the content is of which these are the first sealed bytes; None where they are not sealed."""

    def owner_of(self, beginning: bytes) -> int | None:
        """Whose data key seals what begins so; None where it is not sealed."""

    def opening(self, read: ReadAt, size: int) -> ReadAt:
        """Reads of the content, up to so many bytes each, by reads of its `size` sealed bytes.

        Raises NotFound and FailedPrecondition where the key is not to be had, and Internal, now or while it is read,
        where they were damaged or changed.
        """

    def sealed(self, owner: int, read: ReadAt, size: int) -> Iterator[bytes]:
        """The sealed form of `size` bytes, in order; `read` is asked for them in order. Raises as `opening`."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a job has written: objects of a bucket with this prefix whose files were changed since then."""

    bucket: str
    prefix: str
    since_us: int

    def overlaps(self, bucket: str, prefix: str) -> bool:
        """Whether an object may be below both."""
        return bucket == self.bucket and (prefix.startswith(self.prefix) or self.prefix.startswith(prefix))


@dataclass(frozen=True, slots=True)
class OpenedBelow:
    """What became of the sealed objects below a prefix."""

    opened: int = 0
    locked: int = 0  # sealed under another key
    damaged: int = 0


@runtime_checkable
class SealsInPlace(Protocol):
    """The talent of a store whose objects are files that programs open: it seals them when nobody writes any more.

    An object stays the same one: its generation, metageneration, size, digests, metadata and times. Each call may be
    repeated after any crash; it raises Unavailable where the store is closed meanwhile, OSError, and as ObjectSeals.
    """

    def seal_below(self, outputs: Outputs, owner: int) -> None:
        """Seal what is not sealed yet, noncurrent generations too, by the data key of `owner`."""

    def open_below(self, bucket: str, prefix: str, may_open: Callable[[int], bool]) -> OpenedBelow:
        """Put what is sealed by owners that `may_open` in the clear again, for programs that read it by its path."""

    def any_sealed(self, bucket: str, prefix: str, most: int) -> bool:
        """Whether there is a sealed one among the first `most` objects below the prefix."""

    def remove_below(self, outputs: Outputs, until_us: int | None) -> None:
        """Remove for good what was to be sealed and can be no more, if it was last written up to `until_us`."""
