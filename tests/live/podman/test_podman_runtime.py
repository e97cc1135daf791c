"""A containerSpec does in its container what it does on the original: entry point, user, mounts, names, limits."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import images
import pytest
from contained import InContainers, opened, options, podman
from executor_suite import a_group, end, phase, reading, shell, until
from real_clock import RealClock

from trainyard.core.log_files import replica_directory
from trainyard.core.runs import Cause, Exit, Phase, PythonPackage, ReplicaSpec, Resources, RunGroup, Share

MIB = 2**20


def output(folder: Path, group: RunGroup, replica: str = "workerpool0-0", stream: str = "stdout") -> str:
    """What a replica has written."""
    path = replica_directory(folder / "logs", group.job_id, 1, replica, 0) / stream
    return path.read_text() if path.exists() else ""


def ran(folder: Path, spec: ReplicaSpec, **changed: Any) -> tuple[Exit, str, tuple[str, ...]]:
    """How one replica ended, what it wrote, and the notes about it."""

    async def story() -> tuple[Exit, str, tuple[str, ...]]:
        async with opened(folder, **changed) as executor:
            group = a_group(spec)
            await executor.launch(group)
            seen = await end(executor, group)
            notes = (await reading(executor, group)).notes
            await executor.release(group.run_id)
            return seen, output(folder, group), notes

    return asyncio.run(story())


def spec(image: str, *command: str, args: tuple[str, ...] = (), **more: Any) -> ReplicaSpec:
    """The first replica with an image, and perhaps a command."""
    return replace(ReplicaSpec("workerpool0-0", 0, 0, image, command=command, args=args), **more)


@pytest.fixture(scope="module")
def echoing() -> str:
    """An image whose entry point and arguments show themselves."""
    name = "localhost/trainyard-test/echoing:1"
    images.derive(name, images.BUSYBOX, 'ENTRYPOINT ["/bin/echo","entry"]', 'CMD ["cmd"]', "ENV FROM_IMAGE=yes")
    return name


@pytest.mark.parametrize(
    ("command", "args", "said"),
    [
        ((), (), "entry cmd\n"),
        (("/bin/echo", "own"), (), "own\n"),
        ((), ("arg",), "entry arg\n"),
        (("/bin/echo", "own"), ("arg",), "own arg\n"),
    ],
)
def test_entry_point_and_arguments(
    tmp_path: Path, echoing: str, command: tuple[str, ...], args: tuple[str, ...], said: str
) -> None:
    """A command replaces ENTRYPOINT and drops CMD, args replace CMD: the original's table, row by row."""
    seen, text, _ = ran(tmp_path, spec(echoing, *command, args=args))
    assert (seen.code, text) == (0, said)


def test_what_is_true_of_containers_alone_is_told(tmp_path: Path, echoing: str) -> None:
    """Of what a job's fields mean in each runtime, its notes have what holds where it really ran."""

    async def story() -> tuple[str, ...]:
        async with opened(tmp_path) as executor:
            group = replace(a_group(spec(echoing)), remarks={"host": ("host only.",), "podman": ("podman only.",)})
            await executor.launch(group)
            await end(executor, group)
            notes = (await reading(executor, group)).notes
            await executor.release(group.run_id)
            return notes

    told = asyncio.run(story())
    assert "podman only." in told
    assert "host only." not in told


def test_variables_are_expanded_and_the_images_own_stay(tmp_path: Path, echoing: str) -> None:
    """$(NAME) sees the job's variables, never the image's; a secret with newlines and quotes comes through whole."""
    secret = "a 'b'\n\"c\" $d"
    env = (("A", "1"), ("B", "$(A)2"), ("SECRET", secret), ("PATH", "/own:/bin"), ("http_proxy", "http://p"))
    script = 'echo "$0 $1 $2 $FROM_IMAGE $PATH $http_proxy"; echo "$SECRET"'
    seen, text, _ = ran(
        tmp_path, spec(echoing, "/bin/sh", "-c", script, args=("$(B)", "$$(A)", "$(FROM_IMAGE)"), env=env)
    )
    assert seen.code == 0
    assert text == f"12 $(A) $(FROM_IMAGE) yes /own:/bin http://p\n{secret}\n"


def test_user_directory_and_host_name_of_the_container(tmp_path: Path) -> None:
    """USER and WORKDIR of the image hold; the host name is the documented one and resolves."""
    name = "localhost/trainyard-test/nobody:1"
    images.derive(name, images.BUSYBOX, "USER nobody", "WORKDIR /tmp")
    seen, text, _ = ran(
        tmp_path, spec(name, "/bin/sh", "-c", "id -u; pwd; hostname; echo $HOSTNAME; grep -c $HOSTNAME /etc/hosts")
    )
    assert seen.code == 0
    uid, directory, host, variable, known = text.split()
    assert (uid, directory, known) == ("65534", "/tmp", "1")
    assert host == variable
    assert host.startswith("cmle-training-workerpool0-")


