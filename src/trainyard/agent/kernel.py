"""The three system calls that the standard library lacks, each degrading to what the library has."""

from __future__ import annotations

import ctypes
import os
import struct

_PR_SET_CHILD_SUBREAPER = 36
_SYS_WAITID = {"x86_64": 247, "aarch64": 95, "riscv64": 95, "ppc64le": 272, "s390x": 281, "loongarch64": 95}
_SIGINFO_BYTES = 128
_RUSAGE = struct.Struct("@18l")  # two timevals of two longs and fourteen longs, <sys/resource.h>
_SI_PID, _SI_STATUS = 12 + 4 * (ctypes.sizeof(ctypes.c_long) == 8), 20 + 4 * (ctypes.sizeof(ctypes.c_long) == 8)
_libc = ctypes.CDLL(None, use_errno=True)
_waitid_number = _SYS_WAITID.get(os.uname().machine) if ctypes.sizeof(ctypes.c_long) == 8 else None


class Ended:
    """How a child ended, while it is still unreaped. `peak_memory_bytes` is the largest process of its tree."""

    __slots__ = ("code", "core_dumped", "cpu_seconds", "peak_memory_bytes", "signal")

    def __init__(self, how: int, status: int, cpu_seconds: float | None, peak_memory_bytes: int | None) -> None:
        """`how` is siginfo's si_code, `status` its si_status (waitid(2))."""
        exited = how == os.CLD_EXITED
        self.code = status if exited else 128 + status  # as a shell gives it
        self.signal = None if exited else status
        self.core_dumped = how == os.CLD_DUMPED
        self.cpu_seconds = cpu_seconds
        self.peak_memory_bytes = peak_memory_bytes


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


def ended(pid: int) -> Ended | None:
    """How our child `pid` ended, leaving it unreaped; None while it runs. Raises ChildProcessError if it is not ours.

    The raw call fills in the child's resource use even with WNOWAIT, which neither os.waitid nor wait4 can.
    The kernel counts a process's peak memory from before its exec, so it is never below the agent's own few MB.
    """
    if _waitid_number is None:
        seen = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return Ended(seen.si_code, seen.si_status, None, None) if seen else None
    info, usage = ctypes.create_string_buffer(_SIGINFO_BYTES), ctypes.create_string_buffer(_RUSAGE.size)
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    if _libc.syscall(_waitid_number, int(os.P_PID), pid, info, flags, usage) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))  # OSError makes it a ChildProcessError for ECHILD
    if struct.unpack_from("@i", info, _SI_PID)[0] == 0:
        return None
    how, status = struct.unpack_from("@i", info, 8)[0], struct.unpack_from("@i", info, _SI_STATUS)[0]
    used = _RUSAGE.unpack(usage)
    return Ended(how, status, used[0] + used[2] + (used[1] + used[3]) / 1e6, used[4] * 1024)
