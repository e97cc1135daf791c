"""The promises of encryption at rest: a KeyRing holds named keys, a Vault seals what belongs to a job under one.

Keepers are in `keyrings/`. Nothing that was sealed can be read without the named key; whoever destroys the key has
destroyed all of it. Methods may block and may be called in any thread; where keys are kept elsewhere and that cannot be
reached, they raise Unavailable, and may be called again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from trainyard.core.errors import AlreadyExists, FailedPrecondition, NotFound
from trainyard.core.names import KeyName, Scope

FIELD: Final = "encryptionSpec.kmsKeyName"
MARK: Final = b"\0TYS1"
"""What a sealed value begins with; no protobuf message does (there is no field 0)."""
FILE_MARK: Final = b"\0TYF1"
"""What a sealed file begins with (keyrings/frames.py)."""
SEALED: Final = ".sealed"
"""What the name of a sealed file ends with; the plain one beside it is gone."""


class KeyState(StrEnum):
    """What may be done with a key. A destroyed one stays known by its name, for the sentence that explains it."""

    ENABLED = "ENABLED"
    DISABLED = "DISABLED"
    DESTROYED = "DESTROYED"


@dataclass(frozen=True, slots=True)
class Key:
    """A named key. `versions` are the numbers of those that there still are, the newest last."""

    name: KeyName
    state: KeyState
    create_time_us: int
    versions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class KeyUse:
    """How many jobs are sealed under a key, searches counted once, and how many of these are not sealed whole yet."""

    jobs: int
    open_jobs: int
    outputs: int = 0  # jobs, some deleted by now, whose output in gs:// is sealed under it


@dataclass(frozen=True, slots=True)
class Output:
    """Where a job writes to: all below `uri` (gs://…/) since then is to be sealed by the data key of `owner`."""

    job: int
    owner: int  # see `lasting`
    uri: str
    since_us: int


def lasting(owner: int) -> int:
    """Whose data key seals the output of a job in gs://: it stays when the job is deleted, as its output does."""
    return -owner


class Opened(bytes):
    """What was sealed, in the clear; or, where its key is not to be had, the outline that was left in the clear."""

    owner: int
    """The job whose data key seals it."""
    locked: str
    """Why it is the outline; empty where it is not."""
    damaged: bool = False
    """Whether that is because it was damaged or changed at rest: then there is no outline either."""


class CannotBlank(OSError):
    """The file system has no way to take bytes out of the middle of a file; nothing was sealed."""


class KeyRing(Protocol):
    """Keeps keys and never gives one away: it wraps and unwraps short contents, as a key management service does."""

    def create(self, name: KeyName, now_us: int) -> Key:
        """A new key with its first version; raises AlreadyExists, also where a destroyed key had the name."""

    def find(self, name: KeyName) -> Key | None:
        """The key; None where there was never one of this name."""

    def listed(self) -> tuple[Key, ...]:
        """All keys in order of name, destroyed ones too."""

    def add_version(self, name: KeyName, now_us: int) -> Key:
        """One more version, with which `wrap` wraps from now on. Raises NotFound, FailedPrecondition."""

    def keep_newest(self, name: KeyName) -> Key:
        """Destroy all versions but the newest. Raises NotFound."""

    def set_enabled(self, name: KeyName, *, enabled: bool) -> Key:
        """Let the key be used, or not. Raises NotFound, and FailedPrecondition on a destroyed one."""

    def destroy(self, name: KeyName) -> Key:
        """Destroy all versions, for ever; may be repeated. Raises NotFound."""

    def wrap(self, name: KeyName, content: bytes, context: bytes) -> tuple[int, bytes]:
        """The version used, and the content wrapped, to be unwrapped only with the same context.

        Raises NotFound, FailedPrecondition.
        """

    def unwrap(self, name: KeyName, version: int, wrapped: bytes, context: bytes) -> bytes:
        """What was wrapped. Raises NotFound, FailedPrecondition, and Internal where it was tampered with."""


class Seals(Protocol):
    """The part of a Vault that keepers of a job's content need. `owner` is the id of the job whose data key it is."""

    in_use: bool
    """Whether anything was ever sealed."""

    def why_locked(self, owner: int) -> str:
        """One sentence saying why nothing of this owner can be opened; empty where it can."""

    def seal(self, owner: int, content: bytes | str, outline: bytes = b"") -> bytes:
        """The content sealed, behind MARK; `outline` is shown in its place when the key is not to be had.

        Raises FailedPrecondition where the owner is locked.
        """

    def opened(self, value: bytes) -> Opened | str:
        """What `seal` was given, or the outline where it is locked. Raises Internal where it was damaged or changed."""

    def seal_file(self, owner: int, plain: str) -> None:
        """Replace a file by its sealed form, whole or not at all; may be repeated after any crash.

        Raises FailedPrecondition where the owner is locked, OSError.
        """

    def seal_growth(self, owner: int, plain: str) -> bool:
        """Seal what a file that is still written to has grown by, but its newest moment, and blank it there.

        Its size and offsets stay. Nothing where there is no such file; may be repeated after any crash. True: there is
        more to be sealed at once. Raises FailedPrecondition where the owner is locked, OSError, Internal, and
        CannotBlank where the file's system has no way to do it.
        """

    def mended(self, plain: str, offset: int, content: bytes) -> bytes:
        """What was written where a reader has just found `content` in the file: some of it may be blanked by now.

        Costs two looks where nothing of it is sealed. Raises FailedPrecondition where it is locked, Internal.
        """

    def size_of(self, plain: str) -> int:
        """The size that the file of this name had when it was sealed. Raises FileNotFoundError."""

    def read_file(self, plain: str, offset: int, size: int) -> bytes:
        """Up to `size` bytes of it. Raises FileNotFoundError, FailedPrecondition where it is locked, Internal."""


class Vault(Seals, Protocol):
    """One data key for each job (for a search and all of its trials together), wrapped by the key that the job names.

    Keys themselves are made and destroyed through it, too: it sees to what that means for what is sealed.
    """

    def admit(self, owner: int, scope: Scope, key: str) -> None:
        """Make the data key of a job of this scope that names this key, durable when it returns.

        Raises InvalidArgument on a malformed name or another region, NotFound, FailedPrecondition.
        """

    def pending(self) -> tuple[int, ...]:
        """Owners that may still have something in the clear, oldest first. Costs nothing where there are none."""

    def all_sealed(self, owner: int) -> None:
        """Nothing of this owner is in the clear any more; durable when it returns."""

    def drop(self, owner: int) -> None:
        """The job is gone: its data key goes, too, but not the `lasting` one. May be repeated."""

    def expect_output(self, owner: int, job: int, uri: str, since_us: int) -> None:
        """Make the `lasting` data key of this owner, and note what it is to seal; durable when it returns.

        May be repeated. Raises NotFound, FailedPrecondition where the owner is locked.
        """

    def outputs(self) -> tuple[Output, ...]:
        """What is noted and may not be sealed yet. Costs nothing."""

    def output_sealed(self, job: int) -> None:
        """What was noted of this job is sealed, or gone; durable when it returns."""

    def key_of(self, owner: int) -> str:
        """The name of the key that wraps the data key of this owner; empty where there is none."""

    def listed(self) -> tuple[Key, ...]:
        """See KeyRing."""

    def key(self, name: KeyName) -> Key:
        """The key; raises NotFound."""

    def use_of(self, name: KeyName) -> KeyUse:
        """How much is sealed under it."""

    def create(self, name: KeyName, now_us: int) -> Key:
        """See KeyRing."""

    def rotate(self, name: KeyName, now_us: int) -> Key:
        """A new version; every data key is wrapped anew by it, then the versions before are destroyed.

        Raises NotFound, FailedPrecondition.
        """

    def set_enabled(self, name: KeyName, *, enabled: bool) -> Key:
        """See KeyRing; raises FailedPrecondition, too, on disabling one whose jobs are not sealed whole yet."""

    def destroy(self, name: KeyName) -> Key:
        """See KeyRing; all data keys under it go with it, for ever."""

    def owners(self, name: KeyName | None = None) -> tuple[int, ...]:
        """The jobs that are sealed under it, or under any, without trials."""

    def is_shredded(self, owner: int) -> bool:
        """Whether the key of this owner was destroyed, so that its content is to be gone for good."""


class Renews(Protocol):
    """The part of a store that hears of keys."""

    async def renew(self, owners: Sequence[int]) -> None:
        """The jobs that these seal, trials too, read otherwise: their key is gone or back. Each has a new revision."""


def key_missing(name: KeyName) -> NotFound:
    """The error for a key that there never was, which says how to make it."""
    return NotFound(
        f"The key {name} does not exist. Create it (trainyard keys create {name.ring}/{name.id} --project "
        f"{name.scope.project} --region {name.scope.location}), or name another one."
    )


def key_taken(name: KeyName) -> AlreadyExists:
    """The error for a name that a key has, or had."""
    return AlreadyExists(f"The key {name} exists already, or did: names of destroyed keys are not given again.")


def key_unusable(name: KeyName, state: KeyState) -> FailedPrecondition:
    """The error for a key that cannot be used as it is."""
    way_out = (
        f"Enable it: trainyard keys enable {name.ring}/{name.id}."
        if state is KeyState.DISABLED
        else "What was sealed with it is lost for good; new jobs need another key."
    )
    return FailedPrecondition(f"The key {name} is {state.lower()}. {way_out}")
