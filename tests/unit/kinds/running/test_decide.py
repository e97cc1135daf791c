"""What comes next for a CustomJob, called with plain values."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainyard.core.jobs import Decision, Intent, Job, Launch, Release, Status, Stop
from trainyard.core.runs import Cause, Exit, Phase, Reading, ReplicaReading
from trainyard.core.states import FINAL, JobState
from trainyard.kind import Room
from trainyard.kinds.running.decide import decide
from trainyard.kinds.running.memo import End, Memo, Timer, Verdict, is_leaving
from trainyard.kinds.running.policy import RunPolicy
from trainyard.testing.builders import plain_job

T = 1_000_000_000_000
SECOND = 1_000_000
ONE = RunPolicy(("workerpool0-0",), timeout_seconds=60.0, grace_seconds=5.0, location="us-central1")
TWO = replace(ONE, replicas=("workerpool0-0", "workerpool1-0"))
RUNNING = ReplicaReading(Phase.RUNNING)
STARTING = ReplicaReading(Phase.STARTING)


def ended(code: int = 0, cause: Cause = Cause.EXITED, incarnation: int = 0, **more) -> ReplicaReading:
    return ReplicaReading(Phase.ENDED, incarnation, Exit(cause, code=code, **more))


def queued(**fields) -> Job:
    return plain_job(7, create_time_us=T, **fields)


def live(state: JobState = JobState.PENDING, memo: Memo | None = None, **fields) -> Job:
    memo = memo or Memo(timer=Timer(T, 0))
    return replace(queued(), status=Status(state, T, attempt=1, run_id="7-1", memo=memo.dump()), **fields)


def seen(*replicas: ReplicaReading, steady_us=SECOND, counts=False, notes=()) -> Reading:
    shown = dict(zip(TWO.replicas, replicas, strict=False))
    shown = {name: one for name, one in shown.items() if one.phase is not Phase.ABSENT}
    return Reading("7-1", T, shown, notes, steady_us=steady_us, absence_counts=counts)


ABSENT = ReplicaReading(Phase.ABSENT)


def states(decision: Decision) -> list[JobState]:
    return [change.target for change in decision.changes]


def test_a_final_job_stays_as_it_is() -> None:
    """There is no way out of a final state, whatever is seen."""
    job = live(JobState.FAILED)
    assert decide(job, ONE, seen(ended()), None, T) == Decision(job.status)


def test_admission_comes_with_attempt_and_launch() -> None:
    """The attempt's number is durable before the launch that it names."""
    decision = decide(queued(), ONE, None, Room(granted=True, steady_us=5), T)
    assert states(decision) == [JobState.PENDING]
    assert (decision.status.attempt, decision.status.run_id) == (1, "7-1")
    assert decision.actions == (Launch("7-1"),)
    assert Memo.parse(decision.status.memo).timer == Timer(T, 5)


def test_a_short_wait_writes_nothing() -> None:
    """Below a second a waiting job costs no commit; after it the reason is told once."""
    job, room = queued(), Room(granted=False, why_not="It asks for 2 replicas.")
    soon = decide(job, ONE, None, room, T + 1)
    assert soon.status == job.status
    assert soon.look_again_us == T + SECOND
    later = decide(job, ONE, None, room, T + SECOND)
    assert later.status.waits_for == "It asks for 2 replicas."
    assert [note.text for note in later.notes] == ["Waiting for job to be provisioned. It asks for 2 replicas."]
    again = decide(replace(job, status=later.status), ONE, None, room, T + 9 * SECOND)
    assert (again.status, again.notes) == (later.status, ())


