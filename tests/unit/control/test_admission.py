"""Who may start, and where everyone else stands."""

from __future__ import annotations

import random

import pytest

from trainyard.control.admission import Admission
from trainyard.control.asks import Amount
from trainyard.core.errors import ResourceExhausted
from trainyard.core.jobs import Job
from trainyard.core.runs import Capacity, Places, Resources
from trainyard.kind import Demand
from trainyard.testing.builders import plain_job

MINUTE = 60_000_000
FITS = Amount.fits


def admission(**total) -> Admission:
    capacity = Capacity(**total)
    return Admission(lambda: capacity, backfill_seconds=60.0)


def job(job_id: int, project: str = "p", priority: int = 0) -> Job:
    return plain_job(job_id, project=project, priority=priority)


def demand(replicas: int, **each) -> Demand:
    return Demand((Resources(**each),) * replicas)


def test_all_replicas_or_none() -> None:
    """A gang of three does not start two."""
    desk = admission(replicas=4)
    desk.wait(job(1), demand(2), 0)
    desk.wait(job(2), demand(3), 0)
    assert desk.admit(0) == [1]
    assert not desk.room(2, 0).granted
    assert desk.drop(1)
    assert desk.admit(0) == [2]
    assert desk.room(2, 5).granted


@pytest.mark.parametrize(
    ("total", "each", "fit"),
    [
        ({"gpus": 3}, {"gpus": 1}, 3),
        ({"cpus": 1.0}, {"cpus": 0.3}, 3),
        ({"memory_bytes": 100}, {"memory_bytes": 40}, 2),
        ({}, {"cpus": 1000.0, "memory_bytes": 10**15}, 4),
    ],
)
def test_everything_handed_out_is_limited(total, each, fit) -> None:
    """Replicas, GPUs, CPUs and memory each; what is not limited here does not limit."""
    desk = admission(replicas=4, **total)
    for number in range(1, 9):
        desk.wait(job(number), demand(1, **each), 0)
    assert desk.admit(0) == list(range(1, fit + 1))


def test_a_grant_is_kept_until_it_is_dropped() -> None:
    """Asking again, waiting again and holding again change nothing; so does dropping a second time."""
    desk = admission(replicas=1)
    desk.wait(job(1), demand(1), 0)
    desk.wait(job(1), demand(1), 9)
    assert desk.admit(0) == [1]
    desk.hold(job(1), demand(1))
    desk.wait(job(1), demand(1), 0)
    assert desk.admit(0) == []
    assert desk.drop(1)
    assert not desk.drop(1)
    desk.wait(job(2), demand(1), 0)
    assert not desk.drop(2)


def test_what_ran_before_a_restart_holds_its_room() -> None:
    """Admission made anew from the live jobs gives nothing of theirs away."""
    desk = admission(replicas=3)
    desk.hold(job(1), demand(2))
    desk.wait(job(2), demand(2), 0)
    assert desk.admit(0) == []


def test_priority_then_fairness_then_order_of_arrival() -> None:
    """Larger first; then the project with fewest replicas in use; then the lower id."""
    desk = admission(replicas=1)
    for number, project, priority in ((1, "a", 0), (2, "a", 0), (3, "b", 0), (4, "a", 5)):
        desk.wait(job(number, project, priority), demand(1), 0)
    order = []
    while granted := desk.admit(0):
        order += granted
        assert [place.position for place in desk.places().values()] == list(range(1, 4 - len(order) + 1))
        desk.drop(granted[0])
    assert order == [4, 1, 2, 3]
    desk.hold(job(10, "a"), demand(1))
    desk.wait(job(11, "a"), demand(1), 0)
    desk.wait(job(12, "b"), demand(1), 0)
    assert list(desk.places()) == [12, 11]


