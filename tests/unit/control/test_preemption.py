"""Who gives up their place, and that it is never one too many."""

from __future__ import annotations

import random

import pytest

from trainyard.control.admission import Admission
from trainyard.control.asks import Amount, ask_of
from trainyard.control.preemption import chosen_for
from trainyard.core.runs import Capacity, Resources
from trainyard.kind import Demand
from trainyard.testing.builders import plain_job


def demand(replicas: int, *, spot: bool = False, leaving: bool = False, gpus: int = 0) -> Demand:
    return Demand((Resources(gpus=gpus),) * replicas, spot, leaving)


class Desk:
    """An admission, and jobs by number."""

    def __init__(self, replicas: int, gpus: int | None = None) -> None:
        self.total = Capacity(replicas, gpus)
        self.admission = Admission(lambda: self.total, backfill_seconds=60.0)

    def hold(self, number: int, replicas: int = 1, project: str = "p", *, leaving: bool = False, gpus: int = 0) -> None:
        wanted = demand(replicas, spot=True, leaving=leaving, gpus=gpus)
        self.admission.hold(plain_job(number, project=project, priority=-1000), wanted)

    def wait(self, number: int, replicas: int = 1, *, spot: bool = False, gpus: int = 0, priority: int = 0) -> None:
        job = plain_job(number, priority=priority - 1000 * spot)
        self.admission.wait(job, demand(replicas, spot=spot, gpus=gpus), 0)

    def round(self) -> tuple[list[int], list[int]]:
        """Who is let in, and who is to go."""
        return self.admission.admit(0), self.admission.displaced()


def test_who_needs_a_place_gets_that_of_one_that_is_preemptible() -> None:
    """One is asked, once, and told for whom; only when it is gone the other is let in."""
    desk = Desk(2)
    desk.hold(1)
    desk.hold(2)
    desk.wait(3)
    assert desk.round() == ([], [2])
    assert desk.admission.taker(2) == f"customJobs/3 of project {plain_job(3).name.scope.project}"
    assert desk.admission.taker(1) == ""
    assert desk.round() == ([], [])
    desk.admission.leave(2)
    desk.admission.leave(2)
    assert (desk.admission.taker(2), desk.admission.is_leaving(2)) == ("", True)
    assert desk.round() == ([], [])
    assert desk.admission.drop(2)
    assert desk.round() == ([3], [])


def test_a_preemptible_job_takes_nobodys_place() -> None:
    """SPOT waits for SPOT."""
    desk = Desk(1)
    desk.hold(1)
    desk.wait(2, spot=True)
    assert desk.round() == ([], [])


def test_nobody_goes_where_that_would_not_help() -> None:
    """A gang that would not fit even then ends nobody; one that does ends as many as it needs."""
    desk = Desk(4)
    desk.hold(1)
    desk.admission.hold(plain_job(2), demand(2))
    desk.wait(3, 3)
    assert desk.round() == ([], [])
    desk.hold(4)
    desk.wait(5, 2)
    assert desk.round() == ([], [4, 1])


def test_room_that_is_about_to_be_free_is_waited_for() -> None:
    """Where somebody is leaving anyway nobody else is ended, also after a restart of the service."""
    desk = Desk(2)
    desk.hold(1)
    desk.hold(2, leaving=True)
    desk.wait(3)
    assert desk.round() == ([], [])
    desk.admission.drop(2)
    assert desk.round() == ([3], [])


def test_a_promised_place_is_not_given_to_another() -> None:
    """A smaller job that came later does not slip in while the room for a gang is being made."""
    desk = Desk(3)
    desk.hold(1, 2)
    desk.wait(2, 3)
    assert desk.round() == ([], [1])
    desk.wait(3)
    desk.wait(4, spot=True)
    assert desk.round() == ([], [])
    desk.admission.drop(1)
    assert desk.round() == ([2], [])


def test_free_room_beside_a_promise_is_given() -> None:
    """What the promise leaves over may be used at once."""
    desk = Desk(4, gpus=1)
    desk.hold(1, gpus=1)
    desk.wait(2, gpus=1)
    desk.wait(3)
    assert desk.round() == ([3], [1])


def test_two_who_need_a_place_are_served_side_by_side() -> None:
    """The second does not wait for the first to be in."""
    desk = Desk(2)
    desk.hold(1)
    desk.hold(2)
    desk.wait(3)
    desk.wait(4)
    assert desk.round() == ([], [2, 1])
    assert [desk.admission.taker(number).split()[0] for number in (2, 1)] == ["customJobs/3", "customJobs/4"]


