"""The page that a chief serves in its container is reached on this machine's loopback, and from nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from contained import start
from executor_suite import a_group, end, phase, until
from test_docker_engine import service  # noqa: F401 - a fixture

from trainyard.core.dashboards import Dashboard, Ports
from trainyard.core.runs import Phase, RunGroup

ASKED = Dashboard("workerpool0-0", uri="http://7.dashboards.localhost/")
SERVES = "mkdir -p /tmp/d; cd /tmp/d; echo a page >page; exec python3 -m http.server --bind 0.0.0.0 $AIP_DASHBOARD_PORT"


def with_dashboard(script: str) -> RunGroup:
    """A group whose chief serves one."""
    return replace(a_group(script), dashboard=ASKED)


def own_address() -> str:
    """What others reach this machine by; empty where it is on no network."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent
        return str(probe.getsockname()[0])
    return ""


async def fetched(ports: Ports) -> bytes | None:
    """What is served there; None as long as nobody answers."""

    def fetch() -> bytes | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{ports.outside}/page", timeout=5) as answer:
                return bytes(answer.read())
        except OSError:
            return None

    return await asyncio.to_thread(fetch)


@pytest.mark.parametrize("runtime", ["podman", "docker"])
@pytest.mark.parametrize("network", ["bridge", "host"])
def test_a_page_in_a_container(tmp_path: Path, request: pytest.FixtureRequest, runtime: str, network: str) -> None:
    """On port 8888 in a network of its own, on a free one in this machine's; a later server finds it again."""
    how = {"runtime": runtime, "network": network}
    if runtime == "docker":
        how["docker_host"] = request.getfixturevalue("service").address

    async def story() -> None:
        executor = await start(tmp_path, **how)
        group = with_dashboard(SERVES)
        await executor.launch(group)
        await phase(executor, group, Phase.RUNNING)
        ports = executor.dashboard_ports(group.run_id, ASKED)
        assert (ports.inside == 8888) is (network == "bridge")
        assert await until(lambda: fetched(ports), "the page") == b"a page\n"
        if network == "bridge" and (own := own_address()):
            with pytest.raises(OSError, match="refused"):
                socket.create_connection((own, ports.outside), timeout=5)
        await executor.close()
        again = await start(tmp_path, **how)
        assert again.dashboard_ports(group.run_id, ASKED) == ports
        assert await until(lambda: fetched(ports), "the page again") == b"a page\n"
        await again.stop(group.run_id, 5.0)
        await end(again, group)
        await again.release(group.run_id)
        await again.close()

    asyncio.run(story())
