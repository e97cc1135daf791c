"""What every ring of keys must keep. Subclass it, give an `open_ring` fixture, and you have proved yours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import pytest

from trainyard.core.errors import AlreadyExists, ApiError, FailedPrecondition, Internal, NotFound
from trainyard.core.names import KeyName, Scope
from trainyard.keyring import Key, KeyRing, KeyState

SCOPE = Scope.of("demo", "us-central1")
NAME = KeyName(SCOPE, "ring", "key")
OTHER = KeyName(SCOPE, "ring", "other")
LONG = KeyName(SCOPE, "r" * 63, "k" * 63)


class OpenRing(KeyRing, Protocol):
    """A ring that can be let go of."""

    def close(self) -> None: ...


OpenRingAgain = Callable[[], OpenRing]
"""The ring of this test, opened as a process that starts does; what was opened before is let go of."""


def now_and_later(ring: OpenRing, open_ring: OpenRingAgain) -> Iterator[OpenRing]:
    """This one, and then the same after a restart."""
    yield ring
    yield open_ring()


class KeyRingSuite:
    """`open_ring` opens the same ring each time."""

    @pytest.fixture
    def ring(self, open_ring: OpenRingAgain) -> OpenRing:
        """With one key."""
        ring = open_ring()
        ring.create(NAME, 1)
        return ring

    def test_what_is_wrapped_is_unwrapped(self, ring: OpenRing, open_ring: OpenRingAgain) -> None:
        """Also after a restart, of any length; and nothing of it can be seen in what is kept."""
        for content in (b"", b"x", bytes(32), b"the secret" * 100):
            version, wrapped = ring.wrap(NAME, content, b"context")
            assert version == 1
            assert ring.unwrap(NAME, version, wrapped, b"context") == content
            assert b"the secret" not in wrapped
        assert open_ring().unwrap(NAME, version, wrapped, b"context") == content

    def test_the_same_content_is_never_wrapped_the_same(self, ring: OpenRing) -> None:
        """Nobody can tell that two are equal."""
        assert len({ring.wrap(NAME, b"content", b"context")[1] for _ in range(20)}) == 20

    def test_another_context_opens_nothing(self, ring: OpenRing) -> None:
        """Nor does another key, nor does one bit that was changed, nor what was cut off."""
        version, wrapped = ring.wrap(NAME, b"content", b"context")
        ring.create(OTHER, 2)
        broken = [wrapped[:at] + bytes([wrapped[at] ^ 1]) + wrapped[at + 1 :] for at in range(len(wrapped))]
        tries = [(NAME, wrapped, b"contexx"), (NAME, wrapped, b""), (OTHER, wrapped, b"context")]
        tries += [(NAME, value, b"context") for value in (*broken, wrapped[:-1], wrapped[:20], wrapped + b"x", b"")]
        for name, value, context in tries:
            with pytest.raises(Internal, match="damaged or changed"):
                ring.unwrap(name, version, value, context)
        assert ring.unwrap(NAME, version, wrapped, b"context") == b"content"

    def test_keys_are_listed_by_name(self, ring: OpenRing, open_ring: OpenRingAgain) -> None:
        """Destroyed ones too, over restarts; names may be as long as names can be."""
        ring.create(LONG, 3)
        ring.create(OTHER, 2)
        ring.destroy(OTHER)
        expected = (
            Key(NAME, KeyState.ENABLED, 1, (1,)),
            Key(OTHER, KeyState.DESTROYED, 2, ()),
            Key(LONG, KeyState.ENABLED, 3, (1,)),
        )
        assert ring.listed() == expected
        again = open_ring()
        assert again.listed() == expected
        assert again.find(LONG) == expected[2]
        assert again.find(KeyName(SCOPE, "ring", "never")) is None
        assert again.unwrap(LONG, *again.wrap(LONG, b"content", b""), b"") == b"content"

    def test_a_name_is_given_once(self, ring: OpenRing, open_ring: OpenRingAgain) -> None:
        """Also after its key was destroyed, also after a restart."""
        with pytest.raises(AlreadyExists):
            ring.create(NAME, 2)
        ring.destroy(NAME)
        for each in now_and_later(ring, open_ring):
            with pytest.raises(AlreadyExists, match="or did"):
                each.create(NAME, 3)

    def test_a_key_that_never_was_is_missing(self, ring: OpenRing) -> None:
        """Whatever is asked of it, with the command that makes it."""
        tries: list[Callable[[], object]] = [
            lambda: ring.add_version(OTHER, 2),
            lambda: ring.keep_newest(OTHER),
            lambda: ring.set_enabled(OTHER, enabled=True),
            lambda: ring.destroy(OTHER),
            lambda: ring.wrap(OTHER, b"", b""),
            lambda: ring.unwrap(OTHER, 1, b"x" * 80, b""),
        ]
        for ask in tries:
            with pytest.raises(NotFound, match="trainyard keys create ring/other"):
                ask()

    def test_versions_come_and_go(self, ring: OpenRing, open_ring: OpenRingAgain) -> None:
        """The newest wraps, all unwrap until they are let go, and numbers are not given again."""
        first = ring.wrap(NAME, b"first", b"")
        assert ring.add_version(NAME, 2).versions == (1, 2)
        second = ring.wrap(NAME, b"second", b"")
        assert (first[0], second[0]) == (1, 2)
        for each in now_and_later(ring, open_ring):
            assert each.unwrap(NAME, *first, b"") == b"first"
            assert each.unwrap(NAME, *second, b"") == b"second"
        ring = open_ring()
        assert ring.keep_newest(NAME).versions == (2,)
        assert ring.keep_newest(NAME).versions == (2,)
        for each in now_and_later(ring, open_ring):
            assert each.unwrap(NAME, *second, b"") == b"second"
            with pytest.raises(Internal, match="Version 1"):
                each.unwrap(NAME, *first, b"")
        assert open_ring().add_version(NAME, 3).versions == (2, 3)

    def test_a_disabled_key_does_nothing_until_it_is_enabled(self, ring: OpenRing, open_ring: OpenRingAgain) -> None:
        """Over a restart, too; its versions may still be let go of."""
        wrapped = ring.wrap(NAME, b"content", b"")
        assert ring.set_enabled(NAME, enabled=False).state is KeyState.DISABLED
        for each in now_and_later(ring, open_ring):
            for ask in (
                lambda ring=each: ring.wrap(NAME, b"", b""),
                lambda ring=each: ring.unwrap(NAME, *wrapped, b""),
                lambda ring=each: ring.add_version(NAME, 2),
            ):
                with pytest.raises(
                    FailedPrecondition, match=r"is disabled\. Enable it: trainyard keys enable ring/key"
                ):
                    ask()
        ring = open_ring()
        assert ring.set_enabled(NAME, enabled=True).state is KeyState.ENABLED
        assert ring.unwrap(NAME, *wrapped, b"") == b"content"

    def test_a_destroyed_key_is_gone_for_good(self, ring: OpenRing, open_ring: OpenRingAgain) -> None:
        """No restart and no enabling bring it back, and it may be destroyed again."""
        wrapped = ring.wrap(NAME, b"content", b"")
        ring.add_version(NAME, 2)
        for each in now_and_later(ring, open_ring):
            assert each.destroy(NAME) == Key(NAME, KeyState.DESTROYED, 1, ())
            for ask in (
                lambda ring=each: ring.wrap(NAME, b"", b""),
                lambda ring=each: ring.unwrap(NAME, *wrapped, b""),
                lambda ring=each: ring.add_version(NAME, 2),
                lambda ring=each: ring.set_enabled(NAME, enabled=True),
            ):
                with pytest.raises(FailedPrecondition, match="is destroyed"):
                    ask()
            assert each.keep_newest(NAME).versions == ()

    def test_threads_may_do_all_of_it_at_once(self, ring: OpenRing, open_ring: OpenRingAgain) -> None:
        """Each name is given to one of those who want it, each version to one, and everything opens again."""
        names = [KeyName(SCOPE, "ring", f"key-{number}") for number in range(4)]

        def live(number: int) -> int:
            name = names[number % 4]
            try:
                ring.create(name, number)
                made = 1
            except AlreadyExists:
                made = 0
            wrapped = ring.wrap(name, b"content %d" % number, b"context")
            ring.add_version(name, number)
            assert ring.unwrap(name, *wrapped, b"context") == b"content %d" % number
            return made

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(live, range(24))) == 4
        again = open_ring()
        for name in names:
            found = again.find(name)
            assert found is not None
            assert found.versions == tuple(range(1, 8))

    def test_who_uses_a_key_that_is_destroyed_meanwhile_is_told_so(self, ring: OpenRing) -> None:
        """Never that something is damaged or has to be restored."""
        names = [KeyName(SCOPE, "ring", f"key-{number}") for number in range(6)]
        wrapped = {}
        for name in names:
            ring.create(name, 1)
            wrapped[name] = ring.wrap(name, b"content", b"")

        def use(name: KeyName) -> Iterator[ApiError]:
            while True:
                try:
                    assert ring.unwrap(name, *wrapped[name], b"") == b"content"
                except ApiError as error:
                    yield error
                    return

        with ThreadPoolExecutor(8) as pool:
            told = [pool.submit(lambda name=name: list(use(name))) for name in names]
            for name in names:
                ring.destroy(name)
            for each in told:
                assert [str(error).partition(". ")[0].rpartition(" ")[2] for error in each.result()] == ["destroyed"]
