"""Which port a chief's dashboard has, inside and on this machine's loopback, wherever the chief runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from trainyard.core.dashboards import Dashboard, Ports
from trainyard.core.errors import FailedPrecondition
from trainyard.core.runs import ReplicaSpec, RunGroup
from trainyard.executors.local.allotment import Room
from trainyard.executors.local.dashboards import Dashboards
from trainyard.executors.local.groups import Groups
from trainyard.executors.local.plan import Allotment, Contained, Places, dashboard_ports, plan

CHIEF, OTHER = ReplicaSpec("workerpool0-0", 0, 0, "img", command=("a",)), ReplicaSpec("w", 1, 0, "img", command=("a",))
FREE = Dashboard("workerpool0-0", uri="http://7.d/")
CHOSEN = replace(FREE, port=6006, chosen=True)
APART = Contained("podman", "bridge", {}, {"workerpool0-0": "i"})


def group(dashboard: Dashboard | None) -> RunGroup:
    return RunGroup("7-1", "n", 7, "p", "l", (CHIEF, OTHER), "{}", dashboard=dashboard)


@pytest.mark.parametrize(
    ("dashboard", "contained", "ports"),
    [
        (FREE, None, Ports(20001, 20001)),
        (CHOSEN, None, Ports(6006, 6006)),
        (FREE, APART, Ports(8888, 20001)),
        (CHOSEN, APART, Ports(6006, 20001)),
        (FREE, replace(APART, network="host"), Ports(20001, 20001)),
        (FREE, replace(APART, images={"w": "i"}), Ports(20001, 20001)),
    ],
)
def test_the_ports(dashboard: Dashboard, contained: Contained | None, ports: Ports) -> None:
    """8888 in a network of the job's own, a free one in this machine's, the job's own where it chooses one."""
    assert dashboard_ports(dashboard, "workerpool0-0", Allotment({dashboard.key: 20001}, {}, contained)) == ports
    assert dashboard_ports(dashboard, "w", Allotment({dashboard.key: 20001}, {}, contained)) is None
    assert dashboard_ports(dashboard, "workerpool0-0", Allotment({}, {}, contained)) is None


def test_the_chief_is_told_its_port() -> None:
    """And nobody else; the notes say where the page is. Without a dashboard there is neither."""
    places = Places(Path("/d/runs"), Path("/d/logs"), Path("/d/buckets"))
    asked = group(FREE)
    room = Room(range(21000, 22000), ()).allot(asked)
    assert len(set(room.ports.values())) == 3
    chief, other = (plan(asked, spec, room, {}, places) for spec in asked.replicas)
    assert chief.env["AIP_DASHBOARD_PORT"] == str(room.ports[FREE.key])
    assert chief.notes == (
        f"The dashboard that workerpool0-0 serves on port {room.ports[FREE.key]} (AIP_DASHBOARD_PORT) is at http://7.d/",
    )
    assert "AIP_DASHBOARD_PORT" not in other.env
    assert other.notes == ()
    plain = plan(group(None), CHIEF, Room(range(21000, 22000), ()).allot(group(None)), {}, places)
    assert "AIP_DASHBOARD_PORT" not in plain.env


def test_what_a_group_holds_is_found_again(tmp_path: Path) -> None:
    """By its run id alone, after a restart too; a group that holds nothing has no port."""
    places = Places(tmp_path / "runs", tmp_path / "logs", tmp_path / "buckets")
    groups = Groups(places)
    groups.load()
    held = groups.of("7-1")
    held.allotment = Allotment({"workerpool0-0": 20000, FREE.key: 20001}, {})
    groups.keep(held)
    assert Dashboards(groups, None).ports("7-1", FREE) == Ports(20001, 20001)
    groups.close()
    again = Groups(places)
    again.load()
    assert Dashboards(again, None).ports("7-1", FREE) == Ports(20001, 20001)
    with pytest.raises(FailedPrecondition, match="has no port"):
        Dashboards(again, None).ports("8-1", FREE)
    again.close()