def test_who_is_far_back_in_the_queue_is_not_told_unasked() -> None:
    """It costs neither a commit nor a timer, until it moves up; FLEX_START's wait is measured wherever it stands."""
    job, room = queued(), Room(granted=False, why_not="W.", steady_us=0, far=True)
    assert decide(job, ONE, None, room, T) == Decision(job.status)
    assert decide(job, ONE, None, room, T + 9 * SECOND) == Decision(job.status)
    assert decide(job, ONE, None, replace(room, far=False), T + 9 * SECOND).status.waits_for == "W."
    assert decide(job, replace(ONE, max_wait_seconds=10.0), None, room, T).look_again_us == T + 10 * SECOND
    assert decide(job, ONE, None, replace(room, never=True), T).status.state is JobState.FAILED


def test_a_calendar_set_back_does_not_silence_a_wait() -> None:
    """A create time that lies in the future now is no reason to wait for it."""
    decision = decide(queued(), ONE, None, Room(granted=False, why_not="W."), T - 3600 * SECOND)
    assert decision.status.waits_for == "W."


def test_without_an_answer_about_room_it_is_asked_again() -> None:
    """No room is known: nothing happens but another look."""
    decision = decide(queued(), ONE, None, None, T)
    assert decision.status == queued().status
    assert decision.look_again_us == T + SECOND


def test_what_can_never_fit_fails_with_the_originals_words() -> None:
    """RESOURCE_EXHAUSTED, the region, what was asked and what there is."""
    decision = decide(queued(), ONE, None, Room(False, "It asks for 9 replicas; there are 4.", never=True), T)
    assert states(decision) == [JobState.FAILED]
    assert decision.status.error.code == 8
    assert decision.status.error.message == (
        "Resources are insufficient in region: us-central1. It asks for 9 replicas; there are 4."
    )
    assert decision.status.end_time_us == T
    assert decision.status.start_time_us is None


def test_flex_start_waits_by_the_steady_clock() -> None:
    """maxWaitDuration counts from the first look, whatever the calendar does, and its end fails the job."""
    policy, room = replace(ONE, max_wait_seconds=10.0), Room(False, "W.", steady_us=0)
    first = decide(queued(), policy, None, room, T)
    assert first.look_again_us == T + 10 * SECOND
    job = replace(queued(), status=first.status)
    jumped = T + 3600 * SECOND
    assert decide(job, policy, None, replace(room, steady_us=9 * SECOND), jumped).status == first.status
    over = decide(job, policy, None, replace(room, steady_us=10 * SECOND), T)
    assert states(over) == [JobState.FAILED]
    assert "waited 10 s for room" in over.status.error.message


def test_a_cancel_in_the_queue_is_complete_at_once() -> None:
    """Case 54: CANCELLED without ever having started, and it says who asked."""
    job = replace(queued(), intent=Intent.CANCEL, intent_by="ann@example.com")
    decision = decide(job, ONE, None, Room(granted=True), T)
    assert states(decision) == [JobState.CANCELLING, JobState.CANCELLED]
    assert decision.status.start_time_us is None
    assert decision.status.error.code == 1
    assert "CANCELED" in decision.status.error.message
    assert "ann@example.com" in decision.status.error.message
    assert decision.actions == ()


def test_without_a_reading_of_this_run_nothing_is_decided() -> None:
    """No reading, or one of another run group, only asks for another look."""
    job = live()
    for reading in (None, replace(seen(ended()), run_id="7-0")):
        decision = decide(job, ONE, reading, None, T)
        assert (decision.status, decision.actions) == (job.status, ())
        assert decision.look_again_us == T + SECOND


def test_running_is_set_when_every_replica_is_up() -> None:
    """One of two is not enough; an end after a start counts as having been up."""
    assert states(decide(live(), TWO, seen(RUNNING, STARTING), None, T)) == []
    decision = decide(live(), TWO, seen(RUNNING, ended(0)), None, T)
    assert states(decision) == [JobState.RUNNING]
    assert decision.status.start_time_us == T


