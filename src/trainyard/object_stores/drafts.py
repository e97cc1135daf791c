"""Drafts: bytes with their digests, kept under an id for as long as somebody may go on with them."""

from __future__ import annotations

import base64
import contextlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from trainyard.core.clock import MICROSECONDS, Clock
from trainyard.core.errors import NotFound
from trainyard.object_stores.bytes_kept import Bytes, Loose
from trainyard.object_stores.catalogue import Catalogue
from trainyard.object_stores.digests import Digests, digests_of
from trainyard.objects import Draft, HashMismatch

KEPT_US: Final = 7 * 24 * 3600 * MICROSECONDS
"""How long an upload may rest (https://cloud.google.com/storage/docs/resumable-uploads)."""


MOST_AT_HAND: Final = 64
"""How many kept drafts hold a descriptor; any number may rest on the disk."""


class KeptDraft:
    """See trainyard.objects.Draft."""

    def __init__(self, draft_id: str, loose: Loose, size: int, digests: Digests | None) -> None:
        """`digests` None: of bytes that an earlier process took; they are read again when they are needed."""
        self.id = draft_id
        self.loose = loose
        self.size = size
        self.placed = False
        self._digests = digests

    def write(self, data: bytes) -> None:
        """Append."""
        self.loose.write(data)
        self.size += len(data)
        if self._digests is not None:
            self._digests.add(data)

    def want_md5(self) -> None:
        """Also where it grows large."""
        if self._digests is not None:
            self._digests.always_md5 = True

    def adopt(self, digests: Digests) -> None:
        """The digests are known, the bytes having come from an object."""
        self._digests = digests
        self.size = digests.size

    def read(self, offset: int, size: int) -> bytes:
        """What was written."""
        return self.loose.read(offset, size)

    @property
    def crc32c(self) -> int:
        """Of what was written so far."""
        return self.digests().crc32c

    def discard(self) -> None:
        """Forget the bytes."""
        self.loose.discard()

    def digests(self, *, md5: bool = False) -> Digests:
        """Those of all that was written; read again where they are not known. `md5`: also that of a large one."""
        if self._digests is None or (md5 and self._digests.md5 is None):
            self._digests = digests_of(self.loose.read, self.size, md5=md5)
        return self._digests

    def verify(self, crc32c: int | None, md5: bytes | None) -> None:
        """Raises HashMismatch."""
        digests = self.digests(md5=md5 is not None)
        if crc32c is not None and crc32c != digests.crc32c:
            raise _mismatch("CRC32C", crc32c.to_bytes(4, "big"), digests.crc32c.to_bytes(4, "big"))
        if md5 is not None and md5 != digests.md5:
            raise _mismatch("MD5", md5, digests.md5 or b"")


class Drafts:
    """All drafts of a store; those that were kept survive it."""

    def __init__(self, kept: Bytes, catalogue: Catalogue, clock: Clock) -> None:
        """Forget what nobody can go on with."""
        self._bytes = kept
        self._catalogue = catalogue
        self._clock = clock
        self._lock = threading.Lock()
        self._at_hand: OrderedDict[str, KeptDraft] = OrderedDict()
        self._sweep()

    def new(self) -> KeptDraft:
        """An empty one."""
        draft_id = secrets.token_urlsafe(24)
        return KeptDraft(draft_id, self._bytes.loose(draft_id), 0, Digests())

    def keep(self, draft: Draft, state: Mapping[str, Any]) -> None:
        """Bytes first, then the note that counts them."""
        assert isinstance(draft, KeptDraft)
        if draft.placed:
            with self._lock:
                self._at_hand.pop(draft.id, None)
        else:
            draft.loose.flush()
            with self._lock:
                self._have(draft)
        self._catalogue.write_draft(draft.id, draft.size, state, self._clock.now_us())

    def kept(self, draft_id: str) -> tuple[KeptDraft | None, Mapping[str, Any]]:
        """As it was kept, what was written since cut off where another process wrote it."""
        size, state = self._catalogue.read_draft(draft_id)
        with self._lock:
            draft = self._at_hand.get(draft_id)
            if draft is None:
                with contextlib.suppress(NotFound):
                    draft = KeptDraft(draft_id, self._bytes.loose(draft_id, size), size, None)
                    self._have(draft)
        return draft, state

    def _have(self, draft: KeptDraft) -> None:
        """Keep it open with its digests, and let go of the one that rested longest where there are many."""
        self._at_hand[draft.id] = draft
        self._at_hand.move_to_end(draft.id)
        while len(self._at_hand) > MOST_AT_HAND:
            self._at_hand.popitem(last=False)

    def forget(self, draft_id: str) -> None:
        """Note and bytes."""
        with self._lock:
            draft = self._at_hand.pop(draft_id, None)
        if draft is None:
            with contextlib.suppress(NotFound):
                draft, _ = self.kept(draft_id)
        if draft is not None:
            draft.discard()
        with self._lock:
            self._at_hand.pop(draft_id, None)
        self._catalogue.remove_draft(draft_id)

    def _sweep(self) -> None:
        known = self._catalogue.drafts()
        for draft_id in self._bytes.loose_ids():
            if draft_id not in known:
                self._bytes.loose(draft_id, 0).discard()
        oldest = self._clock.now_us() - KEPT_US
        for draft_id, kept_us in known.items():
            if kept_us < oldest:
                self.forget(draft_id)


def _mismatch(kind: str, provided: bytes, calculated: bytes) -> HashMismatch:
    said, is_ = base64.b64encode(provided).decode(), base64.b64encode(calculated).decode()
    return HashMismatch(f'Provided {kind} "{said}" doesn\'t match calculated {kind} "{is_}".')
