"""The raw system calls are given as much room as the kernel fills."""

from __future__ import annotations

import ctypes
import os
import subprocess

import pytest

from trainyard.agent import kernel

MORE_THAN_THE_KERNEL_FILLS = 1024
UNTOUCHED = 0xA5


@pytest.mark.skipif(kernel._waitid_number is None, reason="the raw waitid is not known for this machine")
def test_the_kernel_writes_no_byte_behind_the_buffers_of_waitid() -> None:
    """What it fills in ends where our buffers end: a byte more would break the agent's memory, sooner or later."""
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        info, usage = (
            (ctypes.c_ubyte * MORE_THAN_THE_KERNEL_FILLS)(*([UNTOUCHED] * MORE_THAN_THE_KERNEL_FILLS)) for _ in range(2)
        )
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        assert kernel._libc.syscall(kernel._waitid_number, int(os.P_PID), child.pid, info, flags, usage) == 0
    for buffer, room in ((info, kernel._SIGINFO_BYTES), (usage, kernel._RUSAGE.size)):
        filled = [place for place, byte in enumerate(buffer) if byte != UNTOUCHED]
        assert filled
        assert max(filled) < room