def test_a_group_that_ran_and_ended_between_two_looks_goes_through_both() -> None:
    """PENDING to RUNNING to SUCCEEDED in one decision, with record, release and narration."""
    decision = decide(live(), ONE, seen(ended(0, started_us=T)), None, T + 1)
    assert states(decision) == [JobState.RUNNING, JobState.SUCCEEDED]
    assert (decision.status.start_time_us, decision.status.end_time_us) == (T + 1, T + 1)
    assert decision.status.run_id is None
    assert decision.actions == (Release("7-1"),)
    assert [(one.replica, one.incarnation, one.exit.code) for one in decision.records] == [("workerpool0-0", 0, 0)]
    assert [note.text for note in decision.notes] == [
        "workerpool0-0: Task completed. Exit code (0). Exit reason (SUCCEEDED).",
        "Job is running.",
        "Finished tearing down training program.",
        "Job completed successfully.",
    ]


def test_the_primarys_success_ends_the_job_once_the_others_are_gone() -> None:
    """Case 63: stop the others, final only when the last reads ended; success also counts from PENDING."""
    first = decide(live(), TWO, seen(ended(0), STARTING), None, T)
    assert states(first) == [JobState.RUNNING]
    assert first.actions == (Stop("7-1", 5.0),)
    job = replace(live(), status=first.status)
    waiting = decide(job, TWO, seen(ended(0), RUNNING), None, T)
    assert (waiting.status, waiting.actions) == (first.status, (Stop("7-1", 5.0),))
    last = decide(job, TWO, seen(ended(0), ended(143, Cause.STOPPED)), None, T)
    assert states(last) == [JobState.SUCCEEDED]
    assert [one.replica for one in last.records] == ["workerpool1-0"]


def test_a_users_error_is_permanent_on_any_replica() -> None:
    """Cases 64 and 65: FAILED with code 3, naming the replica; the rest is stopped first."""
    first = decide(live(), TWO, seen(RUNNING, ended(1, last_lines="ValueError")), None, T)
    assert first.actions == (Stop("7-1", 5.0),)
    job = replace(live(), status=first.status)
    decision = decide(job, TWO, seen(ended(143, Cause.STOPPED), ended(1)), None, T)
    assert states(decision) == [JobState.FAILED]
    assert decision.status.error.code == 3
    assert decision.status.error.message.startswith(
        "The replica workerpool1-0 exited with a non-zero status of 1. Termination reason: Error. ValueError"
    )


def test_of_several_failures_the_first_to_end_is_named() -> None:
    """The others are likely its consequences."""
    decision = decide(live(), TWO, seen(ended(2, ended_us=9), ended(3, ended_us=5)), None, T)
    assert "workerpool1-0 exited with a non-zero status of 3" in decision.status.error.message


def test_the_primarys_success_outweighs_a_workers_failure() -> None:
    """Both are seen in one look: the job has done what it was for."""
    decision = decide(live(), TWO, seen(ended(0), ended(1)), None, T)
    assert states(decision)[-1] is JobState.SUCCEEDED


@pytest.mark.parametrize("code", [6, 134, 11, 139])
def test_a_crash_is_retried_three_times(code: int) -> None:
    """Case 66: RETRIED with a doubling back-off, then FAILED with the code."""
    job = live(JobState.RUNNING)
    for number, delay in ((1, 1), (2, 2), (3, 4)):
        decision = decide(job, ONE, seen(ended(code)), None, T)
        assert states(decision) == [JobState.PENDING]
        assert decision.status.run_id is None
        assert decision.actions == (Release("7-1"),)
        assert decision.look_again_us == T + delay * SECOND
        memo = Memo.parse(decision.status.memo)
        assert memo.retries == {"crashed": number}
        job = live(JobState.RUNNING, Memo(retries=memo.retries, timer=Timer(T, 0), ran=True))
    decision = decide(job, ONE, seen(ended(code)), None, T)
    assert states(decision) == [JobState.FAILED]
    assert f"status of {code}" in decision.status.error.message
    assert "retried 3 times" in decision.status.error.message