def test_overtaking_ends_after_a_minute() -> None:
    """A large job that finds no room is overtaken by what fits, but cannot starve."""
    desk = admission(replicas=2)
    desk.hold(job(1), demand(1))
    desk.wait(job(2), demand(2), 0)
    desk.wait(job(3), demand(1), 0)
    assert desk.admit(MINUTE - 1) == [3]
    desk.drop(3)
    desk.wait(job(4), demand(1), MINUTE)
    assert desk.admit(MINUTE) == []
    desk.drop(1)
    assert desk.admit(MINUTE) == [2]


def test_what_can_never_fit_stands_in_nobodys_way() -> None:
    """It is told so with what it asks and what there is, however long it has waited."""
    desk = admission(replicas=2, gpus=1)
    desk.wait(job(1), demand(3, gpus=1), 0)
    desk.wait(job(2), demand(1), 0)
    assert desk.admit(10 * MINUTE) == [2]
    room = desk.room(1, 7)
    assert (room.never, room.granted, room.steady_us) == (True, False, 7)
    assert room.why_not == (
        "It asks for 3 replicas and 3 GPUs; all there is here is 2 replicas and 1 GPU, so it cannot ever start. "
        "Ask for less."
    )


def test_places_say_why_in_numbers() -> None:
    """Position, length, what is asked for and what is free."""
    desk = admission(replicas=4, gpus=2, cpus=8.0, memory_bytes=2**33)
    desk.hold(job(1), demand(3, gpus=0))
    desk.wait(job(2), demand(2, gpus=1, cpus=0.5, memory_bytes=2**30), 0)
    desk.wait(job(3), demand(1), 0)
    places = desk.places()
    assert (
        places[2].why == "It asks for 2 replicas, 2 GPUs, 1 CPU and 2.0 GiB of memory; "
        "free now: 1 of 4 replicas, 2 of 2 GPUs, 8 of 8 CPUs and 8.0 of 8.0 GiB of memory."
    )
    assert (places[2].position, places[2].length, places[3].position) == (1, 2, 2)
    assert places[2].since_us == job(2).create_time_us
    assert places[3].why == "It asks for 1 replica; free now: 1 of 4 replicas."


def test_who_is_far_back_is_said_to_be_so() -> None:
    """Where others have all the near places for sure, by priority or by order; not while so many fit in there."""
    desk = Admission(lambda: Capacity(replicas=1), 60.0, near=2)
    for number in (1, 2, 3):
        assert not desk.is_long or number == 3
        desk.wait(job(number), demand(1), 0)
    assert [desk.room(number, 0).far for number in (1, 2, 3)] == [False, False, True]
    desk.wait(job(4, priority=9), demand(1), 0)
    assert [desk.room(number, 0).far for number in (1, 2, 3, 4)] == [False, True, True, False]
    desk.wait(job(5), demand(2), 0)
    assert (desk.room(5, 0).never, desk.room(5, 0).far) == (True, False)


def test_a_small_hunt_for_overtakers_is_bounded() -> None:
    """A thousand jobs that do not fit are not all tried at every chance."""
    desk = admission(replicas=2)
    desk.hold(job(1), demand(1))
    for number in range(2, 1000):
        desk.wait(job(number), demand(2), 0)
    desk.wait(job(1000), demand(1), 0)
    assert desk.admit(0) == []


@pytest.mark.parametrize("seed", range(30))
def test_places_are_the_order_of_serving(seed) -> None:
    """However projects, priorities and sizes are mixed, place n is who is served as the nth."""
    rng = random.Random(seed)
    desk = admission(replicas=12)
    for number in rng.sample(range(1, 100), 4):
        desk.hold(job(number, rng.choice("abc")), demand(rng.randint(1, 3)))
    for number in rng.sample(range(100, 1000), 40):
        desk.wait(job(number, rng.choice("abcd"), rng.choice((0, 0, 5, -5))), demand(rng.randint(1, 4)), 0)
    places = desk.places()
    assert [place.position for place in places.values()] == list(range(1, 41))
    assert len(places) == 40
    assert all(place.length == 40 for place in places.values())
    assert next(iter(places)) in places
    assert 1 not in places
    assert places.get(1) is None


