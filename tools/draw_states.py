"""Draw docs/states.md from the table in core/states.py; `--check` only says whether the page is what it would draw."""

from __future__ import annotations

import sys
from pathlib import Path

from trainyard.core.states import FINAL, TRANSITIONS, Event, JobState

PAGE = Path(__file__).resolve().parent.parent / "docs" / "states.md"

MEANINGS = {
    JobState.QUEUED: "accepted, waits for room",
    JobState.PENDING: "admitted; replicas are being started, or the next attempt waits for its back-off",
    JobState.RUNNING: "every replica is up",
    JobState.SUCCEEDED: "the primary ended with 0 and every replica is gone",
    JobState.FAILED: "ended for the reason in `error`",
    JobState.CANCELLING: "its end was asked for, by somebody or by its timeout; replicas are being stopped",
    JobState.CANCELLED: "ended by a cancel or by its timeout",
}
EVENTS = {
    Event.ADMITTED: "there is room for all of its replicas",
    Event.STARTED: "every replica is up",
    Event.RETRIED: "the attempt ended for a passing cause; the next one starts in the same room",
    Event.REQUEUED: "the attempt ended and its room was given up; it waits again",
    Event.SUCCEEDED: "the primary ended with 0, all replicas are gone",
    Event.FAILED: "it ended for good, all replicas are gone",
    Event.CANCEL_ASKED: "somebody, or the timeout, asked for its end",
    Event.CANCELLED: "the cancel is complete, all replicas are gone",
}


def page() -> str:
    """The whole page: the same table, the same text."""
    lines = [
        "# States of a job",
        "",
        "Drawn by `tools/draw_states.py` from `trainyard.core.states.TRANSITIONS`; a test compares the two.",
        "What is not in the table cannot happen. A final state has no way out.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        f"    [*] --> {JobState.QUEUED.name}: created",
    ]
    for source, ways in TRANSITIONS.items():
        lines += [f"    {source.name} --> {target.name}: {event.value}" for event, target in ways.items()]
    lines += [f"    {state.name} --> [*]" for state in JobState if state in FINAL]
    lines += ["```", "", "| state | value | name for clients | meaning |", "|---|---|---|---|"]
    lines += [
        f"| {state.name} | {state.value} | `{state.api_name}` | {'final: ' * (state in FINAL)}{MEANINGS[state]} |"
        for state in JobState
    ]
    lines += ["", "| from | event | to |", "|---|---|---|"]
    for source, ways in TRANSITIONS.items():
        lines += [f"| {source.name} | {event.value} | {target.name} |" for event, target in ways.items()]
    lines += ["", "| event | meaning |", "|---|---|"]
    lines += [f"| {event.value} | {EVENTS[event]} |" for event in Event]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """0 when the page is (now) as it should be, 1 when `--check` finds that it is not."""
    if "--check" not in arguments:
        PAGE.write_text(page(), "utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text("utf-8") == page():
        return 0
    print(f"{PAGE.name} is not what tools/draw_states.py draws; run it and commit the page.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