def test_the_next_attempt_starts_after_its_back_off() -> None:
    """Not before; then with a new number, and durable before it is launched."""
    memo = Memo(retries={"crashed": 1}, timer=Timer(T, 0), ran=True, retry_after_us=T, retry_delay_us=SECOND)
    job = replace(live(), status=Status(JobState.PENDING, T, attempt=1, memo=memo.dump()))
    early = decide(job, ONE, None, None, T + 1)
    assert (early.status, early.look_again_us) == (job.status, T + SECOND)
    decision = decide(job, ONE, None, None, T + SECOND)
    assert (decision.status.attempt, decision.status.run_id, decision.changes) == (2, "7-2", ())
    assert decision.actions == (Launch("7-2"),)
    assert Memo.parse(decision.status.memo).timer == Timer(T, 0)


def test_a_calendar_set_back_does_not_hold_the_next_attempt() -> None:
    """The back-off is over at once rather than an hour late."""
    memo = Memo(retry_after_us=T, retry_delay_us=SECOND)
    job = replace(live(), status=Status(JobState.PENDING, T, attempt=1, memo=memo.dump()))
    assert decide(job, ONE, None, None, T - 3600 * SECOND).actions == (Launch("7-2"),)


def test_a_cancel_between_two_attempts_is_complete_at_once() -> None:
    """Nothing of the job runs."""
    job = replace(live(), status=Status(JobState.PENDING, T, attempt=1), intent=Intent.CANCEL)
    assert states(decide(job, ONE, None, None, T)) == [JobState.CANCELLING, JobState.CANCELLED]


def test_disable_retries_means_no_second_start() -> None:
    """Neither a retry of the job nor a restart of a worker."""
    for end in (ended(139), ended(137, Cause.SIGNALED, signal=9), ended(cause=Cause.LOST)):
        decision = decide(live(), replace(ONE, disable_retries=True), seen(end), None, T)
        assert states(decision)[-1] is JobState.FAILED
        assert "disableRetries" in decision.status.error.message


@pytest.mark.parametrize(
    "end", [ended(137, Cause.SIGNALED, signal=9), ended(143, Cause.SIGNALED, signal=15), ended(cause=Cause.LOST)]
)
def test_a_passing_loss_restarts_that_worker_in_place(end: ReplicaReading) -> None:
    """Its incarnation grows, the job goes on, and the end is recorded."""
    decision = decide(live(JobState.RUNNING), TWO, seen(RUNNING, end), None, T)
    assert decision.status.state is JobState.RUNNING
    assert Memo.parse(decision.status.memo).incarnations == {"workerpool1-0": 1}
    assert decision.actions == (Launch("7-1"),)
    assert len(decision.records) == 1
    assert "restart 1 of 5" in decision.notes[-1].text


def test_after_five_restarts_the_job_is_retried_and_after_three_retries_it_fails() -> None:
    """Section 4.7: up to five per worker, then the whole job up to three times."""
    worn = Memo(incarnations={"workerpool0-0": 5}, timer=Timer(T, 0))
    end = ended(cause=Cause.LOST, incarnation=5)
    assert states(decide(live(memo=worn), ONE, seen(end), None, T))[-1] is JobState.PENDING
    spent = replace(worn, retries={"lost": 3})
    assert states(decide(live(memo=spent), ONE, seen(end), None, T))[-1] is JobState.FAILED


def test_restart_job_on_worker_restart() -> None:
    """What would restart one worker ends the attempt and retries the job."""
    policy = replace(TWO, restart_job_on_worker_restart=True)
    first = decide(live(JobState.RUNNING), policy, seen(RUNNING, ended(cause=Cause.LOST)), None, T)
    assert first.actions == (Stop("7-1", 5.0),)
    job = replace(live(), status=first.status)
    gone = decide(job, policy, seen(ended(143, Cause.STOPPED), ended(cause=Cause.LOST)), None, T)
    assert states(gone) == [JobState.PENDING]
    assert gone.status.run_id is None