def test_buckets_are_at_gcs_both_ways(tmp_path: Path) -> None:
    """What lies in a bucket is read at /gcs, and what is written there lies in the bucket."""
    bucket = tmp_path / "buckets/b"
    bucket.mkdir(parents=True)
    (bucket / "in").write_text("there")
    seen, text, _ = ran(tmp_path, spec(images.BUSYBOX, "/bin/sh", "-c", "cat /gcs/b/in; echo back >/gcs/b/out"))
    assert (seen.code, text) == (0, "there")
    assert (bucket / "out").read_text() == "back\n"


def test_an_images_own_user_writes_to_buckets(tmp_path: Path) -> None:
    """Buckets have no owners: whoever an image runs as changes what anybody wrote, and makes directories."""
    bucket = tmp_path / "buckets/b"
    bucket.mkdir(parents=True)
    (bucket / "theirs").write_text("old")
    name = "localhost/trainyard-test/nobody:1"
    images.derive(name, images.BUSYBOX, "USER nobody", "WORKDIR /tmp")
    script = "echo new >/gcs/b/theirs; mkdir -p /gcs/b/model/1; echo m >/gcs/b/model/1/m; id -u"
    seen, text, _ = ran(tmp_path, spec(name, "/bin/sh", "-c", script))
    assert (seen.code, text) == (0, "65534\n")
    assert (bucket / "theirs").read_text() == "new\n"
    assert (bucket / "model/1/m").read_text() == "m\n"


def test_shares_are_where_the_original_mounts_them(tmp_path: Path) -> None:
    """nfsMounts and lustreMounts, by directories that stand in for them (no server of either can run here)."""
    told = (Share("10.0.0.1:/data", "/mnt/nfs/data"), Share("10.0.0.2@tcp:/fs", "/mnt/lustre/fast"))
    for name in ("nfs", "lustre"):
        (tmp_path / name).mkdir()
    (tmp_path / "nfs/in").write_text("there\n")
    sources = {told[0].source: str(tmp_path / "nfs"), told[1].source: str(tmp_path / "lustre")}
    script = "cat /mnt/nfs/data/in; echo back >/mnt/lustre/fast/out"
    seen, text, _ = ran(tmp_path, spec(images.BUSYBOX, "/bin/sh", "-c", script, shares=told), shares=sources)
    assert (seen.code, text) == (0, "there\n")
    assert (tmp_path / "lustre/out").read_text() == "back\n"
    seen, _, _ = ran(tmp_path, spec(images.BUSYBOX, "/bin/sh", "-c", script, shares=told))
    assert "10.0.0.1:/data" in seen.message


def test_replicas_reach_each_other_on_port_2222(tmp_path: Path) -> None:
    """Each replica serves 2222 under its own name, at the same time, and every other one reaches it there."""
    script = """
import json, os, socket, threading
cluster = json.loads(os.environ["CLUSTER_SPEC"])
everyone = [address for pool in cluster["cluster"].values() for address in pool]
assert all(address.endswith(":2222") for address in everyone), everyone
served = threading.Event()
def serve():
    with socket.create_server(("", 2222)) as server:
        served.set()
        for _ in everyone:
            peer, _ = server.accept()
            peer.sendall(os.environ["HOSTNAME"].encode())
            peer.close()
server = threading.Thread(target=serve)
server.start()
served.wait()
import time
for address in everyone:
    host, port = address.split(":")
    for _ in range(200):
        try:
            with socket.create_connection((host, int(port)), 5) as peer:
                assert peer.recv(100).decode() == host
                break
        except ConnectionRefusedError:
            time.sleep(0.05)
    else:
        raise SystemExit(f"{host} is not there")
server.join()
print("met", len(everyone))
"""

    async def story() -> None:
        async with opened(tmp_path) as executor:
            names = ("workerpool0-0", "workerpool1-0", "workerpool1-1")
            group = a_group(
                *(
                    ReplicaSpec(name, int(name[10]), int(name[-1]), "", command=("python3", "-S", "-c"), args=(script,))
                    for name in names
                )
            )
            await executor.launch(group)
            for name in names:
                seen = await end(executor, group, name)
                assert seen.code == 0, seen
                assert output(tmp_path, group, name) == "met 3\n"
            await executor.release(group.run_id)

    asyncio.run(story())