def test_nobody_is_tried_again_before_something_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred gangs that find no room are compared with it once; a new one that does not fit only itself."""
    compared = []
    monkeypatch.setattr(Amount, "fits", lambda self, total, used: compared.append(self) or FITS(self, total, used))
    desk = admission(replicas=4)
    desk.hold(job(1), demand(1))
    for number in range(2, 102):
        desk.wait(job(number), demand(4), 0)
    assert desk.admit(0) == []
    compared.clear()
    assert desk.admit(0) == []
    desk.wait(job(102), demand(4), 0)
    assert desk.admit(0) == []
    assert len(compared) == 1
    desk.wait(job(103, priority=1), demand(3), 0)
    assert desk.admit(0) == [103]
    desk.drop(2)
    desk.drop(103)
    assert desk.admit(0) == []
    desk.drop(1)
    assert desk.admit(0) == [3]


def test_room_that_grows_is_noticed() -> None:
    """More capacity than at the last look is handed out at the next."""
    total = [Capacity(replicas=1)]
    desk = Admission(lambda: total[0], backfill_seconds=60.0)
    desk.wait(job(1), demand(2), 0)
    assert desk.admit(0) == []
    total[0] = Capacity(replicas=2)
    assert desk.admit(0) == [1]


def test_what_is_not_limited_is_not_talked_about() -> None:
    """Without GPUs to count, and with CPUs and memory that are not set aside, only replicas are told."""
    desk = admission(replicas=2, gpus=None)
    desk.hold(job(1), demand(2))
    desk.wait(job(2), demand(1, gpus=8, cpus=4.0, memory_bytes=2**34), 0)
    assert desk.admit(0) == []
    assert desk.places()[2].why == "It asks for 1 replica; free now: 0 of 2 replicas."
    desk.drop(1)
    assert desk.admit(0) == [2]
    desk.wait(job(3), demand(3, gpus=8), 0)
    assert "all there is here is 2 replicas, so" in desk.room(3, 0).why_not


@pytest.mark.parametrize("seed", range(30))
def test_capacity_is_never_exceeded_and_nothing_leaks(seed) -> None:
    """Whatever comes and goes, grants fit, and when all is gone everything is free again."""
    rng = random.Random(seed)
    desk = admission(replicas=5, gpus=3)
    held: dict[int, tuple[int, int]] = {}
    asked: dict[int, tuple[int, int]] = {}
    for number in range(1, 200):
        asked[number] = rng.randint(1, 5), rng.randint(0, 1)
        replicas, gpus = asked[number]
        desk.wait(job(number, rng.choice("abc"), rng.choice((0, 5))), demand(replicas, gpus=gpus), number)
        for granted in desk.admit(number * 1_000_000):
            held[granted] = asked[granted]
        assert sum(one for one, _ in held.values()) <= 5
        assert sum(one * each for one, each in held.values()) <= 3
        if held and rng.random() < 0.6:
            gone = rng.choice(sorted(held))
            desk.drop(gone)
            del held[gone]
    for number in asked:
        desk.drop(number)
    desk.wait(job(500), demand(5), 0)
    assert desk.admit(0) == [500]
    assert desk.places() == {}


def test_who_can_never_start_hears_what_would_do() -> None:
    """Machine types that are too large for this machine may be taken for labels; too many replicas may not."""
    desk = admission(replicas=4, cpus=2.0, memory_bytes=8 * 2**30)
    desk.wait(job(1), demand(1, cpus=96.0, memory_bytes=2**30), 0)
    desk.wait(job(2), demand(5, cpus=0.1), 0)
    large, many = desk.room(1, 0), desk.room(2, 0)
    assert large.never
    assert large.why_not == (
        "It asks for 1 replica, 96 CPUs and 1.0 GiB of memory; all there is here is 4 replicas, 2 CPUs and 8.0 GiB of "
        "memory, so it cannot ever start. Ask for less, or have machine types taken for labels (the setting machines)."
    )
    assert many.never
    assert many.why_not.endswith("so it cannot ever start. Ask for less.")


def test_a_reservation_is_for_those_who_name_it() -> None:
    """Others do not get what is set aside, those who name it get nothing else, and one job may have of both."""
    desk = admission(replicas=4, reserved=(("a", 2),))
    desk.wait(job(1), demand(3), 0)
    desk.wait(job(2), demand(2), 0)
    desk.wait(job(3), demand(3, reservation="a"), 0)
    desk.wait(job(4), demand(1, reservation="a"), 0)
    assert desk.admit(0) == [2, 4]
    assert desk.room(1, 0).why_not == (
        "It asks for 3 replicas outside of reservations; all there is here is 2 replicas outside of reservations, so "
        "it cannot ever start. Ask for less."
    )
    assert desk.room(3, 0).never
    both = Demand((Resources(), Resources(reservation="a")))
    desk.wait(job(5), both, 0)
    desk.drop(4)
    assert desk.admit(0) == []
    assert desk.place(5).why == (
        "It asks for 1 replica outside of reservations and 1 replica in the reservation a; free now: 0 of 2 replicas "
        "outside of reservations and 2 of 2 replicas in the reservation a."
    )
    desk.drop(2)
    assert desk.admit(0) == [5]


def test_a_reservation_that_is_gone_holds_nobody() -> None:
    """A job that was accepted while there was one hears that there is none now."""
    desk = admission(replicas=4)
    desk.wait(job(1), demand(1, reservation="a"), 0)
    assert desk.admit(0) == []
    assert "all there is here is 0 replicas in the reservation a, so it cannot ever start" in desk.room(1, 0).why_not


def test_any_reservation_is_taken_before_what_is_not_reserved() -> None:
    """First the places of the shares, in their order, then the rest; what is given back is the shares' again."""
    desk = admission(replicas=4, reserved=(("a", 1), ("b", 1)))
    desk.wait(job(1), demand(3, any_of=("b", "a")), 0)
    assert desk.admit(0) == [1]
    for number, reservation in ((2, "a"), (3, "b"), (4, "")):
        desk.wait(job(number), demand(1, reservation=reservation), 0)
    assert desk.admit(0) == [4]
    desk.drop(1)
    assert desk.admit(0) == [2, 3]
    desk.wait(job(5), demand(2, any_of=("a",)), 0)
    assert desk.admit(0) == []
    assert desk.place(5).why == (
        "It asks for 2 replicas outside of reservations; free now: 1 of 2 replicas outside of reservations."
    )
    desk.drop(2)
    assert desk.admit(0) == [5]


