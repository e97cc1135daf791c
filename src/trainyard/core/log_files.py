"""Where the bytes of a replica's output lie, shared by the agent that writes them and the log book that reads them.

`<root>/<job id>/<attempt>.<replica>.<incarnation>/` holds `stdout`, `stderr` (the exact bytes, nothing else) and
`index`: fixed records (time in microseconds since the epoch, stream, end offset of that stream at that time),
appended in order of arrival, which gives lines their times and the two streams their order.

The directory and its files are made with their first byte: a replica that says nothing leaves nothing here.
The agent writes bytes to the stream first and their record to the index after. When the incarnation's output is
complete (both pipes at their end, the last record written) it makes the empty file `closed`; from then on nothing in
the directory changes, and a last line without its line end may be shown. Whoever finds an agent lost makes `closed`
in its stead. The log book closes no directory itself.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # the agent reads this module too, and pathlib would be a third of its start-up time
    from pathlib import Path

STREAMS: Final = ("stdout", "stderr")
INDEX: Final = "index"
CLOSED: Final = "closed"  # empty file: this incarnation's output is complete
LAST_BYTES: Final = 2048  # of a stream: what its last lines are looked for in
INDEX_RECORD: Final = struct.Struct("<QQ")  # time_us, end_offset << 1 | stream number


def replica_directory(root: Path, job_id: int, attempt: int, replica: str, incarnation: int) -> Path:
    """The directory of one incarnation's output."""
    return root.joinpath(str(job_id), directory_name(attempt, replica, incarnation))


def directory_name(attempt: int, replica: str, incarnation: int) -> str:
    """How that directory is called: one level, since every directory costs a start more than writing to it does."""
    return f"{attempt}.{replica}.{incarnation}"


def read_directory_name(name: str) -> tuple[int, str, int] | None:
    """Attempt, replica and incarnation of a name that `directory_name` gave; None for any other."""
    attempt, _, rest = name.partition(".")
    replica, _, incarnation = rest.rpartition(".")
    if not (replica and name.isascii() and attempt.isdecimal() and incarnation.isdecimal()):
        return None
    return int(attempt), replica, int(incarnation)


def index_record(time_us: int, stream: int, end_offset: int) -> bytes:
    """Sixteen bytes saying that `stream` (0 stdout, 1 stderr) was `end_offset` bytes long at `time_us`."""
    return INDEX_RECORD.pack(time_us, end_offset << 1 | stream)


def last_lines(content: bytes) -> str:
    """The last five lines of the end of a stream, cut to whole characters: what the sentence about an end quotes."""
    lines = content.decode(errors="replace").splitlines()
    return "\n".join(lines[-5:]).strip()
