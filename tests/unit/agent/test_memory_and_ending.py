"""What an end is called, from the evidence alone."""

from __future__ import annotations

import os
import signal

import pytest

from trainyard.agent import ending
from trainyard.agent.kernel import Ended
from trainyard.agent.memory import KillCounter


class Counted(KillCounter):
    """A counter with a known answer."""

    def __init__(self, kills: int) -> None:
        super().__init__()
        self.kills = kills

    def risen(self) -> int:
        return self.kills


def exited(code: int) -> Ended:
    return Ended(os.CLD_EXITED, code, 1.5, 4096)


def killed(number: int, *, core: bool = False) -> Ended:
    return Ended(os.CLD_DUMPED if core else os.CLD_KILLED, number, 1.5, 4096)


@pytest.mark.parametrize(
    ("end", "stopped", "kills", "cause", "code"),
    [
        (exited(0), False, 0, ending.EXITED, 0),
        (exited(3), False, 0, ending.EXITED, 3),
        (exited(3), False, 1, ending.EXITED, 3),
        (killed(signal.SIGSEGV), False, 0, ending.SIGNALED, 139),
        (killed(signal.SIGKILL), False, 0, ending.SIGNALED, 137),
        (killed(signal.SIGKILL), False, 2, ending.OUT_OF_MEMORY, 137),
        (exited(137), False, 1, ending.OUT_OF_MEMORY, 137),
        (killed(signal.SIGTERM), False, 1, ending.SIGNALED, 143),
        (killed(signal.SIGKILL), True, 1, ending.STOPPED, 137),
        (exited(0), True, 0, ending.STOPPED, 0),
    ],
)
def test_an_end_is_called_by_its_evidence(end: Ended, stopped: bool, kills: int, cause: str, code: int) -> None:
    """A stop of ours first; out of memory only for a SIGKILL while the kernel counted kills; a shell's 137 is one."""
    record = ending.of_program(end, stopped=stopped, memory=Counted(kills), started_us=5)
    assert (record["cause"], record["code"], record["started_us"]) == (cause, code, 5)
    assert (record["cpu_seconds"], record["peak_memory_bytes"]) == (1.5, 4096)


def test_the_sentence_tells_what_the_cause_does_not() -> None:
    """Core dumps and kills of others in the same room are said, and only then."""
    say = {
        kills: ending.of_program(exited(1), stopped=False, memory=Counted(kills), started_us=1)["message"]
        for kills in (0, 2)
    }
    assert say[0] == ""
    assert "2 process(es)" in say[2]
    dumped = ending.of_program(killed(signal.SIGABRT, core=True), stopped=False, memory=Counted(0), started_us=1)
    assert dumped["message"] == "It dumped core."


def test_a_counter_without_kills_has_not_risen() -> None:
    """Between two looks without a kill the count stands still; an earlier agent's count is taken over."""
    assert KillCounter().risen() == 0
    counter = KillCounter()
    if counter.path:
        assert KillCounter(before=counter.before - 3).risen() >= 3