@pytest.mark.parametrize("ends", ["drop", "capacity"])
def test_who_has_not_begun_to_go_is_spared(ends: str) -> None:
    """When the needy one is cancelled, or finds another place, the asked one stays."""
    desk = Desk(1)
    desk.hold(1)
    desk.wait(2)
    assert desk.round() == ([], [1])
    if ends == "drop":
        desk.admission.drop(2)
    else:
        desk.total = Capacity(2)
        assert desk.round() == ([2], [])
    assert desk.admission.taker(1) == ""
    desk.admission.drop(1)
    desk.hold(1)
    desk.wait(3, 2 if ends == "capacity" else 1)
    assert (desk.round() == ([], [1])) is (ends == "drop")


def test_one_that_ends_by_itself_meanwhile_is_no_longer_asked() -> None:
    """Its room is counted once."""
    desk = Desk(2)
    desk.hold(1)
    desk.hold(2)
    desk.wait(3)
    assert desk.round() == ([], [2])
    desk.admission.drop(2)
    desk.admission.drop(1)
    assert desk.round() == ([3], [])
    desk.hold(4)
    desk.wait(5, 2)
    assert desk.round() == ([], [])


def candidates(*rows: tuple[int, int, str]) -> list:
    return [
        ask_of(plain_job(number, project=project), demand(replicas, spot=True), 0)
        for number, (replicas, _, project) in enumerate(rows, 1)
    ]


def test_the_choice_loses_least() -> None:
    """The smallest that suffices; of equals one of the project that has most, then the youngest."""
    rows = candidates((3, 0, "p"), (1, 0, "p"), (1, 0, "q"), (1, 0, "q"))
    used_by = {ask.project: 3 + ask.job_id for ask in rows}
    assert [ask.job_id for ask in chosen_for(Amount(1), rows, Capacity(6), Amount(6), used_by)] == [4]
    rows = candidates((1, 0, "p"), (1, 0, "q"))
    used_by = {rows[0].project: 5, rows[1].project: 1}
    assert [ask.job_id for ask in chosen_for(Amount(1), rows, Capacity(2), Amount(2), used_by)] == [1]
    rows = candidates((1, 0, "p"), (1, 0, "p"), (2, 0, "p"))
    assert [ask.job_id for ask in chosen_for(Amount(2), rows, Capacity(4), Amount(4), {})] == [3]


@pytest.mark.parametrize("seed", range(300))
def test_no_choice_has_one_too_many(seed: int) -> None:
    """Whatever is held and asked for: those chosen suffice, and without any one of them they would not."""
    rng = random.Random(seed)
    asks = [
        ask_of(
            plain_job(number, project=rng.choice("pq")),
            Demand((Resources(rng.choice((0.0, 2.0)), rng.choice((0, 7)), rng.choice((0, 1))),) * rng.randint(1, 4)),
            0,
        )
        for number in range(1, rng.randint(2, 8))
    ]
    used = sum((ask.amount for ask in asks), Amount())
    total = Capacity(used.replicas + 1, used.gpus, used.cpus + 1, used.memory_bytes)
    wanted = Amount(rng.randint(1, 6), rng.randint(0, 3), rng.choice((0.0, 4.0)), rng.choice((0, 14)))
    chosen = chosen_for(wanted, asks, total, used, {})
    if not chosen:
        assert wanted.fits(total, used) or not wanted.fits(total, Amount())
        return
    left = used
    for ask in chosen:
        left = left - ask.amount
    assert wanted.fits(total, left)
    assert not any(wanted.fits(total, left + ask.amount) for ask in chosen)


def test_who_gives_way_is_of_the_share_that_is_needed() -> None:
    """A SPOT job outside of a reservation is no help to who needs a place in it, nor the other way round."""
    total = Capacity(3, reserved=(("a", 1), ("b", 1)))
    rows = [
        ask_of(plain_job(number), Demand((Resources(reservation=name),), preemptible=True), 0)
        for number, name in enumerate(("a", "b", ""), 1)
    ]
    used = sum((ask.amount for ask in rows), Amount())
    for number, name in enumerate(("a", "b", ""), 1):
        wanted = ask_of(plain_job(9), Demand((Resources(reservation=name),)), 0).amount
        assert [ask.job_id for ask in chosen_for(wanted, rows, total, used, {})] == [number]


def test_any_reservation_may_need_the_place_of_another() -> None:
    """Who may be of a share or of none has one that gives way, wherever it is, and takes what becomes free."""
    admission = Admission(lambda: Capacity(2, reserved=(("a", 1),)), backfill_seconds=60.0)
    admission.hold(plain_job(1, priority=-1000), Demand((Resources(reservation="a"),), preemptible=True))
    admission.hold(plain_job(2), Demand((Resources(),)))
    admission.wait(plain_job(3), Demand((Resources(any_of=("a",)),)), 0)
    assert (admission.admit(0), admission.displaced()) == ([], [1])
    admission.wait(plain_job(4), Demand((Resources(reservation="a"),)), 0)
    admission.leave(1)
    admission.drop(1)
    assert admission.admit(0) == [3]
    admission.drop(3)
    assert admission.admit(0) == [4]
