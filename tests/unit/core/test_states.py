"""The table of states, and the page drawn from it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from trainyard.core.states import FINAL, TRANSITIONS, Event, ImpossibleTransition, JobState, advance

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize("event", Event)
def test_only_what_the_table_holds_can_happen(state: JobState, event: Event) -> None:
    """Every pair of state and event is either a row of the table or refused."""
    ways = TRANSITIONS[state]
    if event in ways:
        assert advance(state, event) is ways[event]
    else:
        with pytest.raises(ImpossibleTransition, match=f"no way from {state.name} by {event.name}"):
            advance(state, event)


def test_exactly_the_documented_states_are_final() -> None:
    """Final means no way out, and only success, failure and cancel are final."""
    assert {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED} == FINAL


def test_cancelling_leads_only_to_an_end() -> None:
    """job_state.proto: CANCELLING may go only to SUCCEEDED, FAILED or CANCELLED."""
    assert set(TRANSITIONS[JobState.CANCELLING].values()) == FINAL


def test_every_state_can_be_reached_and_can_end() -> None:
    """From QUEUED on, each state is on some path to a final one."""
    reached, frontier = {JobState.QUEUED}, [JobState.QUEUED]
    while frontier:
        for target in TRANSITIONS[frontier.pop()].values():
            if target not in reached:
                reached.add(target)
                frontier.append(target)
    assert reached == set(JobState)


def test_wire_values_and_names_are_the_originals() -> None:
    """google/cloud/aiplatform/v1/job_state.proto."""
    assert [(state.value, state.api_name) for state in JobState] == [
        (1, "JOB_STATE_QUEUED"),
        (2, "JOB_STATE_PENDING"),
        (3, "JOB_STATE_RUNNING"),
        (4, "JOB_STATE_SUCCEEDED"),
        (5, "JOB_STATE_FAILED"),
        (6, "JOB_STATE_CANCELLING"),
        (7, "JOB_STATE_CANCELLED"),
    ]


def test_the_page_is_drawn_from_the_table(monkeypatch, tmp_path, capsys) -> None:
    """docs/states.md says what the table says, `--check` notices when it does not, and drawing mends it."""
    spec = importlib.util.spec_from_file_location("draw_states", ROOT / "tools" / "draw_states.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.main(["--check"]) == 0
    monkeypatch.setattr(tool, "PAGE", tmp_path / "states.md")
    assert tool.main(["--check"]) == 1
    assert "run it and commit" in capsys.readouterr().err
    assert tool.main([]) == 0
    assert tool.main(["--check"]) == 0