def test_memory_and_the_users_start_failure_are_permanent_ours_is_retried_twice() -> None:
    """OOM and `no such program` mend by no retry; what failed on our side may."""
    out = decide(live(), ONE, seen(ended(137, Cause.OUT_OF_MEMORY, signal=9)), None, T)
    assert "ran out of memory and exited with a non-zero status of 137" in out.status.error.message
    user = ReplicaReading(Phase.ENDED, 0, Exit(Cause.START_FAILED, message="no such program: trian"))
    decision = decide(live(), ONE, seen(user), None, T)
    assert states(decision) == [JobState.FAILED]
    assert "status of 128. Termination reason: StartError. no such program: trian." in decision.status.error.message
    ours = ReplicaReading(Phase.ENDED, 0, Exit(Cause.START_FAILED, message="disk full", internal=True))
    assert states(decide(live(), ONE, seen(ours), None, T)) == [JobState.PENDING]
    spent = live(memo=Memo(retries={"internal": 2}, timer=Timer(T, 0)))
    over = decide(spent, ONE, seen(ours), None, T)
    assert over.status.error.message.startswith("Internal error occurred for the current attempt")


def test_absence_counts_only_when_it_is_proof() -> None:
    """Law 4: before the settle time a missing replica is launched again, after it the run is fenced, then retried."""
    early = decide(live(), ONE, seen(ABSENT), None, T)
    assert (early.status, early.actions) == (live().status, (Launch("7-1"),))
    fenced = decide(live(), ONE, seen(ABSENT, counts=True), None, T)
    assert (states(fenced), fenced.actions) == ([], (Stop("7-1", 5.0),))
    gone = decide(replace(live(), status=fenced.status), ONE, seen(ABSENT, counts=True), None, T)
    assert states(gone) == [JobState.PENDING]
    assert gone.records == ()


def test_an_older_incarnations_reading_is_no_news() -> None:
    """Its end was dealt with; what is launched now has not been seen yet."""
    memo = Memo(incarnations={"workerpool0-0": 1}, recorded={"workerpool0-0": 1}, timer=Timer(T, 0), ran=True)
    decision = decide(live(JobState.RUNNING, memo), ONE, seen(ended(137, Cause.SIGNALED, signal=9)), None, T)
    assert (decision.records, decision.changes, decision.actions) == ((), (), (Launch("7-1"),))


def test_an_end_without_a_record_is_a_loss() -> None:
    """ENDED without evidence says so."""
    decision = decide(live(JobState.RUNNING), ONE, seen(ReplicaReading(Phase.ENDED)), None, T)
    assert decision.records[0].exit.cause is Cause.LOST


def test_the_timeout_counts_from_the_first_program_by_the_steady_clock() -> None:
    """An hour's jump of the calendar ends nothing early; the time being over ends it as CANCELLED."""
    memo = Memo(timer=Timer(T, 100 * SECOND), ran=True)
    job = live(JobState.RUNNING, memo)
    fine = decide(job, ONE, seen(RUNNING, steady_us=159 * SECOND), None, T + 3600 * SECOND)
    assert (states(fine), fine.actions) == ([], ())
    assert fine.look_again_us == T + 3601 * SECOND
    over = decide(job, ONE, seen(RUNNING, steady_us=160 * SECOND), None, T - 3600 * SECOND)
    assert states(over) == [JobState.CANCELLING]
    assert over.actions == (Stop("7-1", 5.0),)
    gone = decide(replace(job, status=over.status), ONE, seen(ended(143, Cause.STOPPED)), None, T)
    assert states(gone) == [JobState.CANCELLED]
    assert gone.status.error.code == 1
    assert "timeout of 60 s" in gone.status.error.message


def test_the_stopwatch_starts_with_the_first_program() -> None:
    """Preparation has a stopwatch of its own, as long as the timeout, so that nothing stays PENDING for ever."""
    job = live(memo=Memo(timer=Timer(T, 0)))
    up = decide(job, TWO, seen(RUNNING, STARTING, steady_us=50 * SECOND), None, T)
    assert Memo.parse(up.status.memo).timer == Timer(T, 50 * SECOND)
    stuck = decide(job, TWO, seen(STARTING, STARTING, steady_us=60 * SECOND), None, T)
    assert states(stuck) == [JobState.CANCELLING]