def test_any_reservation_can_never_be_more_than_all_of_them() -> None:
    """Shares that suit and what is not reserved together are the limit; other shares are not."""
    desk = admission(replicas=4, reserved=(("a", 1), ("b", 1)))
    desk.wait(job(1), demand(4, any_of=("a",)), 0)
    assert desk.admit(0) == []
    assert desk.room(1, 0).never
    assert "asks for 3 replicas outside of reservations and 1 replica in the reservation a" in desk.room(1, 0).why_not


def test_who_has_any_reservation_keeps_it_over_a_restart() -> None:
    """A controller that begins anew counts its replicas in the shares again."""
    desk = admission(replicas=2, reserved=(("a", 1),))
    desk.hold(job(1), demand(1, any_of=("a",)))
    desk.wait(job(2), demand(1, reservation="a"), 0)
    desk.wait(job(3), demand(1), 0)
    assert desk.admit(0) == [3]
    desk.drop(1)
    assert desk.admit(0) == [2]


def test_reserved_gpus_are_for_those_of_the_share() -> None:
    """Others do not get them while they are idle; who takes any reservation does."""
    desk = Admission(lambda: Capacity(8, 2).keeping([kept(1, "a", gpus=1)]), backfill_seconds=60.0)
    for number in (1, 2):
        desk.wait(job(number), demand(1, gpus=1), 0)
    assert desk.admit(0) == [1]
    desk.wait(job(3), demand(1, gpus=1, any_of=("a",)), 0)
    assert desk.admit(0) == [3]
    desk.drop(1)
    assert desk.admit(0) == [2]
    desk.wait(job(4), demand(1, gpus=1, reservation="a"), 0)
    assert desk.admit(0) == []
    desk.drop(3)
    assert desk.admit(0) == [4]


