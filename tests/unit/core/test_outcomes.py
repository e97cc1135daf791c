"""The one table of what ends mean: walked row by row."""

from __future__ import annotations

import string

import pytest

from trainyard.core import outcomes
from trainyard.core.errors import Code
from trainyard.core.outcomes import OUTCOMES, Line, Remedy, Wait, Why, why_ended
from trainyard.core.runs import Cause, Exit

REPLICA_ROWS = [why for why, row in OUTCOMES.items() if "{replica}" in row.text]
JOB_WORDS = {
    "location": "us-central1",
    "message": " Because.",
    "seconds": "2",
    "taker": "customJobs/9 of project 1",
    "tried": "",
    "by": " by ann",
}


def test_every_cause_has_its_row() -> None:
    """No cause without a sentence, no sentence without a cause."""
    assert set(OUTCOMES) == set(Why)


@pytest.mark.parametrize("why", Why)
def test_every_row_makes_a_sentence(why: Why) -> None:
    """Each template can be filled by the function that fills it, and reads as one piece of text."""
    if why in REPLICA_ROWS:
        end = Exit(Cause.SIGNALED, code=139, signal=11, message="gone", last_lines="boom", peak_memory_bytes=9**7)
        said = outcomes.replica_problem(why, "workerpool1-0", end, 7, "It was tried.").message
        assert "workerpool1-0" in said
        assert said.endswith("please check the logs: trainyard custom-jobs stream-logs 7")
        assert "stream-logs" not in outcomes.replica_sentence(why, "workerpool1-0", end)
    else:
        said = outcomes.job_problem(why, 7, **JOB_WORDS).message
    assert "{" not in said
    assert "  " not in said
    assert said[0].isupper()


@pytest.mark.parametrize("why", Why)
def test_codes_and_remedies_fit_together(why: Why) -> None:
    """A retry needs a number of retries; a cancel has code 1 and says CANCELED; a user's fault has code 3."""
    row = OUTCOMES[why]
    assert (row.remedy is Remedy.NONE) == (row.retries == 0)
    assert (row.code is Code.CANCELLED) == row.text.startswith("CANCELED")
    if why in (Why.EXITED, Why.CRASHED, Why.OUT_OF_MEMORY, Why.START_FAILED, Why.SIGNALED):
        assert row.code == 3


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (Exit(Cause.EXITED, code=0), None),
        (Exit(Cause.EXITED, code=1), Why.EXITED),
        (Exit(Cause.EXITED, code=137), Why.EXITED),
        *((Exit(Cause.EXITED, code=code), Why.CRASHED) for code in (6, 134, 11, 139)),
        (Exit(Cause.SIGNALED, code=134, signal=6), Why.CRASHED),
        (Exit(Cause.SIGNALED, code=139, signal=11), Why.CRASHED),
        (Exit(Cause.SIGNALED, code=137, signal=9), Why.KILLED),
        (Exit(Cause.SIGNALED, code=143, signal=15), Why.KILLED),
        (Exit(Cause.SIGNALED, code=136, signal=8), Why.SIGNALED),
        (Exit(Cause.OUT_OF_MEMORY, code=137, signal=9), Why.OUT_OF_MEMORY),
        (Exit(Cause.START_FAILED, message="no such file"), Why.START_FAILED),
        (Exit(Cause.START_FAILED, message="disk full", internal=True), Why.INTERNAL),
        (Exit(Cause.STOPPED, code=0), Why.STOPPED),
        (Exit(Cause.LOST), Why.LOST),
    ],
)
def test_evidence_has_one_meaning(end: Exit, why: Why | None) -> None:
    """Section 4.7 of the reference, case by case."""
    assert why_ended(end) is why


def test_every_cause_of_an_executor_has_a_meaning() -> None:
    """No Cause is left without a row."""
    assert all(why_ended(Exit(cause, code=1)) is not None for cause in Cause)


def test_the_failure_message_is_the_originals() -> None:
    """Case 64: how it begins, its last lines, and where to read on."""
    end = Exit(Cause.EXITED, code=1, last_lines="Traceback\nValueError: no data\n")
    said = outcomes.replica_problem(Why.EXITED, "workerpool0-0", end, 12)
    assert said.code == 3
    assert said.message == (
        "The replica workerpool0-0 exited with a non-zero status of 1. Termination reason: Error. "
        "Traceback\nValueError: no data To find out more about why your job exited please check the logs: "
        "trainyard custom-jobs stream-logs 12"
    )


def test_a_flood_of_last_words_is_cut() -> None:
    """The error message stays readable whatever the program printed."""
    end = Exit(Cause.EXITED, code=1, last_lines="x" * 100_000)
    assert len(outcomes.replica_problem(Why.EXITED, "w", end, 1).message) < 1400


def test_braces_in_output_are_only_text() -> None:
    """A program's output is never taken for a template."""
    end = Exit(Cause.EXITED, code=1, last_lines="{replica} {0} {")
    assert "{replica} {0} {" in outcomes.replica_problem(Why.EXITED, "w", end, 1).message


