"""The names of a bucket's objects in order of their UTF-8 bytes, straight from its directories, none read in vain.

Siblings are sorted by name, a directory by its name and a slash: what lies in it stands together in that order, so a
walk in depth meets all names in order. Names are compared as text: code points sort as their UTF-8 bytes do.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainyard.core.errors import InvalidArgument
from trainyard.core.object_paths import DRAFT, SELF, after_all, component_body, continues, object_name, object_path
from trainyard.object_stores import tree


@dataclass(frozen=True, slots=True)
class Entry:
    """A file with its object's whole name, or a directory with the beginning that all names in it share."""

    name: str
    parts: tuple[str, ...]
    is_directory: bool


def names(bucket: Path, start: str, prefix: str, delimiter: str = "") -> Iterator[str]:
    """Names with the prefix from `start` on.

    With the delimiter `/` a directory behind the prefix comes as one name, its own with a slash.
    """
    stack = [iter(_entries(bucket, (), "", start, prefix))]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
        elif not entry.is_directory:
            yield entry.name
        elif delimiter == "/" and entry.name.startswith(prefix) and entry.name != prefix:
            if next(names_below(bucket, entry, start), None) is not None:
                yield entry.name
        else:
            stack.append(iter(_entries(bucket, entry.parts, entry.name, start, prefix)))


def names_below(bucket: Path, top: Entry, start: str) -> Iterator[str]:
    """All names in a directory from `start` on."""
    stack = [iter(_entries(bucket, top.parts, top.name, start, top.name))]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
        elif entry.is_directory:
            stack.append(iter(_entries(bucket, entry.parts, entry.name, start, top.name)))
        else:
            yield entry.name


def nameless(bucket: Path, prefix: str) -> Iterator[tuple[str, ...]]:
    """Paths of files in a prefix's directory that are no objects: their names have line ends, are too long, no text.

    Programs know them by their path alone. `prefix` is empty or ends in a slash.
    """
    try:
        stack = [object_path(prefix.removesuffix("/")) if prefix else ()]
    except InvalidArgument:
        return
    while stack:
        parts = stack.pop()
        try:
            with tree.directory(bucket, parts) as fd, os.scandir(fd) as listed:
                inside = [entry for entry in listed if not entry.name.startswith(DRAFT)]
                files = [entry.name for entry in inside if entry.is_file(follow_symlinks=False)]
                stack += [(*parts, entry.name) for entry in inside if entry.is_dir(follow_symlinks=False)]
        except OSError as error:
            if tree.absent(error):
                continue
            raise
        yield from (path for name in files if object_name(path := (*parts, name)) is None)


def _entries(bucket: Path, parts: tuple[str, ...], base: str, start: str, prefix: str) -> Sequence[Entry]:
    """What one directory holds that may have names with the prefix from `start` on, in order."""
    found = sorted(_scan(bucket, parts, base), key=lambda entry: entry.name)
    return [entry for entry in found if _may_match(entry, start, prefix)]


def _may_match(entry: Entry, start: str, prefix: str) -> bool:
    if not entry.is_directory:
        return entry.name >= start and entry.name.startswith(prefix)
    beyond = after_all(entry.name)
    if beyond is not None and beyond <= start:
        return False
    return entry.name.startswith(prefix) or prefix.startswith(entry.name)


def _scan(bucket: Path, parts: tuple[str, ...], base: str) -> Iterator[Entry]:
    """One directory, unsorted; the object of a directory's own name stands beside the directory."""
    try:
        with tree.directory(bucket, parts) as fd, os.scandir(fd) as listed:
            inside = [(entry.name, entry.is_dir(follow_symlinks=False), entry.is_file(follow_symlinks=False))
                      for entry in listed]  # fmt: skip
            selves = {name for name, is_directory, _ in inside if is_directory and _has_self(fd, name)}
    except OSError as error:
        if tree.absent(error):
            return
        raise
    for name, is_directory, is_file in inside:
        path = (*parts, name)
        body = component_body(name)
        if body is None or name.startswith(DRAFT) or not _is_text(name):
            continue
        if is_file and name != SELF and (whole := object_name(path)) is not None:
            yield Entry(whole, path, is_directory=False)
        elif is_directory and continues(name):
            yield from _scan(bucket, path, base + body)
        elif is_directory:
            if name in selves and (whole := object_name(path)) is not None:
                yield Entry(whole, (*path, SELF), is_directory=False)
            yield Entry(f"{base}{body}/", path, is_directory=True)


def _has_self(fd: int, name: str) -> bool:
    found = tree.status(fd, name)
    return found is not None and found[0] != name


def _is_text(name: str) -> bool:
    """Whether a file's name is UTF-8; one that is not cannot be said in JSON, so it is no object."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