@pytest.mark.parametrize("seed", range(30))
def test_shares_are_never_exceeded_and_nothing_leaks(seed) -> None:
    """Whoever names a share, takes any or none: those of a share never are more than it has, nor are the others."""
    rng = random.Random(seed)
    sizes = {"a": 2, "b": 1}
    desk = admission(replicas=5, reserved=tuple(sizes.items()))
    wishes = ({}, {"reservation": "a"}, {"reservation": "b"}, {"any_of": ("a", "b")}, {"any_of": ("b",)})
    held: dict[int, tuple[int, dict[str, object]]] = {}
    asked: dict[int, tuple[int, dict[str, object]]] = {}
    for number in range(1, 200):
        asked[number] = rng.randint(1, 3), rng.choice(wishes)
        replicas, wish = asked[number]
        desk.wait(job(number, rng.choice("abc")), demand(replicas, **wish), number)
        held |= {granted: asked[granted] for granted in desk.admit(number * 1_000_000)}
        assert sum(count for count, _ in held.values()) <= 5
        for share, size in sizes.items():
            assert sum(count for count, wish in held.values() if wish == {"reservation": share}) <= size
        assert sum(count for count, wish in held.values() if not wish) <= 2
        if held and rng.random() < 0.6:
            gone = rng.choice(sorted(held))
            desk.drop(gone)
            del held[gone]
    for number in asked:
        desk.drop(number)
    desk.wait(job(500), demand(2, any_of=("a",)), 0)
    desk.wait(job(501), demand(2), 0)
    desk.wait(job(502), demand(1, reservation="b"), 0)
    assert desk.admit(0) == [500, 501, 502]


def kept(replicas: int, share: str = "warm/n1", **each) -> Places:
    return Places(share, replicas, Resources(**each))


def test_places_are_for_those_who_name_them() -> None:
    """From the moment they are set aside, and no longer; who has room elsewhere keeps it."""
    desk = admission(replicas=4)
    desk.wait(job(1), demand(3), 0)
    assert desk.admit(0) == [1]
    desk.set_aside([kept(2)])
    desk.wait(job(2), demand(1), 0)
    desk.wait(job(3), demand(1, reservation="warm/n1"), 0)
    desk.wait(job(4), demand(1, reservation="warm/n1"), 0)
    assert desk.admit(0) == [3]  # the other place of the resource is still job 1's
    desk.drop(1)
    assert desk.admit(0) == [2, 4]
    desk.wait(job(5), demand(1), 0)
    desk.wait(job(6), demand(1), 0)
    assert desk.admit(0) == [5]
    desk.drop(3)
    assert desk.admit(0) == []
    desk.set_aside([])
    assert desk.admit(0) == [6]


def test_who_waits_for_places_hears_who_has_them() -> None:
    """By the resource's name and its machine, with the numbers of the moment; others by what they are not of."""
    desk = admission(replicas=4)
    desk.set_aside([kept(2)])
    desk.wait(job(1), demand(2, reservation="warm/n1"), 0)
    desk.wait(job(2), demand(1, reservation="warm/n1"), 0)
    assert desk.admit(0) == [1]
    assert desk.room(2, 0).why_not == (
        "It asks for 1 replica of the persistent resource warm (n1); less than that is free now, or jobs before it "
        "wait for room."
    )
    assert desk.place(2).why == (
        "It asks for 1 replica of the persistent resource warm (n1); free now: 0 of 2 replicas of the persistent "
        "resource warm (n1); in use by customJobs/1."
    )
    desk.wait(job(3), demand(3), 0)
    assert "all there is here is 2 replicas outside of persistent resources" in desk.room(3, 0).why_not
    desk.set_aside([])
    assert desk.room(2, 0).why_not == (
        "It asks for 1 replica of the persistent resource warm (n1); all there is here is 0 replicas of the "
        "persistent resource warm (n1), so it cannot ever start. Ask for less, or make the resource again (trainyard "
        "pools create)."
    )


