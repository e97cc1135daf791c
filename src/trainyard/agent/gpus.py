"""How busy NVIDIA devices are, asked of the driver's own library, which may never answer: nobody waits for it long.

The functions are those of NVML (nvml.h: nvmlInit_v2, nvmlDeviceGetUtilizationRates, nvmlDeviceGetMemoryInfo), which
comes with the driver. Each look is a thread of its own; while one is stuck in the driver, no other is begun.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable

_LIBRARY = "libnvidia-ml.so.1"
_PATIENCE_SECONDS = 0.5


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class Gpus:
    """The devices of one replica, by index in the order of the bus or by UUID, as CUDA_VISIBLE_DEVICES names them."""

    def __init__(self, names: list[str]) -> None:
        """Nothing is loaded before the first look."""
        self._names = names
        self._library: ctypes.CDLL | None = None
        self._thread: threading.Thread | None = None
        self._newest: tuple[int | None, int] = (None, 0)

    def look(self) -> tuple[int | None, int]:
        """Per cent busy, summed up (None: it is not known), and bytes in use; of before, where the driver is slow."""
        self._begin(self._read)
        return self._newest

    def close(self) -> None:
        """Let the library go."""
        if self._library is not None:
            self._begin(self._library.nvmlShutdown)

    def _begin(self, work: Callable[[], object]) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=work, daemon=True)
            self._thread.start()
        self._thread.join(_PATIENCE_SECONDS)

    def _read(self) -> None:
        try:
            if self._library is None:
                library = ctypes.CDLL(_LIBRARY)
                if library.nvmlInit_v2() != 0:
                    return
                self._library = library
            read = [self._device(self._library, name) for name in self._names]
        except (OSError, AttributeError):  # no driver, or one without these functions
            return
        known = [percent for percent, _ in read if percent is not None]
        self._newest = (sum(known) if known else None), sum(used for _, used in read)

    def _device(self, library: ctypes.CDLL, name: str) -> tuple[int | None, int]:
        device, busy, memory = ctypes.c_void_p(), _Utilization(), _Memory()
        if name.isdecimal():
            found = library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(int(name)), ctypes.byref(device))
        else:
            found = library.nvmlDeviceGetHandleByUUID(name.encode(), ctypes.byref(device))
        if found != 0:
            return None, 0
        told = library.nvmlDeviceGetUtilizationRates(device, ctypes.byref(busy)) == 0
        library.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory))
        return (busy.gpu if told else None), memory.used