def test_a_restarted_replica_waits_for_its_address(tmp_path: Path) -> None:
    """However long its earlier container takes to be removed, the next one comes up under the same address."""
    (tmp_path / "bin").mkdir()
    slow = tmp_path / "bin/podman"
    slow.write_text(f'#!/bin/sh\ncase $1 in rm) sleep 1;; esac\nexec {shutil.which("podman")} "$@"\n')
    slow.chmod(0o755)
    told = replace(options(tmp_path), environment={**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"})

    async def story() -> None:
        executor = InContainers(tmp_path.resolve(), RealClock(), told)
        await executor.start()
        neighbour = shell("sleep 600", "workerpool1-0")
        first = a_group(shell("exit 6"), neighbour)
        await executor.launch(first)
        assert (await end(executor, first)).code == 6
        again = replace(first, replicas=(shell("grep -c $HOSTNAME /etc/hosts", incarnation=1), neighbour))
        await executor.launch(again)
        seen = await end(executor, again, incarnation=1)
        assert seen.code == 0, seen
        await executor.stop(first.run_id, 0.0)
        await end(executor, again, "workerpool1-0")
        await executor.release(first.run_id)
        await executor.close()

    asyncio.run(story())


def test_on_the_hosts_network_each_has_a_port_of_its_own(tmp_path: Path) -> None:
    """container_network = host: addresses on this machine, all different, and the service log says so."""

    async def story() -> None:
        async with opened(tmp_path, network="host") as executor:
            group = a_group(*(shell("echo $CLUSTER_SPEC", name) for name in ("workerpool0-0", "workerpool1-0")))
            await executor.launch(group)
            await end(executor, group, "workerpool1-0")
            assert (await end(executor, group)).code == 0
            pools = json.loads(output(tmp_path, group))["cluster"]
            addresses = {*pools["workerpool0"], *pools["workerpool1"]}
            assert len(addresses) == 2
            assert all(address.startswith("127.0.0.1:") for address in addresses)
            assert "port of its own" in " ".join((await reading(executor, group)).notes)

    asyncio.run(story())


def test_more_memory_than_the_machine_type_has_ends_the_program(tmp_path: Path) -> None:
    """The limit is the container's own: OUT_OF_MEMORY by the kernel's count, not by a guess at 137."""
    script = "x = bytearray(200 << 20)\nfor i in range(0, len(x), 4096): x[i] = 1\nprint('survived')"
    limited = spec(images.PYTHON, "python3", "-S", "-c", script, resources=Resources(memory_bytes=64 * MIB))
    seen, text, notes = ran(tmp_path, limited)
    if any("no limits" in note for note in notes):
        pytest.skip(f"no limits can be set on this machine: {notes}")
    assert (seen.cause, seen.code, text) == (Cause.OUT_OF_MEMORY, 137, "")
    assert "control group" in seen.message


def test_killed_by_somebody_else_is_not_out_of_memory(tmp_path: Path) -> None:
    """The same status without a kill in the counters is what it is: an exit."""
    seen, _, _ = ran(tmp_path, spec(images.BUSYBOX, "/bin/sh", "-c", "kill -9 $$$$"))
    assert (seen.cause, seen.code) == (Cause.EXITED, 137)


def test_limits_are_those_of_the_machine_type(tmp_path: Path) -> None:
    """Processes, half the memory as shared memory, and the limit itself, as podman has them on record."""

    async def story() -> None:
        async with opened(tmp_path) as executor:
            group = a_group(
                replace(shell("df /dev/shm; sleep 60"), resources=Resources(cpus=0.5, memory_bytes=512 * MIB))
            )
            await executor.launch(group)
            await phase(executor, group, Phase.RUNNING)
            asked = "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}} {{.HostConfig.ShmSize}}"
            name = f"trainyard-{group.run_id}-workerpool0-0-0"
            said = podman(tmp_path, "inspect", name, "--format", asked).split()
            assert said == [str(512 * MIB), "500000000", "32768", str(256 * MIB)]
            await until(lambda: _holds(tmp_path, group, str(256 * 1024)), "the shared memory to show its size")
            await executor.stop(group.run_id, 0.0)
            await end(executor, group)
            await executor.release(group.run_id)

    asyncio.run(story())


def test_a_handler_is_called_once(tmp_path: Path) -> None:
    """SIGTERM reaches the program behind the init exactly once, and a plain program ends of it at once."""
    script = (
        "import signal, time, sys\nseen = []\nsignal.signal(signal.SIGTERM, lambda *_: seen.append(1))\n"
        "print('up', flush=True)\nwhile not seen: time.sleep(0.01)\ntime.sleep(0.3)\nprint(len(seen))\nsys.exit(9)"
    )

    async def story() -> None:
        async with opened(tmp_path) as executor:
            group, plain = a_group(spec(images.PYTHON, "python3", "-S", "-c", script)), a_group("sleep 600")
            await executor.launch(group)
            await executor.launch(plain)
            await until(lambda: _holds(tmp_path, group, "up"), "the program to be up")
            await phase(executor, plain, Phase.RUNNING)
            for each in (group, plain):
                await executor.stop(each.run_id, 20.0)
            seen = await end(executor, group)
            assert (seen.cause, seen.code, output(tmp_path, group)) == (Cause.STOPPED, 9, "up\n1\n")
            assert (await end(executor, plain)).code == 143

    asyncio.run(story())


@pytest.fixture(scope="module")
def with_pip() -> str:
    """The image with Python, and pip in it."""
    found = find_spec("pip")
    assert found is not None
    assert found.origin is not None
    name = "localhost/trainyard-test/pip:1"
    creating = ("podman", "create", images.PYTHON, "true")
    made = subprocess.run(creating, check=True, capture_output=True, text=True).stdout.strip()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    copied = ("podman", "cp", str(Path(found.origin).parent), f"{made}:/usr/lib/{version}/pip")
    for command in (copied, ("podman", "commit", "--quiet", made, name), ("podman", "rm", made)):
        subprocess.run(command, check=True, capture_output=True)
    return name


def wheel(folder: Path, name: str, source: str) -> None:
    """A distribution of one package, whose module `task` is this."""
    about = f"{name}-0.1.dist-info"
    files = {
        f"{name}/__init__.py": "",
        f"{name}/task.py": source,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{each},,\n" for each in (*files, f"{about}/RECORD"))
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-0.1-py3-none-any.whl", "w") as packed:
        for each, text in {**files, f"{about}/RECORD": record}.items():
            packed.writestr(each, text)


def test_python_packages_are_installed_in_their_image(tmp_path: Path, with_pip: str) -> None:
    """pythonPackageSpec in a container: each package in turn, then the module with its arguments."""
    bucket = tmp_path / "buckets/b/dist"
    wheel(bucket, "library", "WORDS = 'trained with'")
    wheel(bucket, "trainer", "import sys\nfrom library.task import WORDS\nprint(WORDS, *sys.argv[1:])")
    uris = tuple(f"gs://b/dist/{name}-0.1-py3-none-any.whl" for name in ("library", "trainer"))
    asked = spec(with_pip, args=("--epochs=$(EPOCHS)",), env=(("EPOCHS", "3"),))
    seen, text, _ = ran(tmp_path, replace(asked, package=PythonPackage(uris, "trainer.task")))
    assert (seen.code, text) == (0, "trained with --epochs=3\n"), seen


def test_a_python_package_that_cannot_be_installed(tmp_path: Path) -> None:
    """One that is not there fails its job by a sentence that names it; an image without pip, by what Python says."""
    none = PythonPackage(("gs://b/none.tar.gz",), "trainer.task")
    seen, _, _ = ran(tmp_path, spec(images.PYTHON, package=none))
    assert seen.cause is Cause.START_FAILED
    assert "The package gs://b/none.tar.gz does not exist" in seen.message
    wheel(tmp_path / "buckets/b", "trainer", "")
    there = PythonPackage(("gs://b/trainer-0.1-py3-none-any.whl",), "trainer.task")
    seen, _, _ = ran(tmp_path, spec(images.PYTHON, package=there))
    assert seen.code == 1
    assert "No module named pip" in seen.last_lines


async def _holds(folder: Path, group: RunGroup, text: str) -> bool:
    return text in output(folder, group)


def test_the_service_is_reached_from_a_network_of_its_own(tmp_path: Path) -> None:
    """What listens on this machine's loopback is there at the gateway, for members of the network alone."""
    script = (
        "import os, urllib.request as u\nwhere = os.environ['GCE_METADATA_HOST']\n"
        "assert not where.startswith('127.'), where\nprint(u.urlopen(f'http://{where}', timeout=10).read().decode())"
    )

    async def story() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nyou asked for " + path)
            writer.close()

        service = await asyncio.start_server(answer, "127.0.0.1", 0)
        address = f"127.0.0.1:{service.sockets[0].getsockname()[1]}"
        async with opened(tmp_path, service=address) as executor:
            lone = a_group(spec(images.PYTHON, "python3", "-S", "-c", script))
            pair = a_group(*(replace(lone.replicas[0], name=f"workerpool{n}-0", pool=n) for n in range(2)))
            for group in (lone, pair):
                told = replace(group, extra_env={"GCE_METADATA_HOST": f"{address}/ticket"})
                await executor.launch(told)
                for replica in told.replicas:
                    seen = await end(executor, told, replica.name)
                    assert (seen.code, output(tmp_path, told, replica.name)) == (0, "you asked for /ticket\n"), seen
                await executor.release(told.run_id)
        service.close()

    asyncio.run(story())
