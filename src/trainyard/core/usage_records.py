"""What a replica used, as the agent that samples it and the service that shows it both read it.

The file `usage` lies beside the replica's output (core/log_files.py) and is a sequence of fixed records, appended in
order of time. The first is of the program's start, all zero, and comes with the second: who ends before the first
interval is over leaves no file. A torn record, and one that a power cut has left without its content, count as none.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

USAGE: Final = "usage"
RECORD: Final = struct.Struct("<6Q2I")
NO_GPU: Final = 0xFFFF_FFFF  # in the place of the percentage
_NO_TIME_US: Final = 253_402_300_800_000_000  # the year 10000


class Sample(NamedTuple):
    """What was used up to one moment, or is in use then. Sizes are bytes, times microseconds.

    `cpu_us`, `read_bytes` and `written_bytes` (of disks) count from the program's start, ended processes included;
    the others are of the moment: resident memory, memory of its GPUs, number of processes, and how busy its GPUs
    were (100 for each that was busy all the time; None where it has none).
    """

    time_us: int
    cpu_us: int = 0
    memory_bytes: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    gpu_memory_bytes: int = 0
    processes: int = 0
    gpu_percent: int | None = None


def packed(sample: Sample) -> bytes:
    """The record of a sample."""
    gpu = NO_GPU if sample.gpu_percent is None else sample.gpu_percent
    return RECORD.pack(*sample[:6], sample.processes, gpu)


def samples(content: bytes) -> Iterator[Sample]:
    """The samples of a file, in its order."""
    whole = len(content) - len(content) % RECORD.size
    for time_us, cpu_us, memory, read, written, gpu_memory, processes, gpu in RECORD.iter_unpack(content[:whole]):
        if 0 < time_us < _NO_TIME_US:
            percent = None if gpu == NO_GPU else gpu
            yield Sample(time_us, cpu_us, memory, read, written, gpu_memory, processes, percent)
