"""What is remembered by its bytes."""

from __future__ import annotations

from trainyard.contract.remembered import Remembered


def test_what_was_put_is_given_back() -> None:
    """By its key, and nothing for another."""
    kept: Remembered[tuple[str, bytes]] = Remembered(1000, 100)
    assert kept.get(("a", b"1")) is None
    assert kept.put(("a", b"1"), b"one") == b"one"
    assert kept.get(("a", b"1")) == b"one"
    assert kept.put(("a", b"1"), b"one") == b"one"
    assert kept.get(("a", b"2")) is None


def test_the_oldest_go_when_it_grows_too_large() -> None:
    """Bytes of keys and values count, and what an entry costs beside them; the newest stay."""
    kept: Remembered[tuple[str, bytes]] = Remembered(2000, 100)
    for number in range(50):
        kept.put(("a", b"%100d" % number), b"x" * 100)
    held = [number for number in range(50) if kept.get(("a", b"%100d" % number))]
    assert held == list(range(45, 50))


def test_what_is_too_long_is_never_kept() -> None:
    """It is given back all the same."""
    kept: Remembered[str] = Remembered(1000, 10)
    assert kept.put("a", b"x" * 11) == b"x" * 11
    assert kept.get("a") is None
