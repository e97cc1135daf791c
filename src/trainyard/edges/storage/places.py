"""Which bucket a call means: those that clients ask for may appear by themselves, unless somebody deleted them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from trainyard.core.errors import AlreadyExists, NotFound
from trainyard.objects import Bucket, ObjectStore, no_bucket


@dataclass(frozen=True, slots=True)
class Places:
    """The store, and whether buckets appear by themselves in it."""

    store: ObjectStore
    appear: bool = True

    def bucket(self, name: str) -> Bucket:
        """The bucket; raises NotFound."""
        return self.store.bucket(self.asked_for(name))

    def asked_for(self, name: str) -> str:
        """The name of a bucket that is there now; raises NotFound."""
        try:
            self.store.bucket(name)
        except NotFound:
            if not self.appear or self.store.known_deleted(name):
                raise no_bucket() from None
            with contextlib.suppress(AlreadyExists):
                self.store.create_bucket(name, {})
        return name
