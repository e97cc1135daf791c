"""Lists: one page of jobs, newest first, of one scope, that match a filter, cut down to a read mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trainyard.contract.masks import BadMask, Mask, mask_for
from trainyard.contract.pool import message_class
from trainyard.contract.remembered import Remembered
from trainyard.contract.wire_page import WirePage
from trainyard.core.errors import FieldViolation, InvalidArgument
from trainyard.core.filters import parse_filter
from trainyard.core.jobs import Job
from trainyard.core.names import Scope
from trainyard.core.paging import page_size, read_token, write_token
from trainyard.kind import Kind
from trainyard.service.rendering import listed, snake, stored_message
from trainyard.store import Desk

MOST_SEEN = 16 << 20  # bytes
LONGEST_SEEN = 4 * 1024  # bytes of one job
_OF_THE_ANSWER = frozenset({"next_page_token", "nextPageToken"})  # always given, asked for or not


class Seen:
    """The jobs of the last pages in wire bytes: those that have not changed since are not rendered again."""

    def __init__(self, most_bytes: int = MOST_SEEN) -> None:
        """Nothing yet."""
        self._wires: Remembered[tuple[str, int, int]] = Remembered(most_bytes, LONGEST_SEEN)

    def forget(self) -> None:
        """All of them."""
        self._wires.clear()

    def wire(self, kind: Kind, job: Job) -> bytes:
        """What `kind` makes of the job; a job that is written has another revision, and is made anew."""
        key = (kind.collection, job.id, job.revision)
        known = self._wires.get(key)
        return self._wires.put(key, listed(kind, job).SerializeToString()) if known is None else known


async def page(desk: Desk, kind: Kind, request: Any, seen: Seen) -> Any:
    """The List…Response of the stored version, in wire bytes where it is of whole resources.

    Raises InvalidArgument on a bad filter, token, size or mask.
    """
    scope = Scope.parse(request.parent)
    wanted = parse_filter(request.filter)
    size = page_size(request.page_size)
    context = (str(scope), kind.collection, request.filter)
    after = read_token(request.page_token, *context)
    answer = stored_message(f"List{kind.message_name}sResponse")
    field = answer.DESCRIPTOR.fields_by_name[snake(kind.collection)]
    mask = read_mask(request.read_mask.paths, field)
    found = await desk.page(scope, kind.collection, wanted, size, after)
    token = write_token(found.next_after, *context)
    if mask is None:
        return WirePage(answer.DESCRIPTOR.full_name, tuple(seen.wire(kind, job) for job in found.jobs), token)
    getattr(answer, field.name).extend(mask.of_message(listed(kind, job)) for job in found.jobs)
    answer.next_page_token = token
    return answer


def read_mask(paths: Sequence[str], items: Any) -> Mask | None:
    """What is wanted of each resource (https://google.aip.dev/157); None for everything.

    Paths may start at the resource (`name`) as well as at the answer (`customJobs.name`), whose field `items` is.
    Raises InvalidArgument on a field that there is not.
    """
    wanted = []
    for path in paths:
        head, _, rest = path.partition(".")
        below = rest if head in (items.name, items.json_name) else path
        if below in ("", "*"):
            return None
        if below not in _OF_THE_ANSWER:
            wanted.append(below)
    if not wanted:
        return None
    try:
        return mask_for(",".join(wanted), message_class(items.message_type.full_name))
    except BadMask as error:
        raise InvalidArgument(str(error), [FieldViolation("read_mask", str(error))]) from None
