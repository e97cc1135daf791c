"""Objects in any store that obstore reaches by URL: S3, Google, Azure, a directory, memory.

Names are escaped as in the directory keeper, so that stores which fold `//` or `..` keep them apart. A bucket is the
first component of a key, with an empty `.%%bucket` in it. Drafts and the catalogue stay in the data directory. A row is
written after its bytes: a crash between the two loses metadata of that object, never bytes.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import from_url

from trainyard.core.clock import Clock
from trainyard.core.errors import InvalidArgument, NotFound, Unavailable
from trainyard.core.object_paths import after_all, check_bucket, object_name, object_path
from trainyard.object_stores.bytes_kept import Loose, Sight
from trainyard.object_stores.catalogue import Catalogue
from trainyard.object_stores.directory import DirectoryBytes, LooseFile
from trainyard.object_stores.kept import KeptObjects
from trainyard.objects import Reader, no_bucket, no_object

if TYPE_CHECKING:
    from obstore import GetOptions

BUCKET: Final = ".%%bucket"
VERSIONS: Final = ".%%versions"
_PIECE_BYTES: Final = 8 * 1024 * 1024


def open_store(data_dir: Path, clock: Clock, url: str) -> KeptObjects:
    """The object store behind a URL, credentials from the environment as obstore reads them. Raises Unavailable."""
    try:
        remote = from_url(url)
    except (BaseError, ValueError) as error:
        raise Unavailable(f"The object store {url} cannot be used: {error}") from error
    own = data_dir / "objects"
    return KeptObjects(UrlBytes(remote, own), Catalogue(own / "catalogue.db"), clock)


class UrlReader:
    """Ranges of one version; they fail where another has taken its place, and never mix the two."""

    def __init__(self, remote: Any, key: str, tag: str | None) -> None:
        """`tag` None: the store has no entity tags to insist on."""
        self._remote = remote
        self._key = key
        self._options: GetOptions = {"if_match": tag} if tag else {}

    def read(self, offset: int, size: int) -> bytes:
        """Exactly that many; raises OSError."""
        if not size:
            return b""
        asked: GetOptions = {**self._options, "range": (offset, offset + size)}
        try:
            got = obstore.get(self._remote, self._key, options=asked)
            data = bytes(got.bytes())
        except BaseError as error:
            raise OSError(errno.EIO, f"it is not there any more as it was: {error}", self._key) from error
        if len(data) != size:
            raise OSError(errno.EIO, "it has become shorter while it was read", self._key)
        return data

    def close(self) -> None:
        """Nothing is held."""


class UrlBytes:
    """See trainyard.object_stores.bytes_kept.Bytes."""

    def __init__(self, remote: Any, own: Path) -> None:
        """`own` is where drafts lie."""
        self._remote = remote
        self._local = DirectoryBytes(own / "unused", own)

    def buckets(self) -> Sequence[str]:
        """First components that can be a bucket's name."""
        with _told():
            found = obstore.list_with_delimiter(self._remote)["common_prefixes"]
        return sorted(name for name in found if _may_be_bucket(name))

    def made_us(self, bucket: str) -> int:
        """When its marker was made; one that somebody else made has none and is there while it has objects."""
        check_bucket(bucket)
        meta = self._head(f"{bucket}/{BUCKET}")
        if meta is None:
            with _told():
                meta = next((each for batch in obstore.list(self._remote, bucket) for each in batch), None)
        if meta is None:
            raise no_bucket()
        return _microseconds(meta)

    def make_bucket(self, bucket: str) -> None:
        """An empty marker."""
        with _told():
            obstore.put(self._remote, f"{check_bucket(bucket)}/{BUCKET}", b"")

    def remove_bucket(self, bucket: str) -> bool:
        """The marker goes last."""
        if next(self.names(bucket, "", "", ""), None) is not None:
            return False
        with _told():
            obstore.delete(self._remote, f"{bucket}/{BUCKET}")
        return True

    def look(self, bucket: str, name: str) -> Sight | None:
        """By its head."""
        meta = self._head(_key(bucket, name))
        return None if meta is None else _sight(meta)

    def open(self, bucket: str, name: str) -> tuple[Sight, Reader]:
        """What is there now, and ranges of just that."""
        key = _key(bucket, name)
        meta = self._head(key)
        if meta is None:
            raise no_object(bucket, name)
        return _sight(meta), UrlReader(self._remote, key, meta.get("e_tag"))

    def names(self, bucket: str, start: str, prefix: str, delimiter: str) -> Iterator[str]:  # noqa: ARG002 - the promise's signature
        """All of the prefix's directory, sorted: keys are escaped, so their order is not that of names."""
        parts = object_path(prefix.rpartition("/")[0]) if prefix.rpartition("/")[0] else ()
        whole = all(not part.startswith(".%") for part in parts)
        below = "/".join((check_bucket(bucket), *(parts if whole else ())))
        with _told():
            keys = [each["path"] for batch in obstore.list(self._remote, below) for each in batch]
        found = (object_name(key.split("/")[1:]) for key in keys)
        beyond = after_all(prefix) if prefix else None
        yield from sorted(
            name for name in found if name and name >= max(start, prefix) and (beyond is None or name < beyond)
        )

    def loose(self, loose_id: str, size: int | None = None) -> LooseFile:
        """A local file until it is whole."""
        return self._local.loose(loose_id, size)

    def loose_ids(self) -> Sequence[str]:
        """All local files."""
        return self._local.loose_ids()

    def place(self, loose: Loose, where: tuple[str, str], time_us: int, record: Callable[[str], None]) -> str:
        """Sent as a whole, or in parts that the store puts together at the end; then recorded."""
        assert isinstance(loose, LooseFile)
        loose.seal(time_us)
        key = _key(*where)
        with _told():
            put = obstore.put(self._remote, key, loose.path)
        tag = put.get("e_tag")
        meta = None if tag else self._head(key)
        stamp = tag or (_sight(meta).stamp if meta else "")
        record(stamp)
        loose.discard()
        return stamp

    def copy(self, source: Reader, size: int, loose: Loose) -> None:
        """Through here: where the bytes come from and where they go may be different stores."""
        for offset in range(0, size, _PIECE_BYTES):
            loose.write(source.read(offset, min(_PIECE_BYTES, size - offset)))

    def remove(self, bucket: str, name: str) -> None:
        """By its key."""
        self._delete(_key(bucket, name))

    def archive(self, bucket: str, name: str, generation: int) -> None:
        """A copy that the store makes itself."""
        with _told():
            obstore.copy(self._remote, _key(bucket, name), _version(bucket, name, generation))

    def open_archived(self, bucket: str, name: str, generation: int) -> tuple[Sight, Reader]:
        """Nothing ever takes its place."""
        key = _version(bucket, name, generation)
        meta = self._head(key)
        if meta is None:
            raise no_object(bucket, name)
        return _sight(meta), UrlReader(self._remote, key, None)

    def remove_archived(self, bucket: str, name: str, generation: int) -> None:
        """By its key."""
        self._delete(_version(bucket, name, generation))

    def _head(self, key: str) -> Mapping[str, Any] | None:
        with _told():
            try:
                return dict(obstore.head(self._remote, key))
            except (NotFoundError, FileNotFoundError):
                return None

    def _delete(self, key: str) -> None:
        with _told(), contextlib.suppress(NotFoundError, FileNotFoundError):
            obstore.delete(self._remote, key)


def _key(bucket: str, name: str) -> str:
    return "/".join((check_bucket(bucket), *object_path(name)))


def _version(bucket: str, name: str, generation: int) -> str:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return f"{VERSIONS}/{check_bucket(bucket)}/{digest}-{generation}"


def _sight(meta: Mapping[str, Any]) -> Sight:
    tag = meta.get("e_tag") or f"{_microseconds(meta)}-{meta['size']}"
    return Sight(str(tag), int(meta["size"]), _microseconds(meta))


def _microseconds(meta: Mapping[str, Any]) -> int:
    return int(meta["last_modified"].timestamp() * 1_000_000)


def _may_be_bucket(name: str) -> bool:
    try:
        check_bucket(name)
    except InvalidArgument:
        return False
    return True


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Within it, what the store says leaves as an error of ours."""
    try:
        yield
    except (NotFoundError, FileNotFoundError) as error:
        raise NotFound(f"The object store has no such object: {error}") from error
    except BaseError as error:
        raise Unavailable(f"The object store did not answer as it should ({error}); repeat once it does.") from error