@pytest.mark.parametrize("unit", ["gpus", "cpus", "memory_bytes"])
def test_places_keep_what_their_machines_have(unit: str) -> None:
    """GPUs, CPUs and memory of places that nobody has taken are not for others; what is taken counts once."""
    desk = admission(replicas=8, **{unit: 4})
    desk.set_aside([kept(2, **{unit: 1})])
    for number in (1, 2, 3):
        desk.wait(job(number), demand(1, **{unit: 1}), 0)
    assert desk.admit(0) == [1, 2]
    for number in (4, 5, 6):
        desk.wait(job(number), demand(1, reservation="warm/n1", **{unit: 1}), 0)
    assert desk.admit(0) == [4, 5]
    desk.drop(4)
    desk.drop(6)
    assert desk.admit(0) == []
    assert "free now: 6 of 6 replicas" not in desk.place(3).why
    assert desk.place(3).why.split("free now: ")[1].startswith("4 of 6 replicas outside of persistent resources and 0")
    desk.drop(1)
    assert desk.admit(0) == [3]


@pytest.mark.parametrize(
    ("total", "each", "words"),
    [
        ({}, {}, "would keep 5 replicas; all there is here is 4 replicas. Ask for less"),
        ({"gpus": 2}, {"gpus": 1}, "would keep 5 replicas and 4 GPUs; all there is here is 4 replicas and 2 GPUs"),
        ({"cpus": 6.0}, {"cpus": 2.0}, "and 8 CPUs; all there is here is 4 replicas and 6 CPUs"),
        (
            {"memory_bytes": 2**30},
            {"memory_bytes": 2**30},
            "and 4.0 GiB of memory; all there is here is 4 replicas and",
        ),
    ],
)
def test_more_places_than_there_are_are_refused(total, each, words) -> None:
    """With what there is, reservations counted; and what was set aside before stays as it was."""
    desk = admission(replicas=4, reserved=(("a", 1),), **total)
    desk.set_aside([])
    with pytest.raises(ResourceExhausted, match=words):
        desk.set_aside([kept(4, **each)])
    desk.wait(job(1), demand(3), 0)
    assert desk.admit(0) == [1]


def test_who_starves_for_places_holds_up_those_alone_who_name_them() -> None:
    """Jobs that take nothing of the resource go on; nobody overtakes at the resource itself."""
    desk = admission(replicas=8)
    desk.set_aside([kept(3)])
    desk.wait(job(1), demand(2, reservation="warm/n1"), 0)
    assert desk.admit(0) == [1]
    desk.wait(job(2), demand(2, reservation="warm/n1"), 0)
    desk.wait(job(3), demand(1, reservation="warm/n1"), 0)
    desk.wait(job(4), demand(5), 0)
    assert desk.admit(2 * MINUTE) == [4]
    desk.wait(job(5), demand(1), 0)
    desk.wait(job(6), demand(1), 0)
    assert desk.admit(2 * MINUTE) == []  # job 5 waits for the others, and holds them up
    desk.drop(1)
    assert desk.admit(2 * MINUTE) == [2, 3]


def test_what_there_is_may_change_under_the_places() -> None:
    """An executor that says another number tomorrow is heard, and the places stay kept."""
    sizes = [4]
    desk = Admission(lambda: Capacity(sizes[0]), backfill_seconds=60.0)
    desk.set_aside([kept(3)])
    desk.wait(job(1), demand(3), 0)
    assert desk.admit(0) == []
    sizes[0] = 6
    assert desk.admit(0) == [1]
