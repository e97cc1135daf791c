"""Bytes that were made before, by what they were made from, never more of them than so many bytes together."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
_BESIDE = 200  # bytes that an entry costs beside its own


class Remembered(Generic[K]):
    """A mapping that forgets what was put first when it grows too large. Not for several threads at once."""

    def __init__(self, most_bytes: int, longest: int) -> None:
        """Nothing yet. What is longer than `longest` bytes is never kept."""
        self._most = most_bytes
        self._longest = longest
        self._known: OrderedDict[K, bytes] = OrderedDict()  # a dict looks for its first key through all that have gone
        self._held = 0

    def get(self, key: K) -> bytes | None:
        """What was put for the key, as long as it is kept."""
        return self._known.get(key)

    def put(self, key: K, made: bytes) -> bytes:
        """Keep it, and give it back."""
        if len(made) > self._longest or key in self._known:
            return made
        self._known[key] = made
        self._held += _size(key, made)
        while self._held > self._most:
            self._held -= _size(*self._known.popitem(last=False))
        return made

    def clear(self) -> None:
        """Forget everything."""
        self._known.clear()
        self._held = 0


def _size(key: object, made: bytes) -> int:
    size = len(made) + _BESIDE
    if isinstance(key, tuple):
        for part in key:
            if isinstance(part, bytes):
                size += len(part)
    return size