def test_a_cancel_stops_and_waits_until_all_is_gone() -> None:
    """Cases 52 and 56: CANCELLING with the stop, CANCELLED with the last process gone; code 1, who, CANCELED."""
    job = live(JobState.RUNNING, intent=Intent.CANCEL, intent_by="ann@example.com")
    first = decide(job, ONE, seen(RUNNING), None, T)
    assert states(first) == [JobState.CANCELLING]
    assert first.actions == (Stop("7-1", 5.0),)
    job = replace(job, status=first.status)
    last = decide(job, ONE, seen(ended(143, Cause.STOPPED)), None, T)
    assert states(last) == [JobState.CANCELLED]
    assert "CANCELED" in last.status.error.message
    assert "ann@example.com" in last.status.error.message


def test_a_cancel_may_lose_the_race() -> None:
    """What has ended by itself before the stop reached it keeps its end."""
    job = live(JobState.RUNNING, intent=Intent.CANCEL)
    assert states(decide(job, ONE, seen(ended(0)), None, T)) == [JobState.CANCELLING, JobState.SUCCEEDED]
    assert states(decide(job, ONE, seen(ended(1)), None, T)) == [JobState.CANCELLING, JobState.FAILED]
    stopping = live(JobState.CANCELLING, Memo(verdict=Verdict(End.CANCELLED), timer=Timer(T, 0)), intent=Intent.CANCEL)
    assert states(decide(stopping, ONE, seen(ended(0)), None, T)) == [JobState.SUCCEEDED]


def test_a_cancelled_job_is_not_retried() -> None:
    """A cancel that comes while an attempt is being ended for a retry ends the job."""
    waiting = Memo(verdict=Verdict(End.RETRY, "lost"), timer=Timer(T, 0), recorded={"workerpool0-0": 1})
    job = live(JobState.RUNNING, waiting, intent=Intent.CANCEL)
    decision = decide(job, TWO, seen(ended(cause=Cause.LOST), ended(143, Cause.STOPPED)), None, T)
    assert states(decision) == [JobState.CANCELLING, JobState.CANCELLED]


def test_the_executors_notes_are_told_once_per_job() -> None:
    """Of the group and of a replica that prepares; not again at the next look."""
    prepares = ReplicaReading(Phase.STARTING, note="installing numpy")
    first = decide(live(), ONE, seen(prepares, notes=("Runs on the host.",)), None, T + SECOND)
    assert [note.text for note in first.notes] == ["Runs on the host.", "workerpool0-0: installing numpy"]
    job = replace(live(), status=first.status)
    assert decide(job, ONE, seen(prepares, notes=("Runs on the host.",)), None, T + SECOND).notes == ()


def test_a_remark_at_the_launch_is_written_with_what_follows() -> None:
    """A commit of its own is not worth it while the program is about to start; a second later it is told alone."""
    job = live()
    waits = decide(job, ONE, seen(STARTING, notes=("Runs on the host.",)), None, T)
    assert (waits.notes, waits.status) == ((), job.status)
    assert waits.look_again_us == T + SECOND
    runs = decide(job, ONE, seen(RUNNING, notes=("Runs on the host.",)), None, T)
    assert [note.text for note in runs.notes] == ["Runs on the host.", "Job is running."]
    alone = decide(job, ONE, seen(STARTING, notes=("Runs on the host.",)), None, T + SECOND)
    assert [note.text for note in alone.notes] == ["Runs on the host."]


def test_made_up_notes_do_not_grow_the_memo_for_ever() -> None:
    """A note that changes at each look stops being told."""
    memo = Memo(told=("0" * 8,) * 200, timer=Timer(T, 0))
    decision = decide(live(memo=memo), ONE, seen(STARTING, notes=("one more",)), None, T + SECOND)
    assert decision.notes == ()


