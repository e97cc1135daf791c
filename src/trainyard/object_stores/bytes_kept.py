"""What a keeper of bytes must do; generations, conditions, versions and metadata are made of it once, in kept.py.

Bytes under a name carry a stamp: other bytes, another stamp. Anybody may put bytes there past the endpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from trainyard.objects import Reader


@dataclass(frozen=True, slots=True)
class Sight:
    """What is there now."""

    stamp: str
    size: int
    changed_us: int
    touched_us: int = 0  # when anything of them was changed last, their time of change included; 0: nobody knows


class Loose(Protocol):
    """Bytes that are not placed yet. Raises OSError where they cannot be written."""

    def write(self, data: bytes) -> None:
        """Append."""

    def flush(self) -> None:
        """Make durable what was appended."""

    def read(self, offset: int, size: int) -> bytes:
        """What was appended, again."""

    def discard(self) -> None:
        """Forget them; may be repeated, and does nothing to placed bytes."""


class Bytes(Protocol):
    """Bytes by bucket and object name. A bucket or name that is not there raises NotFound."""

    def buckets(self) -> Sequence[str]:
        """Names of the buckets that exist."""

    def made_us(self, bucket: str) -> int:
        """About when the bucket was made."""

    def make_bucket(self, bucket: str) -> None:
        """Durably; may be repeated."""

    def remove_bucket(self, bucket: str) -> bool:
        """Remove it where it is empty; whether it was."""

    def look(self, bucket: str, name: str) -> Sight | None:
        """What is there now."""

    def open(self, bucket: str, name: str) -> tuple[Sight, Reader]:
        """The bytes that are there now."""

    def names(self, bucket: str, start: str, prefix: str, delimiter: str) -> Iterator[str]:
        """Names with the prefix from `start` on, in order.

        What has the delimiter behind the prefix may come as one name that ends in it and stands for all of them.
        """

    def loose(self, loose_id: str, size: int | None = None) -> Loose:
        """New ones (`size` None), or those of an earlier process, cut to `size` bytes."""

    def loose_ids(self) -> Sequence[str]:
        """Ids of all that there are."""

    def place(self, loose: Loose, where: tuple[str, str], time_us: int, record: Callable[[str], None]) -> str:
        """Put loose bytes under a bucket's name, whole and durable, in place of what is there; their stamp.

        `record(stamp)` makes the row for the stamp durable; where the keeper can, it is called before the bytes are
        seen, so that no crash parts the two. What it raises leaves everything as it was.
        """

    def copy(self, source: Reader, size: int, loose: Loose) -> None:
        """Append all bytes of a reader to loose ones, by the shortest way there is."""

    def remove(self, bucket: str, name: str) -> None:
        """Durably; may be repeated."""

    def archive(self, bucket: str, name: str, generation: int) -> None:
        """Keep what is there also as a noncurrent generation."""

    def open_archived(self, bucket: str, name: str, generation: int) -> tuple[Sight, Reader]:
        """The bytes of a noncurrent generation."""

    def remove_archived(self, bucket: str, name: str, generation: int) -> None:
        """Durably; may be repeated."""
