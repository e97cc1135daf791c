"""What replicas use, through the real service: the route, the command line, and a server that is killed meanwhile."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from edge_server import Api, Server, pool, pools, running

PROGRAM = str(Path(sys.executable).with_name("trainyard"))
OFTEN = ("--usage-interval", "0.2")
BUSY = "import time\nheld = b'x' * (30 << 20)\nwhile True:\n    sum(range(20000)); time.sleep(0.01)"


@pytest.fixture(scope="module")
def often(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that samples often."""
    with Server(tmp_path_factory.mktemp("usage") / "data", *OFTEN) as server:
        yield server


def sampled(api: Api, name: str, least: int) -> list[dict[str, Any]]:
    """The replicas of a job once each of them was sampled so often."""
    deadline = time.monotonic() + 120
    while True:
        found: list[dict[str, Any]] = api.call("GET", f"/trainyard/v1/{name}:usage").json["replicas"]
        if len(found) == 2 and min(each["samples"] for each in found) >= least:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_each_replica_has_its_series(tmp_path: Path) -> None:
    """Newest, peak and points of every replica; also over a kill -9 of the server, and after the end."""
    spec = {"imageUri": "host", "command": [sys.executable, "-c", BUSY]}
    with Server(tmp_path / "data", *OFTEN) as first:
        api = Api(first.port, "usage-one")
        name = api.made(pools(pool(containerSpec=spec), pool(containerSpec=spec)))["name"]
        before = max(each["samples"] for each in sampled(api, name, 2))
        first.process.kill()
        first.process.wait()
        api.close()
    with Server(tmp_path / "data", *OFTEN) as often:
        api = Api(often.port, "usage-one")
        for each in sampled(api, name, before + 1):
            assert each["newest"]["memoryBytes"] > 30 << 20
            assert each["peak"]["cpuCores"] >= each["newest"]["cpuCores"] > 0
            assert each["cpuSeconds"] > 0
            assert [point["processes"] for point in each["points"]] == [1] * each["samples"]
        one = api.call("GET", f"/trainyard/v1/{name}:usage?task=workerpool1-0&points=2").json["replicas"]
        assert [(each["task"], each["attempt"], len(each["points"])) for each in one] == [("workerpool1-0", 1, 1)]
        assert api.call("GET", f"/trainyard/v1/{name}:usage?attempt=7").json == {"replicas": []}
        shown = told(often, "usage-one", "usage", name)
        assert shown[0].split()[:4] == ["NAME", "ATTEMPT", "CORES", "MEMORY"]
        assert [line.split()[0] for line in shown[1:]] == ["workerpool0-0", "workerpool1-0"]
        assert "USAGE (NOW / PEAK)" in "\n".join(told(often, "usage-one", "describe", name))
        drawn = told(often, "usage-one", "plot", name, "--output", str(tmp_path / "u.html"))[0]
        page = Path(drawn).read_text()
        assert "usage: CPU, cores" in page
        assert page.count("<polyline") == 8
        api.call("POST", f"/v1/{name}:cancel", {})
        api.wait(name)
        assert sampled(api, name, 2)[0]["newest"]
        assert api.call("GET", f"/trainyard/v1/{name}/logs").json["complete"]
        api.close()


def test_wrong_questions_have_clear_answers(often: Server) -> None:
    """A bad number, an unknown parameter, a replica and a job that are not there; a short job has no samples."""
    api = Api(often.port, "usage-two")
    name = api.made(running("true"))["name"]
    api.wait(name)
    route = f"/trainyard/v1/{name}:usage"
    assert api.call("GET", route).json == {"replicas": []}
    assert "points must be from 2" in api.call("GET", f"{route}?points=1").error["message"]
    assert "no parameter 'tag'" in api.call("GET", f"{route}?tag=x").error["message"]
    assert api.call("GET", f"{route}?task=workerpool9-9").status == 404
    assert api.call("GET", f"/trainyard/v1/{api.parent}/customJobs/5:usage").status == 404
    assert api.call("POST", route, {}).status == 405


def told(server: Server, project: str, *words: str) -> list[str]:
    """What a command prints."""
    options = ["--endpoint", f"http://127.0.0.1:{server.port}", "--project", project]
    done = subprocess.run([PROGRAM, "custom-jobs", *words, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
