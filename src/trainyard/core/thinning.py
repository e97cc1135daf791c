"""Keeps a bounded number of the items that it is given, evenly chosen, without knowing how many will come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Thinned(Generic[Item]):
    """Every stride-th item, beginning with the first, and always the newest: at most `most`, which is 2 or more."""

    def __init__(self, most: int) -> None:
        """Nothing is kept yet."""
        self.count = 0
        self._most = most
        self._kept: list[tuple[int, Item]] = []  # with the place of each
        self._stride = 1

    def add(self, item: Item) -> None:
        """One more."""
        if self._kept and self._kept[-1][0] % self._stride:
            self._kept.pop()
        self._kept.append((self.count, item))
        self.count += 1
        if len(self._kept) > self._most:
            self._stride *= 2
            newest = self._kept[-1]
            self._kept = [one for one in self._kept[:-1] if one[0] % self._stride == 0] + [newest]

    def __iter__(self) -> Iterator[Item]:
        """What is kept, in order."""
        return (item for _, item in self._kept)