@pytest.mark.parametrize(
    ("end", "status", "name"),
    [
        (Exit(Cause.EXITED, code=139), 139, "SIGSEGV"),
        (Exit(Cause.EXITED, code=6), 6, "SIGABRT"),
        (Exit(Cause.SIGNALED, signal=9), 137, "SIGKILL"),
        (Exit(Cause.SIGNALED, signal=63), 191, "signal 63"),
        (Exit(Cause.START_FAILED), 128, ""),
        (Exit(Cause.LOST), 1, ""),
    ],
)
def test_status_and_signal_are_as_a_shell_gives_them(end: Exit, status: int, name: str) -> None:
    """128+n for signals, 128 for what could not start."""
    assert outcomes.exit_status(end) == status
    assert outcomes.signal_name(end) == name


def test_sentences_end_with_a_full_stop() -> None:
    """Fragments from an executor are made sentences, and kept where they are."""
    for message, wanted in (("gone", "was lost. gone."), ("Gone!", "was lost. Gone!"), ("", "was lost.")):
        assert wanted in outcomes.replica_sentence(Why.LOST, "w", Exit(Cause.LOST, message=message))


@pytest.mark.parametrize("text", [*Wait, *Line])
def test_waits_and_narration_are_templates_that_parse(text: str) -> None:
    """Every blank in them has a name."""
    names = [name for _, name, _, _ in string.Formatter().parse(text.value) if name is not None]
    assert all(names)


@pytest.mark.parametrize(("seconds", "text"), [(2.0, "2"), (1.5, "1.5"), (100.0, "100"), (0.0, "0"), (0.0004, "0")])
def test_seconds_are_written_plainly(seconds: float, text: str) -> None:
    """No trailing zeros, no exponent."""
    assert outcomes.plain_seconds(seconds) == text


def test_the_one_line_names_the_exception_and_not_what_was_printed_after_it() -> None:
    """A traceback's own last line tells why, also where a framework adds advice below; without one, the last line."""
    printed = (
        "Traceback (most recent call last):\n  File 'a.py', line 1\n    x\nValueError: first\n\n"
        "The above exception was the direct cause of the following exception:\n\n"
        "Traceback (most recent call last):\n  File 'b.py', line 2\n    raise it\njax.Error: no device\n"
        "----------\nFor simplicity, the framework has removed its frames.\n"
    )
    end = Exit(Cause.EXITED, code=1, last_lines=printed)
    assert outcomes.replica_problem(Why.EXITED, "workerpool0-0", end, 5).in_one_line.endswith(
        ' "jax.Error: no device".'
    )
    plain = Exit(Cause.EXITED, code=1, last_lines="epoch 1: fine\ngiving up")
    assert outcomes.replica_problem(Why.EXITED, "workerpool0-0", plain, 5).in_one_line.endswith(' "giving up".')
    torn = Exit(Cause.EXITED, code=1, last_lines="Traceback (most recent call last):\n  File 'a.py'\n    x")
    assert outcomes.replica_problem(Why.EXITED, "workerpool0-0", torn, 5).in_one_line.endswith(' "x".')
    silent = Exit(Cause.EXITED, code=1, last_lines="Traceback (most recent call last):")
    assert "Error." in outcomes.replica_problem(Why.EXITED, "workerpool0-0", silent, 5).in_one_line


# "Understand the custom training service" and "Use Spot VMs with training": what is done about an end, how often.
RETRY_TABLE = [
    (Exit(Cause.EXITED, code=1), Remedy.NONE, 0),
    (Exit(Cause.EXITED, code=6), Remedy.RETRY_JOB, 3),
    (Exit(Cause.EXITED, code=134), Remedy.RETRY_JOB, 3),
    (Exit(Cause.EXITED, code=11), Remedy.RETRY_JOB, 3),
    (Exit(Cause.EXITED, code=139), Remedy.RETRY_JOB, 3),
    (Exit(Cause.SIGNALED, code=139, signal=11), Remedy.RETRY_JOB, 3),
    (Exit(Cause.OUT_OF_MEMORY, code=137), Remedy.NONE, 0),
    (Exit(Cause.SIGNALED, code=137, signal=9), Remedy.RESTART_WORKER, 3),
    (Exit(Cause.LOST), Remedy.RESTART_WORKER, 3),
    (Exit(Cause.START_FAILED, internal=True), Remedy.RETRY_JOB, 2),
    (Exit(Cause.START_FAILED), Remedy.NONE, 0),
]


@pytest.mark.parametrize(("end", "remedy", "retries"), RETRY_TABLE)
def test_ends_are_retried_as_the_original_does(end: Exit, remedy: Remedy, retries: int) -> None:
    """A user's fault and lack of memory are permanent; a crash has three retries, a fault of the service two."""
    why = why_ended(end)
    assert why is not None
    assert (OUTCOMES[why].remedy, OUTCOMES[why].retries) == (remedy, retries)


def test_capacity_is_retried_as_the_original_does() -> None:
    """A preempted job starts again six times; waiting longer for what is not there mends nothing."""
    assert (OUTCOMES[Why.PREEMPTED].remedy, OUTCOMES[Why.PREEMPTED].retries) == (Remedy.RETRY_JOB, 6)
    assert OUTCOMES[Why.NO_CAPACITY].remedy is OUTCOMES[Why.WAITED_TOO_LONG].remedy is Remedy.NONE