EXITS = st.builds(
    Exit,
    st.sampled_from(Cause),
    code=st.sampled_from([0, 1, 139]),
    signal=st.sampled_from([None, 8, 9, 11, 15]),
    internal=st.booleans(),
)
REPLICAS = st.one_of(
    st.just(ABSENT),
    st.builds(ReplicaReading, st.sampled_from([Phase.STARTING, Phase.RUNNING]), st.integers(0, 2)),
    st.builds(ReplicaReading, st.just(Phase.ENDED), st.integers(0, 2), st.one_of(st.none(), EXITS)),
)
LOOKS = st.lists(st.tuples(REPLICAS, REPLICAS, st.booleans(), st.booleans(), st.integers(-3600, 3600)), max_size=12)


@settings(max_examples=300, deadline=None)
@given(looks=LOOKS, disable=st.booleans(), restart=st.booleans())
def test_whatever_is_seen_a_decision_is_possible_and_lawful(looks, disable, restart) -> None:
    """No sequence of readings, cancels and calendar jumps leads outside of the table or to an end beside a process."""
    policy = replace(TWO, disable_retries=disable, restart_job_on_worker_restart=restart)
    job = replace(queued(), status=decide(queued(), policy, None, Room(granted=True, steady_us=0), T).status)
    for number, (chief, worker, counts, cancel, jump) in enumerate(looks):
        job = replace(job, intent=Intent.CANCEL if cancel else job.intent)
        reading = None
        if job.status.run_id:
            reading = replace(seen(chief, worker, counts=counts, steady_us=number * SECOND), run_id=job.status.run_id)
        decision = decide(job, policy, reading, None, T + jump * SECOND)
        assert decision == decide(job, policy, reading, None, T + jump * SECOND)
        left = job.status.run_id is not None and decision.status.run_id is None
        assert not (left and Phase.RUNNING in (chief.phase, worker.phase) and not counts)
        assert (decision.status.state in FINAL) == (decision.status.end_time_us is not None)
        job = replace(job, status=decision.status)


SPOT = replace(ONE, preemptible=True)
TAKEN = Room(granted=True, steady_us=0, taker="customJobs/9 of project 1")
STOPPED = ended(143, Cause.STOPPED)


def preempted(times: int = 0, **policy) -> Decision:
    """What comes for a running SPOT job whose place is needed, after so many preemptions before."""
    memo = Memo(timer=Timer(T, 0), ran=True, retries={"preempted": times} if times else {})
    return decide(live(JobState.RUNNING, memo), replace(SPOT, **policy), seen(RUNNING), TAKEN, T)


def test_a_spot_job_whose_place_is_needed_is_stopped_with_grace() -> None:
    """It is told who takes the place and how long it has; nothing is given back before it is gone."""
    told = preempted()
    assert told.actions == (Stop("7-1", 5.0),)
    assert told.status.state is JobState.RUNNING
    assert "taken by customJobs/9 of project 1. Its replicas are being stopped; they have 5 s" in told.notes[0].text
    assert is_leaving(told.status.memo)


def test_a_job_that_is_not_preemptible_keeps_its_place() -> None:
    """Whatever the admission says."""
    assert preempted(preemptible=False).actions == ()


def test_a_preempted_job_waits_again_with_its_stopwatch_standing() -> None:
    """Gone, it is QUEUED, keeps its count and how long it has run, and asks for room at once."""
    stopped = replace(live(JobState.RUNNING), status=replace(preempted().status))
    over = decide(stopped, SPOT, seen(STOPPED, steady_us=3 * SECOND), None, T)
    assert (over.status.state, over.status.run_id, over.look_again_us) == (JobState.QUEUED, None, T)
    assert over.actions == (Release("7-1"),)
    assert "restart 1 of 6" in over.changes[-1].why
    waiting = replace(stopped, status=over.status)
    late = T + 100 * SECOND
    again = decide(waiting, SPOT, None, Room(granted=True, steady_us=103 * SECOND), late)
    assert again.actions == (Launch("7-2"),)
    memo = Memo.parse(again.status.memo)
    assert memo.retries == {"preempted": 1}
    assert memo.timer is not None
    assert memo.timer.elapsed_us(late + SECOND, 104 * SECOND) == 4 * SECOND


