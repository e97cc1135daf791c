"""Drafts: bytes with their digests, kept under an id for as long as somebody may go on with them."""

from __future__ import annotations

import base64
import contextlib
import secrets
import threading
from collections.abc import Mapping
from typing import Any, Final

from trainyard.core.clock import MICROSECONDS, Clock
from trainyard.core.errors import NotFound
from trainyard.object_stores.bytes_kept import Bytes, Loose
from trainyard.object_stores.catalogue import Catalogue
from trainyard.object_stores.digests import Digests, digests_of
from trainyard.objects import Draft, HashMismatch, Target

KEPT_US: Final = 7 * 24 * 3600 * MICROSECONDS
"""How long an upload may rest (https://cloud.google.com/storage/docs/resumable-uploads)."""


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

    def discard(self) -> None:
        """Forget the bytes."""
        self.loose.discard()

    def verified(self, target: Target) -> Digests:
        """The digests; raises HashMismatch where they are not those that the sender computed."""
        digests = self._digests
        if digests is None or (target.md5 is not None and digests.md5 is None):
            digests = self._digests = digests_of(self.loose.read, self.size, md5=target.md5 is not None)
        if target.crc32c is not None and target.crc32c != digests.crc32c:
            raise _mismatch("CRC32C", target.crc32c.to_bytes(4, "big"), digests.crc32c.to_bytes(4, "big"))
        if target.md5 is not None and target.md5 != digests.md5:
            raise _mismatch("MD5", target.md5, digests.md5 or b"")
        return digests


class Drafts:
    """All drafts of a store; those that were kept survive it."""

    def __init__(self, kept: Bytes, catalogue: Catalogue, clock: Clock) -> None:
        """Forget what nobody can go on with."""
        self._bytes = kept
        self._catalogue = catalogue
        self._clock = clock
        self._lock = threading.Lock()
        self._at_hand: dict[str, KeptDraft] = {}
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
                self._at_hand[draft.id] = draft
        self._catalogue.write_draft(draft.id, draft.size, state, self._clock.now_us())

    def kept(self, draft_id: str) -> tuple[KeptDraft | None, Mapping[str, Any]]:
        """As it was kept, what was written since cut off where another process wrote it."""
        size, state = self._catalogue.read_draft(draft_id)
        with self._lock:
            draft = self._at_hand.get(draft_id)
            if draft is None:
                with contextlib.suppress(NotFound):
                    draft = KeptDraft(draft_id, self._bytes.loose(draft_id, size), size, None)
                    self._at_hand[draft_id] = draft
        return draft, state

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
