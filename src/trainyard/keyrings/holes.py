"""Bytes taken back out of the middle of a file, its size and all offsets as they were (fallocate(2), PUNCH_HOLE).

What is punched reads as zeros; whole blocks go back to the file system, parts of blocks are overwritten with zeros.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import cache
from typing import Final

_KEEP_SIZE: Final = 0x01
_PUNCH_HOLE: Final = 0x02
_FAR_BEHIND_ANY_END: Final = 1 << 40
_CANNOT: Final = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EFBIG, errno.EINVAL)


def punch(descriptor: int, start: int, stop: int) -> None:
    """Take the bytes from `start` to `stop` out; raises OSError."""
    if start < stop and (failed := _fallocate()(descriptor, start, stop - start)):
        raise OSError(failed, os.strerror(failed))


def can_punch(descriptor: int) -> bool:
    """Whether the file's system can do it; asked where there is nothing to lose. Raises OSError on other troubles."""
    failed = _fallocate()(descriptor, _FAR_BEHIND_ANY_END, 1)
    if failed and failed not in _CANNOT:
        raise OSError(failed, os.strerror(failed))
    return not failed


@cache
def _fallocate() -> Callable[[int, int, int], int]:
    """(descriptor, offset, length) to an error number, or 0; Python has no call for it."""
    import ctypes  # noqa: PLC0415 - only services with sealed jobs need it

    function = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if function is None:
        return lambda *_: errno.ENOSYS
    function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long)  # off_t is a long

    def call(descriptor: int, offset: int, length: int) -> int:
        while function(descriptor, _PUNCH_HOLE | _KEEP_SIZE, offset, length):
            if (failed := ctypes.get_errno()) != errno.EINTR:
                return failed
        return 0

    return call
