"""Files sealed while they are written: every byte once, after any crash too; only the newest in the clear."""

from __future__ import annotations

import io
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from trainyard.core.errors import Internal
from trainyard.keyring import CannotBlank
from trainyard.keyrings import growing, growths, holes
from trainyard.keyrings.growing import SEGMENT_BYTES, Growing
from trainyard.keyrings.growths import DRAFT, GROWING, Complete, Growths

KEY = bytes(range(32))
NAME = "stdout"


class Crash(BaseException):
    """Stands for the end of the process at this point."""


def key(owner: int) -> bytes:
    """The data key of owner 7."""
    return KEY if owner == 7 else b"x" * 32


@pytest.fixture
def plain(tmp_path: Path) -> str:
    """A file that somebody writes to."""
    path = tmp_path / NAME
    path.touch()
    if not can_punch(path):
        pytest.skip("the file system of temporary files cannot punch holes")
    return str(path)


def can_punch(path: Path) -> bool:
    """Whether this can be tried at all here."""
    with path.open("rb+") as file:
        return holes.can_punch(file.fileno())


def write(plain: str, content: bytes) -> None:
    """As an agent does: at the end."""
    with Path(plain).open("ab") as file:
        file.write(content)


def looked(of: Growths, plain: str) -> None:
    """Until all that is there now is sealed: what is new stays for one look."""
    size = Path(plain).stat().st_size
    for _ in range(100):
        of.look(7, plain)
        if (known := of._known.get(plain)) and known.blanked == size and known.quiet:
            return
    raise AssertionError("it is not sealed whole")


def read(of: Growths, plain: str, offset: int = 0, size: int = 1 << 30) -> bytes:
    """As the log book reads."""
    with Path(plain).open("rb") as file:
        content = os.pread(file.fileno(), size, offset)
    found = of.mended(plain, offset, content)
    return content if found is None else found


def whole(of: Growths, plain: str) -> bytes:
    """What is kept of it in the end."""
    kept = io.BytesIO()

    def keep(source: Complete) -> None:
        size = os.fstat(source.fileno()).st_size
        while content := source.read(SEGMENT_BYTES):
            kept.write(content)
        assert kept.tell() == size

    of.complete(plain, keep)
    return kept.getvalue()


def left(plain: str) -> set[str]:
    """What is in its directory."""
    return {path.name for path in Path(plain).parent.iterdir()}


def sized(seed: int, *sizes: int) -> Iterator[bytes]:
    """Contents of these sizes, each another."""
    chosen = random.Random(seed)
    return (chosen.randbytes(size) for size in sizes)


def test_all_but_the_newest_is_blank_and_reads_as_written(plain: str) -> None:
    """Whatever the sizes of what was added between two looks; the size of the plain file stays what it was."""
    of, written = Growths(key), b""
    for content in sized(1, 1, 7, 4096, SEGMENT_BYTES - 1, SEGMENT_BYTES + 1, 3, 5 * SEGMENT_BYTES):
        write(plain, content)
        of.look(7, plain)
        before = Path(plain).read_bytes()
        assert before == bytes(len(written)) + content  # what came since the look before is in the clear, nothing else
        written += content
        assert read(of, plain) == written
        looked(of, plain)
        assert Path(plain).read_bytes() == bytes(len(written))
        assert read(of, plain) == written
        assert len(content) < 20 or content[:20] not in Path(plain + GROWING).read_bytes()
    chosen = random.Random(2)
    for _ in range(200):
        offset, size = chosen.randrange(len(written) + 9), chosen.randrange(3 * SEGMENT_BYTES)
        assert read(of, plain, offset, size) == written[offset : offset + size]
    assert Path(plain).stat().st_blocks <= 16
    assert whole(of, plain) == written
    assert left(plain) == set()


def test_a_process_that_starts_goes_on(plain: str) -> None:
    """It reads what was sealed before, in the middle of growing, and adds to it."""
    written = b""
    for content in sized(3, 100, 70_000, 5, 200_000, 1):
        of = Growths(key)
        assert read(of, plain) == written
        write(plain, content)
        written += content
        assert read(of, plain) == written
        looked(Growths(key), plain)
    assert read(Growths(key), plain) == written
    assert Path(plain).read_bytes() == bytes(len(written))
    assert whole(Growths(key), plain) == written


def crashing(monkeypatch: pytest.MonkeyPatch, at: int) -> list[str]:
    """The process ends before its `at`-th step that others see; the steps that it came to."""
    steps: list[str] = []

    def before(name: str, call: Callable[..., object]) -> Callable[..., object]:
        def instead(*given: object) -> object:
            steps.append(name)
            if len(steps) > at:
                raise Crash
            return call(*given)

        return instead

    for name in ("fsync", "fdatasync", "rename", "unlink"):
        monkeypatch.setattr(os, name, before(name, getattr(os, name)))
    monkeypatch.setattr(growths, "punch", before("punch", holes.punch))
    return steps


