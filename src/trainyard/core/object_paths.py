"""A gs:// object and the file it lies in: one lossless mapping, so that jobs and people and the endpoint see the same.

`gs://bucket/a/b.txt` is the file `<buckets>/bucket/a/b.txt`. A component that cannot be a file name as it is gets the
mark `.%` in front, which also hides it from globs and listings:

    empty (`a//b`, and the folder marker `a/`)      .%
    `.` and `..`                                    .%.  and  .%..
    one that holds NUL or begins with `.%`          .% and the component, % as %25 and NUL as %00
    one over 255 bytes                              pieces of at most 240 bytes as nested directories, each but the
                                                    last ending in %~
    the object `a` where `a/` is a directory        a/.%%self

Every name has exactly one path (two where the last rule may apply) and every path at most one name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from trainyard.core.errors import InvalidArgument

MARK: Final = ".%"
SELF: Final = ".%%self"
"""The object whose name is a directory's; no escaped component looks like this, % being followed by a digit there."""
DRAFT: Final = ".%%draft-"
"""What begins so is a file on its way; it is never an object."""
CONTINUES: Final = "%~"
MOST_NAME_BYTES: Final = 1024
MOST_COMPONENT_BYTES: Final = 255
_PIECE_BYTES: Final = 240
_BUCKET: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,220}[a-z0-9])?\Z")
_ATOM: Final = re.compile(r"%[0-9A-F]{2}|[^%]", re.DOTALL)


def bucket_and_prefix(uri: str) -> tuple[str, str]:
    """Of gs://bucket/prefix, as it is."""
    bucket, _, prefix = uri.removeprefix("gs://").partition("/")
    return bucket, prefix


def check_bucket(bucket: str) -> str:
    """The name of a bucket, as it is; raises InvalidArgument where it cannot be one."""
    if not _BUCKET.match(bucket):
        raise InvalidArgument(f"Invalid bucket name: '{bucket}'")
    return bucket


def check_object(name: str) -> str:
    """The name of an object, as it is; raises InvalidArgument.

    The rules: https://cloud.google.com/storage/docs/objects#naming.
    """
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise InvalidArgument(f"The object name {name!r} is not valid UTF-8.") from None
    if not name:
        raise InvalidArgument("Required: the name of the object.")
    if size > MOST_NAME_BYTES:
        raise InvalidArgument(
            f"The maximum object length is {MOST_NAME_BYTES} bytes, but got a name with {size} bytes."
        )
    if name in (".", "..") or "\r" in name or "\n" in name:
        raise InvalidArgument(f"Invalid object name: {name!r}; '.', '..' and names with line ends are not allowed.")
    return name


def object_path(name: str) -> tuple[str, ...]:
    """The components of the path of an object below its bucket; raises InvalidArgument as `check_object`."""
    parts: list[str] = []
    for component in check_object(name).split("/"):
        if _plain(component):
            parts.append(component)
        else:
            parts.extend(_escaped(component))
    return tuple(parts)


def object_name(parts: Sequence[str]) -> str | None:
    """The object that lies at a path below its bucket; None where no object can lie there."""
    own = parts[:-1] if parts and parts[-1] == SELF else parts
    if not own:
        return None
    pieces: list[str] = []
    body = ""
    for part in own:
        text = component_body(part)
        if text is None:
            return None
        body += text
        if not continues(part):
            pieces.append(body)
            body = ""
    name = "/".join(pieces)
    try:
        return name if object_path(name) == tuple(own) else None
    except InvalidArgument:
        return None


def component_body(part: str) -> str | None:
    """What one component of a path stands for; None where it stands for nothing."""
    if not part.startswith(MARK):
        return part
    core = part[len(MARK) :].removesuffix(CONTINUES)
    if "".join(_ATOM.findall(core)) != core:
        return None
    return core.replace("%00", "\x00").replace("%25", "%")


def continues(part: str) -> bool:
    """Whether a component of a path holds only the beginning of one: the next one goes on with it."""
    return part.startswith(MARK) and part.endswith(CONTINUES)


def object_files(buckets: Path, bucket: str, name: str) -> tuple[Path, Path]:
    """The two places where an object may lie: as a file of its name, or inside the directory of its name."""
    plain = buckets.joinpath(check_bucket(bucket), *object_path(name))
    return plain, plain / SELF


def after_all(prefix: str) -> str | None:
    """The least text that is greater than every text with the prefix; None where there is none."""
    for at in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[at])
        if code < 0x10FFFF:
            return prefix[:at] + chr(0xE000 if code == 0xD7FF else code + 1)
    return None


def _plain(component: str) -> bool:
    return (
        component not in ("", ".", "..")
        and not component.startswith(MARK)
        and "\x00" not in component
        and len(component.encode()) <= MOST_COMPONENT_BYTES
    )


def _escaped(component: str) -> list[str]:
    pieces = [""]
    size = 0
    for atom in _ATOM.findall(component.replace("%", "%25").replace("\x00", "%00")):
        width = len(atom.encode())
        if size + width > _PIECE_BYTES:
            pieces.append("")
            size = 0
        pieces[-1] += atom
        size += width
    return [*(f"{MARK}{piece}{CONTINUES}" for piece in pieces[:-1]), MARK + pieces[-1]]
