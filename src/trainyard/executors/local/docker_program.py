"""The program that an agent runs for a container of Docker's API: it starts one, copies its output, and tells its end.

`run` reads the container from TRAINYARD_CONTAINER and writes its end to `result` in the agent's directory, as JSON:
{"code", "oom"}, or {"words"} where nothing was started, or {"words", "lost"} where the engine went away meanwhile.
`remove NAME` leaves nothing of a container. Ended by force, it leaves its container to that.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import docker

from trainyard.agent.container import PID, RESULT

_NANO = 1_000_000_000


def main() -> int:
    """The exit status is the container's, 125 where there was none."""
    if sys.argv[1] == "remove":
        return _remove(sys.argv[2])
    told = json.loads(os.environ.pop("TRAINYARD_CONTAINER"))
    result = _run(told)
    path = Path(told["directory"], RESULT)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(result), "utf-8")
    draft.rename(path)
    return int(result.get("code", 125))


def _remove(name: str) -> int:
    try:
        docker.from_env().containers.get(name).remove(force=True, v=True)
    except docker.errors.NotFound:
        return 0
    except (docker.errors.DockerException, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _run(told: dict[str, Any]) -> dict[str, Any]:
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    try:
        client = docker.from_env()
        container = _create(client, told)
        output = container.attach(stdout=True, stderr=True, stream=True, demux=True)
        container.start()
    except (docker.errors.DockerException, OSError) as error:
        return {"words": str(getattr(error, "explanation", None) or error)}
    threading.Thread(target=_pass_on, args=(stopping, container), daemon=True).start()
    try:
        _tell_pid(container, Path(told["directory"]))
        for out, err in output:
            _write(1, out)
            _write(2, err)
        code = container.wait()["StatusCode"]
        container.reload()
    except (docker.errors.DockerException, OSError) as error:
        return {"words": f"the engine went away: {error}", "lost": True}
    return {"code": code, "oom": bool(container.attrs["State"].get("OOMKilled"))}


def _tell_pid(container: Any, directory: Path) -> None:
    """Where the container's first process is one of this machine, as its control groups prove, its agent hears it."""
    container.reload()
    pid = container.attrs["State"].get("Pid") or 0
    try:
        is_here = container.id in Path(f"/proc/{pid}/cgroup").read_text("utf-8")
    except OSError:
        return
    if is_here:
        directory.joinpath(PID).write_text(str(pid), "utf-8")


def _create(client: Any, told: dict[str, Any]) -> Any:
    of_its_own = told["network"] not in ("host", "bridge")
    settings: dict[str, Any] = {"network_mode": told["network"]}
    if of_its_own:
        endpoint = docker.types.EndpointConfig(
            client.api._version,
            ipv4_address=told["address"] or None,
            aliases=[told["hostname"]],
        )
        settings = {"network": told["network"], "networking_config": {told["network"]: endpoint}}
    if told["devices"]:
        settings["device_requests"] = [docker.types.DeviceRequest(driver="cdi", device_ids=told["devices"])]
    if told["network"] != "host":
        settings["hostname"] = told["hostname"]
    return client.containers.create(
        told["image"],
        command=list(told["args"]) or None,
        entrypoint=None if told["entrypoint"] is None else list(told["entrypoint"]),
        name=told["name"],
        environment=told["env"],
        labels=told["labels"],
        extra_hosts=dict(told["hosts"]),
        volumes=[f"{source}:{target}:{'ro' if read_only else 'rw'}" for source, target, read_only in told["mounts"]],
        ports={theirs: ("127.0.0.1", int(ours)) for ours, theirs in told["ports"].items()},
        shm_size=told["shm_bytes"] or None,
        mem_limit=told["memory_bytes"] or None,
        memswap_limit=told["memory_bytes"] or None,
        nano_cpus=int(told["cpus"] * _NANO) or None,
        pids_limit=told["pids"] or None,
        init=told["init"],
        detach=True,
        **settings,
    )


def _pass_on(stopping: threading.Event, container: Any) -> None:
    """A stop for us is one for the container."""
    stopping.wait()
    try:
        container.kill("SIGTERM")
    except (docker.errors.DockerException, OSError):  # it has ended already, or its engine has: the copying will see
        return


def _write(descriptor: int, chunk: bytes | None) -> None:
    view = memoryview(chunk or b"")
    while view:
        view = view[os.write(descriptor, view) :]


if __name__ == "__main__":
    sys.exit(main())
