"""The files between agents and executor, without any process."""

from __future__ import annotations

import os
import select
from pathlib import Path

import pytest

from trainyard.agent import ending, records
from trainyard.core.runs import Cause, Exit
from trainyard.executors.local.readings import exit_of


def test_the_agents_words_for_causes_are_the_domains() -> None:
    """The agent does without the domain's module, so its words are held against it here."""
    words = {ending.EXITED, ending.SIGNALED, ending.STOPPED, ending.OUT_OF_MEMORY, ending.START_FAILED, ending.LOST}
    assert words == {cause.value for cause in Cause}


def test_an_exit_record_comes_back_as_it_was(tmp_path: Path) -> None:
    """What an agent writes is what the executor tells."""
    control = f"{tmp_path}/workerpool0-0.0"
    assert records.read_exit(control) is None
    records.write_exit(control, ending.unstarted(ending.START_FAILED, "No such program.", internal=True))
    record = records.read_exit(control)
    assert record is not None
    seen = exit_of(record)
    assert (seen.cause, seen.message, seen.internal) == (Cause.START_FAILED, "No such program.", True)
    assert isinstance(seen, Exit)
    assert [path.name for path in tmp_path.iterdir()] == ["workerpool0-0.0.state"]


def test_an_exit_record_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a torn line and 100 kB of notes it is found; one that did not fit on the disk is taken back."""
    control = f"{tmp_path}/r.0"
    lock = records.take_lock(control)
    assert lock is not None
    records.mark_started(control, lock, str(tmp_path))
    for number in range(1000):
        records.append(lock, {"note": f"{number} {'x' * 100}"})
    os.write(lock, b'{"exit": {"cause"')
    before = os.fstat(lock).st_size
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, content: write(file, content[:20]))
    with pytest.raises(OSError, match="No space"):
        records.write_exit(control, {"cause": "exited", "code": 3})
    monkeypatch.undo()
    assert os.fstat(lock).st_size == before
    assert records.read_exit(control) is None
    records.write_exit(control, {"cause": "exited", "code": 3})
    assert records.read_exit(control) == {"cause": "exited", "code": 3}
    assert records.read_state(control).note.startswith("999 ")
    os.close(lock)


def test_one_holds_the_lock(tmp_path: Path) -> None:
    """A second taker gets None until the first one's descriptor is closed."""
    control = f"{tmp_path}/r.0"
    first = records.take_lock(control)
    assert first is not None
    assert records.take_lock(control) is None
    os.close(first)
    again = records.take_lock(control)
    assert again is not None
    os.close(again)


def test_the_state_tells_lines_and_forgives_torn_ones(tmp_path: Path) -> None:
    """Started from the first byte on; the newest note; half a line changes nothing."""
    control = f"{tmp_path}/r.0"
    lock = records.take_lock(control)
    assert lock is not None
    assert not records.read_state(control).is_started
    records.mark_started(control, lock, str(tmp_path))
    records.append(lock, {"pid": 7, "start_ticks": 1, "started_us": 2, "boot_id": "b"})
    records.append(lock, {"note": "one"})
    records.append(lock, {"note": "two"})
    os.write(lock, b'{"stopp')
    state = records.read_state(control)
    assert (state.is_started, state.is_stopping, state.note) == (True, False, "two")
    assert state.running is not None
    assert state.running["pid"] == 7
    os.write(lock, b'\n{"stopping": true}\n')
    assert records.read_state(control).is_stopping
    os.close(lock)


def test_a_start_that_cannot_be_made_durable_is_no_start(tmp_path: Path) -> None:
    """If the marker can't be brought to disk, it is taken back, and another try is free to come."""
    control = f"{tmp_path}/r.0"
    lock = records.take_lock(control)
    assert lock is not None
    with pytest.raises(OSError, match="gone"):
        records.mark_started(f"{tmp_path}/gone/r.0", lock, str(tmp_path))
    assert not records.read_state(control).is_started
    os.close(lock)


def test_a_stop_marker_may_be_a_link_that_takes_no_room(tmp_path: Path) -> None:
    """As it is placed on a full disk: its target is the record; one with room takes its place."""
    (tmp_path / records.STOP).symlink_to('{"grace_seconds": 30.0, "asked_at": 100.5}')
    assert records.read_stop(str(tmp_path)) == 130.5
    records.write_stop(str(tmp_path), 1.0, 100.0)
    assert records.read_stop(str(tmp_path)) == 101.0


def test_a_stop_marker_tells_when_the_grace_is_over(tmp_path: Path) -> None:
    """Asking and grace add up on the monotonic clock."""
    assert records.read_stop(str(tmp_path)) is None
    records.write_stop(str(tmp_path), 30.0, 100.0)
    assert records.read_stop(str(tmp_path)) == 130.0


def test_a_call_reaches_every_agent_of_a_group(tmp_path: Path) -> None:
    """Those who listen hear it however often it is said; those who do not, or no more, are no reason to fail."""
    states = [records.take_lock(f"{tmp_path}/r-{number}.0") for number in range(3)]
    hearing = [records.listen(state or 0) for state in states[:2]]
    assert records.listen(states[0] or 0) == -1  # one agent at a time
    os.close(hearing.pop(0))
    hearing.append(records.listen(states[0] or 0))  # who takes over gets the same name
    poller = select.poll()
    for each in hearing:
        poller.register(each, select.POLLIN)
    assert poller.poll(0) == []
    for _ in range(1000):
        records.wake(str(tmp_path))
    assert {descriptor for descriptor, _ in poller.poll(0)} == set(hearing)
    for each in hearing:
        records.drain(each)
    assert poller.poll(0) == []
    for descriptor in (*hearing, *states):
        os.close(descriptor or 0)


def test_a_hint_to_nobody_is_dropped(tmp_path: Path) -> None:
    """Without a server, with a full FIFO: no error, no waiting."""
    records.tell(str(tmp_path), "1-1")
    os.mkfifo(tmp_path / records.HINTS)
    records.tell(str(tmp_path), "1-1")
    reader = os.open(tmp_path / records.HINTS, os.O_RDWR | os.O_NONBLOCK)
    for _ in range(20000):
        records.tell(str(tmp_path), "1-1")
    assert os.read(reader, 8) == b"1-1\n1-1\n"
    os.close(reader)
