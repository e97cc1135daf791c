"""The history of a job is a path through TRANSITIONS from its creation to its present state; read and checked here."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from trainyard.core.clock import rfc3339
from trainyard.core.jobs import Change
from trainyard.core.states import TRANSITIONS, JobState


def line(change: Change) -> str:
    """One change for people: when, from, to, which attempt, why."""
    source = change.source.name if change.source is not None else "(new)"
    attempt = f" attempt {change.attempt}" if change.attempt else ""
    return f"{rfc3339(change.time_us)} {source} -> {change.target.name}{attempt}: {change.why}"


def faults(changes: Sequence[Change], state: JobState) -> tuple[str, ...]:
    """What is wrong with a history that should lead to `state`: one sentence each, none when it is a path."""
    if not changes:
        return ("There is no history at all.",)
    found = []
    if changes[0].source is not None:
        found.append("It does not begin with the creation.")
    for number, (before, after) in enumerate(pairwise(changes), 2):
        if after.source is None or after.source is not before.target:
            found.append(f"Line {number} does not start where line {number - 1} ended, at {before.target.name}.")
        elif after.target not in TRANSITIONS[after.source].values():
            found.append(f"Line {number}: there is no way from {after.source.name} to {after.target.name}.")
    if changes[-1].target is not state:
        found.append(f"It ends at {changes[-1].target.name}, and the job is {state.name}.")
    return tuple(found)