@pytest.mark.parametrize("at", range(13))
def test_a_crash_at_any_step_loses_nothing(plain: str, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Before each step of beginning, sealing, blanking, ending: the next process reads the same, and goes on."""
    contents = list(sized(at, 5000, 70_000, 17))
    write(plain, contents[0])
    with monkeypatch.context() as patched:
        steps = crashing(patched, at)
        kept: list[bytes] = []

        def live() -> None:
            of = Growths(key)
            looked(of, plain)
            write(plain, contents[1])
            looked(of, plain)
            kept.append(whole(of, plain))

        with suppress(Crash):
            live()
    if kept:
        assert kept == [contents[0] + contents[1]]
        sealing = ["fsync", "punch", "fdatasync"]
        assert steps == ["fsync", "rename", "fsync", *sealing, *sealing, "unlink", "unlink"]
        return
    again = Growths(key)
    if not Path(plain).exists():  # it was kept whole before
        assert whole(again, plain) == b""
    else:
        written = contents[0] + (contents[1] if Path(plain).stat().st_size > 5000 else b"")
        assert read(again, plain) == written
        write(plain, contents[2])
        looked(again, plain)
        assert read(again, plain) == written + contents[2]
        assert Path(plain).read_bytes() == bytes(len(written) + 17)
        assert whole(again, plain) == written + contents[2]
    assert left(plain) <= {NAME + DRAFT}


@pytest.mark.parametrize("tear", ["cut", "zeros", "garbage"])
@pytest.mark.parametrize("at", [1, 3, 20, 60, 5000, 65_580, 70_000])
def test_a_torn_end_is_written_anew(plain: str, tmp_path: Path, tear: str, at: int) -> None:
    """A segment that was cut off, or got its length but not its bytes, is none: nothing of it was blanked yet."""
    first, second = sized(at, 900, 90_000)
    write(plain, first)
    looked(Growths(key), plain)
    sealed = Path(plain + GROWING)
    good = sealed.read_bytes()
    write(plain, second)
    Path(other := str(tmp_path / "copy")).write_bytes(Path(plain).read_bytes())
    Path(other + GROWING).write_bytes(good)
    looked(Growths(key), other)  # what would have been written behind `good`
    rest = Path(other + GROWING).read_bytes()[len(good) :]
    for path in (other, other + GROWING):
        Path(path).unlink()
    lost = {"cut": b"", "zeros": bytes(len(rest) - at), "garbage": os.urandom(len(rest) - at)}[tear]
    sealed.write_bytes(good + rest[:at] + lost)
    of = Growths(key)
    assert read(of, plain) == first + second
    looked(of, plain)
    assert read(Growths(key), plain) == first + second
    assert Path(plain).read_bytes() == bytes(90_900)
    assert whole(Growths(key), plain) == first + second


def repeated(act: Callable[[], object], ended: threading.Event) -> threading.Thread:
    """A thread that does it again and again."""

    def work() -> None:
        while not ended.is_set():
            act()

    return threading.Thread(target=work)


def test_who_reads_meanwhile_never_sees_a_hole(plain: str) -> None:
    """Beside a writer, one who seals without a pause, and keys that come and go: only what was written."""
    content = random.Random(4).randbytes(1 << 21).replace(b"\0", b"x")
    of, ended, chosen = Growths(key), threading.Event(), random.Random(5)
    faults: list[int] = []
    reads: list[int] = []

    def look_into() -> None:
        size = Path(plain).stat().st_size
        offset = max(0, size - chosen.choice((100, 5000, 70_000, size)))  # most at the end, where it moves
        found = read(of, plain, offset, 70_000)
        reads.append(offset)
        if found != content[offset : offset + len(found)]:
            faults.append(offset)

    threads = [repeated(look_into, ended) for _ in range(3)]
    threads += [
        repeated(lambda: of.look(7, plain), ended),
        repeated(lambda: ended.wait(0.002) or of.forget((7,)), ended),
    ]
    for thread in threads:
        thread.start()
    written = 0
    try:
        while written < len(content):
            step = chosen.choice((1, 80, 3000))
            write(plain, content[written : written + step])
            written += step
    finally:
        ended.set()
        for thread in threads:
            thread.join(60)
    assert faults == []
    assert len(reads) > 100
    assert whole(of, plain) == content


def test_a_key_forgotten_while_something_is_being_sealed_splits_no_file(
    plain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes meanwhile (a key was enabled once more, say) goes on where that one ends, not beside it."""
    of, begun, go = Growths(key), threading.Event(), threading.Event()
    write(plain, b"a" * 5000)
    looked(of, plain)
    write(plain, b"b" * 5000)
    of.look(7, plain)
    added = Growing._added

    def slowly(*given: Any) -> list[int]:
        begun.set()
        assert go.wait(60)
        return added(*given)

    found: list[bytes] = []
    with monkeypatch.context() as patched:
        patched.setattr(Growing, "_added", slowly)
        sealer = threading.Thread(target=lambda: of.look(7, plain))
        sealer.start()
        assert begun.wait(60)
        of.forget((7,))
        reader = threading.Thread(target=lambda: found.append(read(of, plain)))
        reader.start()
        reader.join(0.05)
        go.set()
        for thread in (sealer, reader):
            thread.join(60)
    write(plain, b"c" * 5000)
    looked(of, plain)
    for content in (*found, read(of, plain)[:10_000]):
        assert content == b"a" * 5000 + b"b" * 5000
    assert whole(of, plain) == b"a" * 5000 + b"b" * 5000 + b"c" * 5000


def test_it_is_proved_to_be_what_it_was(plain: str) -> None:
    """Another key, another file's header, a changed byte, swapped segments: refused, and nothing of it is given."""
    of = Growths(key)
    for content in (b"a" * 70, b"b" * 70):
        write(plain, content)
        looked(of, plain)
    sealed = Path(plain + GROWING)
    good = sealed.read_bytes()
    begin, each = len(good) - 2 * 102, 102
    swapped = good[:begin] + good[begin + each :] + good[begin : begin + each]
    for changed in (good[:40] + b"?" + good[41:], b"?" + good[1:], good[:20] + b"?" + good[21:], b""):
        sealed.write_bytes(changed)
        with pytest.raises(Internal, match=r"damaged|cannot be opened"):
            Growing(str(sealed), key)
    sealed.write_bytes(swapped)
    assert Growing(str(sealed), key).length == 0
    with pytest.raises(Internal):  # who has it open notices
        of.mended(plain, 0, bytes(100))
    sealed.write_bytes(good)
    with pytest.raises(Internal):
        Growing(str(sealed), lambda _: b"y" * 32)
    assert read(of, plain) == b"a" * 70 + b"b" * 70


def test_what_was_sealed_long_ago_is_not_opened_at_a_start(plain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what may not have reached the disk is proved when a process takes it up."""
    monkeypatch.setattr(growing, "_AT_ONCE", 2 * SEGMENT_BYTES)
    of = Growths(key)
    (content,) = sized(6, 9 * SEGMENT_BYTES)
    write(plain, content)
    looked(of, plain)
    opened: list[int] = []
    monkeypatch.setattr(Growing, "_is_whole", lambda *given: opened.append(given[2]) or True)
    assert Growing(plain + GROWING, key).length == len(content)
    assert len(opened) == 2


def test_a_file_system_without_holes_says_so(plain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nothing is sealed, and nothing is lost."""
    monkeypatch.setattr(growths, "can_punch", lambda _: False)
    of = Growths(key)
    write(plain, b"content")
    of.look(7, plain)
    with pytest.raises(CannotBlank):
        of.look(7, plain)
    assert Path(plain).read_bytes() == b"content"
    assert not Path(plain + GROWING).exists()
    assert read(of, plain) == b"content"
    assert whole(of, plain) == b"content"


def test_a_quiet_file_costs_one_look_at_its_size(plain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not even opened; and where there is none, nothing is made."""
    of = Growths(key)
    write(plain, b"content")
    looked(of, plain)
    monkeypatch.setattr(os, "open", None)
    assert not of.look(7, plain)
    assert not of.look(7, f"{plain}-that-is-not-there")


def test_a_torrent_is_sealed_in_turns(plain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No look goes on for ever; one that did not come to the end says so."""
    monkeypatch.setattr(growths, "_MOST_AT_A_LOOK", 1000)
    of = Growths(key)
    write(plain, b"x" * 2500)
    assert [of.look(7, plain) for _ in range(5)] == [False, True, True, False, False]
    assert Path(plain).read_bytes() == bytes(2500)


def test_a_full_disk_is_told_and_tried_again(plain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is blanked that is not sealed durably."""
    of = Growths(key)
    write(plain, b"content")
    of.look(7, plain)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        for _ in range(2):
            with pytest.raises(OSError, match="No space"):
                of.look(7, plain)
    assert Path(plain).read_bytes() == b"content"
    assert read(of, plain) == b"content"
    looked(of, plain)
    assert read(of, plain) == b"content"
    assert Path(plain).read_bytes() == bytes(7)


def test_a_forgotten_key_opens_nothing(plain: str) -> None:
    """What was known of it is dropped with the key."""
    locked = False

    def asked(owner: int) -> bytes:
        if locked:
            raise Internal("no key")
        return key(owner)

    of = Growths(asked)
    write(plain, b"content")
    looked(of, plain)
    of.forget((8,))
    locked = True
    assert read(of, plain) == b"content"
    of.forget((7,))
    with pytest.raises(Internal, match="no key"):
        read(of, plain)
    write(plain, b"more")
    with pytest.raises(Internal, match="no key"):
        of.look(7, plain)
