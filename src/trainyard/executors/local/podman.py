"""Podman, spoken to by its command: no daemon, and what it starts survives our restart.

Images and containers are the user's own (`podman ps` shows them), only the configuration is ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import os
import re
import signal
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from trainyard.agent.shells import SHELL_VARIABLE
from trainyard.executors.local import podman_config
from trainyard.executors.local.engine import (
    RUN_LABEL,
    RUNS_LABEL,
    Container,
    EngineFailed,
    Image,
    Network,
    Start,
    Talents,
    is_only_an_id,
)

_ANSWER_SECONDS: Final = 60.0
_PULL_SECONDS: Final = 3600.0
_ASK_AGAIN_SECONDS: Final = (0.1, 0.5, 2.0)
_WITHOUT_A_TRACE: Final = ("--force", "--volumes", "--time", "0", "--ignore")
_SHELL: Final = ("exec", "--interactive", "--tty", "--detach-keys=", "--env=TERM", f"--env={SHELL_VARIABLE}")
_COMMON: Final = "podman"
_FIRST_ADDRESS: Final = 2  # of a network: 0 is its name, 1 its gateway
# What the command itself reads: such a variable of a job goes into its arguments, all others through its environment,
# which other users of the machine cannot see.
_ITS_OWN: Final = re.compile(
    r"PATH|HOME|TMPDIR|USER|LOGNAME|SHELL|TERM|LANG|LANGUAGE|LC_.*|LD_.*|GO.*|XDG_.*|_?CONTAINER.*|STORAGE_(DRIVER|OPTS)"
    r"|REGISTRY_.*|BUILDAH_.*|NETAVARK_.*|DBUS_.*|NOTIFY_SOCKET|LISTEN_.*|SSL_CERT_.*|(?i:[a-z]+_proxy)|_?OCI_.*"
    r"|PODMAN_.*|DOCKER_.*|KUBE.*|RUST_.*"
)
_HANDED_ON: Final = re.compile(
    r"PATH|HOME|TMPDIR|XDG_.*|DBUS_SESSION_BUS_ADDRESS|CONTAINERS_(STORAGE|REGISTRIES)_CONF|REGISTRY_AUTH_FILE|SSL_CERT_.*|(?i:[a-z]+_proxy)"
)


class Podman:
    """Keeps the promise ContainerEngine."""

    name = "podman"

    def __init__(self, program: str, directory: Path, environment: Mapping[str, str]) -> None:
        """`program` is the path of podman, `directory` for our configuration of it; nothing is done yet."""
        self._program = program
        self._directory = directory
        handed_on = {name: value for name, value in environment.items() if _HANDED_ON.fullmatch(name)}
        self.env = {**handed_on, "CONTAINERS_CONF": str(directory / podman_config.CONFIG)}
        self._talents: Talents | None = None
        self._machine: podman_config.Machine | None = None
        self._learning: asyncio.Task[None] | None = None
        self._common: Network | None = None
        self._asking = asyncio.Lock()
        self._listing = Path()
        self._images: dict[str, Image | None] = {}
        self._images_as_of: object = None

    async def talents(self) -> Talents:
        """What it can do here, asked once. Raises EngineFailed where it does not work at all."""
        async with self._asking:
            if self._talents is None:
                self._talents = await self._look()
        return self._talents

    async def _configured(self) -> podman_config.Machine:
        """This machine, with our configuration for it written. Raises EngineFailed."""
        if self._machine is None:
            machine = await asyncio.to_thread(podman_config.Machine.this)
            if not machine.runtime:
                raise EngineFailed("there is no OCI runtime: neither runc nor crun is installed")
            try:
                await asyncio.to_thread(podman_config.write, machine, self._directory)
            except OSError as error:
                raise EngineFailed(f"{error.filename} can't be written: {error.strerror}") from None
            self._machine = machine
        return self._machine

    async def _look(self) -> Talents:
        machine = await self._configured()
        info = json.loads(await self._ask("info", "--format", "json"))
        store, host = info["store"], info["host"]
        self._listing = Path(store["graphRoot"]) / f"{store['graphDriverName']}-images" / "images.json"
        return Talents(
            version=info["version"]["Version"],
            why_no_limits=_why_no_limits(host, machine),
            why_no_network=_why_no_network(host, machine, self.env.get("PATH", os.defpath)),
            has_init=machine.init,
        )

    async def find(self, uri: str) -> Image | None:
        """The image, if it is here. Cheap where it was asked before. Raises EngineFailed."""
        await self._configured()
        if self._talents is None:
            if (found := await self._inspect(uri)) is None:
                # The job at hand need not wait for all that podman has to say of itself; the next ones are quick by it.
                self._learning = self._learning or asyncio.create_task(self._learn())
            return found
        as_of = _stamp(self._listing)
        if as_of != self._images_as_of:
            self._images, self._images_as_of = {}, as_of
        if uri not in self._images:
            self._images[uri] = await self._inspect(uri)
        return self._images[uri]

    async def _learn(self) -> None:
        with contextlib.suppress(EngineFailed):  # whoever needs the answer asks again, and hears why
            await self.talents()

    def lacks(self, uri: str) -> bool:
        """Whether it is known without asking that the image is not here; False where that is not sure."""
        return self._images.get(uri, uri) is None and _stamp(self._listing) == self._images_as_of

    async def _inspect(self, uri: str) -> Image | None:
        try:
            (said,) = json.loads(await self._ask("image", "inspect", "--", uri))
        except EngineFailed as failure:
            if re.search(r"image not known|no such image|invalid reference|repository name must be", str(failure)):
                return None
            raise
        if is_only_an_id(uri, said["Id"], said.get("RepoTags") or ()):
            return None
        return Image.of(said["Id"], said["Config"])

    async def images(self) -> Sequence[tuple[str, int]]:
        """Names and sizes (bytes) of all images that are here. Raises EngineFailed."""
        await self.talents()
        held = json.loads(await self._ask("images", "--format", "json") or "[]")
        return sorted({(name, each.get("Size", 0)) for each in held for name in each.get("Names") or ()})

    async def pull(self, uri: str, auth_file: str) -> None:
        """Fetch an image. Cancelling gives it up. Raises EngineFailed."""
        auth = ("--authfile", auth_file) if auth_file else ()
        await self._ask("pull", "--quiet", *auth, "--", uri, seconds=_PULL_SECONDS)

    async def make_network(self, name: str, run_id: str, runs: str) -> Network:
        """The network of that name, made if need be. Raises EngineFailed."""
        labels = ("--label", f"{RUN_LABEL}={run_id}", "--label", f"{RUNS_LABEL}={runs}")
        try:
            await self._ask("network", "create", "--disable-dns", *labels, "--", name)
        except EngineFailed as failure:
            if "already" not in str(failure):
                raise
        return await self._network(name, own=True)

    async def common_network(self) -> Network:
        """The one that "bridge" stands for. Raises EngineFailed."""
        if self._common is None:
            self._common = await self._network(_COMMON, own=False)
        return self._common

    async def _network(self, name: str, *, own: bool) -> Network:
        (said,) = json.loads(await self._ask("network", "inspect", "--", name))
        subnet = ipaddress.ip_network(said["subnets"][0]["subnet"])
        first = int(subnet.network_address) + _FIRST_ADDRESS
        return Network(name, said["subnets"][0]["gateway"], first, subnet.num_addresses - _FIRST_ADDRESS - 1, own)

    async def discard(self, name: str) -> None:
        """End and remove one container; there may be none of that name. Raises EngineFailed."""
        await self._end(name)

    async def remove(self, run_id: str) -> None:
        """Leave no container and no network of a run group. Raises EngineFailed."""
        label = f"label={RUN_LABEL}={run_id}"
        if found := (await self._ask("ps", "--all", "--quiet", "--no-trunc", "--filter", label)).split():
            await self._end(*found)
        if networks := (await self._ask("network", "ls", "--quiet", "--filter", label)).split():
            await self._insist("network", "rm", "--force", *networks)

    async def _end(self, *names: str) -> None:
        """Podman stumbles over a container whose first process has ended and is not reaped yet: it is asked again."""
        for seconds in (*_ASK_AGAIN_SECONDS, 0.0):
            try:
                await self._insist("rm", *_WITHOUT_A_TRACE, *names)
            except EngineFailed:
                if not seconds:
                    raise
                await asyncio.sleep(seconds)
            else:
                return

    async def left(self, runs: str) -> Collection[str]:
        """Run ids of which podman holds containers or networks, of the runs directory `runs`."""
        await self.talents()
        ours = ("--filter", f"label={RUNS_LABEL}={runs}", "--format", "json")
        containers = json.loads(await self._ask("ps", "--all", *ours) or "[]")
        networks = json.loads(await self._ask("network", "ls", *ours) or "[]")
        held = [each.get("Labels") or each.get("labels") or {} for each in (*(containers or ()), *(networks or ()))]
        return {labels[RUN_LABEL] for labels in held if RUN_LABEL in labels}

    def start(self, container: Container) -> Start:
        """The commands for an agent. Pure."""
        hidden = {name: value for name, value in container.env.items() if not _ITS_OWN.fullmatch(name)}
        argv: tuple[str, ...] = (self._program, "run", "--detach", "--preserve-fds=2", "--pull=never")
        argv += (
            "--log-driver=none",
            f"--conmon-pidfile={container.directory}/conmon",
            f"--pidfile={container.directory}/pid",
        )
        argv += tuple(_options(container))
        argv += tuple(
            f"--env={name}" if name in hidden else f"--env={name}={container.env[name]}" for name in container.env
        )
        return Start(
            argv=(*argv, container.image, *container.args),
            env={**hidden, **self.env},
            engine={
                "remove": [self._program, "rm", "--force", "--volumes", "--time=0", "--ignore", container.name],
                "shell": [self._program, *_SHELL, container.name, "bash"],
                "env": self.env,
                "init": container.init,
            },
        )

    async def _insist(self, *words: str) -> None:
        """Have podman do it, also when nobody waits for it any more. Raises EngineFailed with its complaint."""
        try:
            done = await asyncio.to_thread(
                subprocess.run,
                (self._program, *words),
                env=self.env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_ANSWER_SECONDS,
                check=False,
            )
        except (subprocess.TimeoutExpired, OSError) as error:
            raise EngineFailed(str(error)) from None
        if done.returncode != 0:
            raise EngineFailed(done.stderr.decode(errors="replace").strip())

    def _begun(self, words: Sequence[str]) -> subprocess.Popen[bytes]:
        """Waited for in a thread: asyncio's own may wait for ever when it is cancelled while its process comes up."""
        return subprocess.Popen(
            (self._program, *words),
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    async def _ask(self, *words: str, seconds: float = _ANSWER_SECONDS) -> str:
        """What a podman command prints; ended when nobody waits for it. Raises EngineFailed with its complaint."""
        process = self._begun(words)
        try:
            said, complaint = await asyncio.to_thread(process.communicate, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise EngineFailed(f"podman {words[0]} has not answered for {seconds:.0f} s") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                if process.returncode is None:
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode != 0:
            raise EngineFailed(complaint.decode(errors="replace").strip() or f"podman {words[0]} failed")
        return said.decode(errors="replace")


def _options(container: Container) -> Sequence[str]:
    options = [
        f"--name={container.name}",
        f"--hostname={container.hostname}",
        f"--network={container.network}",
        f"--label={RUN_LABEL}={container.run_id}",
        f"--label={RUNS_LABEL}={container.runs}",
        "--cap-add=DAC_OVERRIDE",  # buckets have no owners: an image's own user may write at /gcs, as on the original
        "--systemd=false",
        "--sdnotify=ignore",
        *(["--init"] if container.init else []),
        *(f"--add-host={name}:{address}" for name, address in container.hosts.items()),
        *(f"--volume={source}:{target}{':ro' if read_only else ''}" for source, target, read_only in container.mounts),
        *(f"--device={device}" for device in container.devices),
        *(f"--publish=127.0.0.1:{ours}:{theirs}" for ours, theirs in container.ports.items()),
    ]
    if container.address:
        options.append(f"--ip={container.address}")
    if container.entrypoint is not None:
        options.append(f"--entrypoint={json.dumps(container.entrypoint)}")
    limits = {"shm-size": container.shm_bytes, "memory": container.memory_bytes, "pids-limit": container.pids}
    options += [f"--{name}={value}" for name, value in limits.items() if value]
    if container.memory_bytes:
        options.append(f"--memory-swap={container.memory_bytes}")
    if container.cpus:
        options.append(f"--cpus={container.cpus:g}")
    return options


def _why_no_limits(host: Mapping[str, Any], machine: podman_config.Machine) -> str:
    if host["security"]["rootless"] and host["cgroupVersion"] != "v2":
        return "podman without root can't set limits with version 1 of control groups"
    roots = ("/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids") if machine.cgroups != "v2" else ("/sys/fs/cgroup",)
    if not host["security"]["rootless"] and not all(os.access(root, os.W_OK) for root in roots):
        return "the control groups of this machine can't be written"
    if missing := {"memory", "cpu", "pids"} - set(host["cgroupControllers"] or ()):
        return f"podman has no control over {', '.join(sorted(missing))} here"
    return ""


def _why_no_network(host: Mapping[str, Any], machine: podman_config.Machine, path: str) -> str:
    if host["security"]["rootless"]:
        return "podman runs without root, and has no network of its own between containers then"
    if host.get("networkBackend") != "netavark" or not machine.netavark:
        return "netavark is not installed"
    folders = (*path.split(":"), "/usr/sbin", "/sbin")
    if not any(os.access(f"{folder}/{name}", os.X_OK) for folder in folders for name in ("iptables", "nft")):
        return "neither iptables nor nft is installed, which netavark needs"
    return ""


def _stamp(path: Path) -> object:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