def test_one_preempted_before_its_first_program_has_no_stopwatch() -> None:
    """Preparation counts anew."""
    job = live(JobState.PENDING, Memo(timer=Timer(T, 0)))
    stopping = decide(job, SPOT, seen(STARTING), TAKEN, T)
    gone = seen(replace(STOPPED, exit=Exit(Cause.STOPPED, code=143)))
    over = decide(replace(job, status=stopping.status), SPOT, gone, None, T)
    assert over.status.state is JobState.QUEUED
    assert Memo.parse(over.status.memo).timer is None


@pytest.mark.parametrize(
    ("times", "policy", "words"),
    [(6, {}, "had been retried 6 times"), (0, {"disable_retries": True}, "disableRetries is set")],
)
def test_the_budget_of_preemptions_ends(times, policy, words) -> None:
    """After six, or where no program may be started twice, it fails for lack of resources."""
    verdict = Memo.parse(preempted(times, **policy).status.memo).verdict
    assert verdict is not None
    assert verdict.problem is not None
    assert (verdict.end, verdict.problem.code) == (End.FAILED, 8)
    assert words in verdict.problem.message


@pytest.mark.parametrize(
    ("fields", "reading", "state"),
    [
        ({"intent": Intent.CANCEL}, seen(STOPPED), JobState.CANCELLED),
        ({}, seen(ended(0)), JobState.SUCCEEDED),
    ],
)
def test_a_preemption_gives_way(fields, reading, state) -> None:
    """To a cancel, and to a program that was faster."""
    job = replace(live(JobState.RUNNING), status=preempted().status, **fields)
    assert decide(job, SPOT, reading, None, T).status.state is state


def test_simulated_preemptions_come_at_their_moments() -> None:
    """On the job's own stopwatch, once each; the budget is not used up by them."""
    policy = replace(SPOT, preempted_after=(10.0, 30.0))

    def at(seconds: float, times: int) -> Decision:
        memo = Memo(timer=Timer(T, 0), ran=True, retries={"preempted": times} if times else {})
        return decide(live(JobState.RUNNING, memo), policy, seen(RUNNING, steady_us=int(seconds * SECOND)), None, T)

    assert (at(4, 0).actions, at(4, 0).look_again_us) == ((), T + 6 * SECOND)
    assert at(10, 0).actions == (Stop("7-1", 5.0),)
    assert "simulate_preemption" in at(10, 0).notes[0].text
    assert at(29, 1).actions == ()
    assert at(30, 1).actions == (Stop("7-1", 5.0),)
    assert at(59, 2).actions == ()


@pytest.mark.parametrize("spot", [True, False])
def test_a_job_in_its_back_off_gives_its_place_up_at_once(spot) -> None:
    """Nothing of it runs, so nothing is stopped and no restart is counted; its stopwatch stands meanwhile."""
    memo = Memo(retries={"crashed": 1}, timer=Timer(T, 0), ran=True, retry_after_us=T, retry_delay_us=8 * SECOND)
    job = live(JobState.PENDING, memo)
    job = replace(job, status=replace(job.status, run_id=None))
    decision = decide(job, SPOT if spot else ONE, None, replace(TAKEN, steady_us=2 * SECOND), T + 2 * SECOND)
    kept = Memo.parse(decision.status.memo)
    assert decision.status.state is (JobState.QUEUED if spot else JobState.PENDING)
    assert kept.retries == {"crashed": 1}
    assert kept.timer is not None
    assert kept.timer.carried_us == (2 * SECOND if spot else 0)
    assert kept.retry_after_us == (None if spot else T)
    assert decision.actions == ()
