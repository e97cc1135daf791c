"""Colours and the live line appear on terminals and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from trainyard.cli.terminal import Terminal, replica_style

TTY = {"TERM": "xterm"}


@pytest.mark.parametrize(
    ("terminal", "environment", "coloured"),
    [
        (True, TTY, True),
        (False, TTY, False),
        (True, {"TERM": "dumb"}, False),
        (True, {}, False),
        (True, {**TTY, "NO_COLOR": "1"}, False),
        (True, {**TTY, "NO_COLOR": ""}, True),
    ],
)
def test_colour_is_for_terminals_that_want_it(screen: Any, terminal: bool, environment: Any, coloured: bool) -> None:
    """A pipe, TERM=dumb and NO_COLOR get no escape sequence at all."""
    out, err = screen(terminal), screen(terminal)
    shown = Terminal(out, err, environment)
    shown.line("text", "red")
    shown.line("text", "red", err=True)
    assert ("\x1b[31m" in out.getvalue()) is coloured
    assert ("\x1b" in out.getvalue() + err.getvalue()) is coloured


def test_the_status_line_moves_out_of_the_way(screen: Any) -> None:
    """A line for good is written where the status stood; closing takes the status away."""
    out = err = screen(True)
    shown = Terminal(out, err, TTY)
    shown.status("waiting")
    shown.line("done")
    assert out.getvalue().endswith("waiting\r\x1b[Kdone\n")
    shown.status("more")
    shown.close()
    assert out.getvalue().endswith("more\r\x1b[K")


def test_no_status_on_a_pipe(screen: Any) -> None:
    """What is not a terminal gets no status, no carriage return."""
    err = screen(False)
    Terminal(screen(False), err, TTY).status("waiting")
    assert err.getvalue() == ""


def test_a_status_turns_and_is_cut_to_the_width(screen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long status is cut with an ellipsis; the same status is not drawn again at once; a new one is."""
    monkeypatch.setenv("COLUMNS", "20")
    err = screen(True)
    shown = Terminal(screen(True), err, {**TTY, "NO_COLOR": "1"})
    shown.status("x" * 100)
    first = err.getvalue()
    assert first.endswith("x" * 16 + "…")
    shown.status("x" * 100)
    assert err.getvalue() == first
    shown.status("y")
    assert err.getvalue().endswith("y")


def test_replicas_have_colours_of_their_own() -> None:
    """Neighbours differ, the service is dim, and the same replica always has the same colour."""
    names = ["workerpool0-0", "workerpool1-0", "workerpool1-1"]
    assert len({replica_style(name) for name in names}) == 3
    assert replica_style("service") == replica_style("odd") == replica_style("workerpoolx-y") == "dim"
