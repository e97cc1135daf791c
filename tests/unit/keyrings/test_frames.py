"""Sealed files: any range comes back, and nothing that was changed, cut off or swapped does."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from trainyard.core.errors import Internal
from trainyard.keyrings import frames
from trainyard.keyrings.frames import FRAME_BYTES

KEY = bytes(range(32))
SIZES = (0, 1, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 3 * FRAME_BYTES + 77)


def sealed(path: Path, content: bytes, key: bytes = KEY) -> Path:
    """A sealed file of this content, of owner 7."""
    plain, target = path / "plain", path / "sealed"
    plain.write_bytes(content)
    with plain.open("rb") as source, target.open("wb") as out:
        frames.write(source, out, 7, key)
    return target


def read(path: Path, offset: int, size: int, key: bytes = KEY) -> bytes:
    """A range of it."""
    with path.open("rb") as file:
        return frames.read(file, lambda owner: key if owner == 7 else b"", offset, size)


@pytest.mark.parametrize("size", SIZES)
def test_every_range_is_what_it_was(tmp_path: Path, size: int) -> None:
    """Ranges within, across and behind frames, and the size itself, are those of the plain file."""
    content = random.Random(size).randbytes(size)
    path = sealed(tmp_path, content)
    with path.open("rb") as file:
        assert frames.header_of(file).size == size
    edges = sorted({0, 1, size // 2, max(0, size - 1), size, size + 5, FRAME_BYTES, FRAME_BYTES - 1})
    for offset in edges:
        for length in (0, 1, FRAME_BYTES, size + 1):
            assert read(path, offset, length) == content[offset : offset + length]


def test_nothing_of_it_can_be_read_in_the_file(tmp_path: Path) -> None:
    """The content is not in the bytes on the disk; two files of one content have nothing in common."""
    content = b"the secret line\n" * 1000
    first = sealed(tmp_path, content).read_bytes()
    second = sealed(tmp_path, content).read_bytes()
    assert b"secret" not in first
    assert first[37:] != second[37:]


@pytest.mark.parametrize("at", [5, 13, 21, 37, 37 + FRAME_BYTES + 16, -1])
def test_a_changed_byte_is_found(tmp_path: Path, at: int) -> None:
    """In owner, size, salt or any frame: what was changed gives an error, never other bytes."""
    path = sealed(tmp_path, bytes(2 * FRAME_BYTES))
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(Internal):
        read(path, 0, 2 * FRAME_BYTES, KEY if at != 5 else bytes(32))


@pytest.mark.parametrize("left", [0, 4, 36, 37, 37 + FRAME_BYTES + 16, 37 + 2 * (FRAME_BYTES + 16) - 1])
def test_a_cut_file_is_found(tmp_path: Path, left: int) -> None:
    """Wherever it was cut, also between two frames; a file that is none at all, too."""
    path = sealed(tmp_path, bytes(2 * FRAME_BYTES))
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(Internal, match="cut off"):
        read(path, 0, 1)


def test_frames_that_changed_places_are_found(tmp_path: Path) -> None:
    """A frame opens only where it was."""
    path = sealed(tmp_path, bytes(FRAME_BYTES) + bytes(range(256)) * (FRAME_BYTES // 256))
    content = path.read_bytes()
    step = FRAME_BYTES + 16
    path.write_bytes(content[:37] + content[37 + step :] + content[37 : 37 + step])
    with pytest.raises(Internal):
        read(path, 0, 1)


def test_a_file_that_shrinks_meanwhile_is_not_sealed(tmp_path: Path) -> None:
    """Nothing is made up for what is not there any more."""

    class Shrinking(io.FileIO):
        def read(self, size: int = -1) -> bytes:
            return super().read(max(0, size - 1))

    (tmp_path / "plain").write_bytes(b"abc")
    with (
        Shrinking(tmp_path / "plain") as source,
        (tmp_path / "out").open("wb") as out,
        pytest.raises(OSError, match="shorter"),
    ):
        frames.write(cast(BinaryIO, source), out, 7, KEY)
