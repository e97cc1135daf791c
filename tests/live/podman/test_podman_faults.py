"""What goes wrong before or while a container runs ends in a final state with one sentence that says what to do."""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import shutil
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import images
import pytest
from contained import InContainers, opened, options
from executor_suite import a_group, end, reading
from real_clock import RealClock
from test_podman_runtime import output, ran, spec

from trainyard.core.runs import Cause, Exit
from trainyard.executors.local.image_tool import mapped
from trainyard.executors.local.podman import Podman


def test_a_program_that_is_not_in_the_image(tmp_path: Path) -> None:
    """Entry point not found: the sentence names the program and the image."""
    seen, _, _ = ran(tmp_path, spec(images.BUSYBOX, "train-me"))
    assert seen.cause is Cause.START_FAILED
    assert seen.message.startswith(f"The image {images.BUSYBOX} has no program train-me")


def test_an_image_without_python(tmp_path: Path) -> None:
    """python3 missing has a sentence of its own, whether it is the program or asked for by a shell."""
    seen, _, _ = ran(tmp_path, spec(images.BUSYBOX, "python3", "-c", "1"))
    assert (seen.cause, "has no python3" in seen.message) == (Cause.START_FAILED, True)
    seen, _, _ = ran(tmp_path, spec(images.BUSYBOX, "/bin/sh", "-c", "python3 -c 1"))
    assert (seen.code, "no Python" in seen.message) == (127, True)


def test_a_program_for_another_machine(tmp_path: Path) -> None:
    """Exec format error."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "bin").mkdir()
    for name in ("prog", "bin/sh"):  # the C library would have a shell try what is no program
        (root / name).write_bytes(b"\x7fELF" + bytes(60))
        (root / name).chmod(0o755)
    with tarfile.open(tmp_path / "t.tar", "w") as archive:
        archive.add(root, "/")
    name = "localhost/trainyard-test/foreign:1"
    images.load(tmp_path / "t.tar", name)
    seen, _, _ = ran(tmp_path / "data", spec(name, "/prog"))
    assert seen.cause is Cause.START_FAILED
    assert "not a program for this machine" in seen.message


def test_an_image_that_is_not_here_and_may_not_be_pulled(tmp_path: Path) -> None:
    """Missing image under image_pull = never."""
    seen, _, _ = ran(tmp_path, spec("registry.example/none:1", "true"))
    assert seen.cause is Cause.START_FAILED
    assert "image_pull is never" in seen.message


def test_a_registry_that_is_not_there(tmp_path: Path) -> None:
    """Nobody listens: the sentence names network and load."""
    seen, _, _ = ran(tmp_path, spec("127.0.0.1:9/none:1", "true"), pull="missing")
    assert seen.cause is Cause.START_FAILED
    assert "can't be reached" in seen.message


class _Server(http.server.ThreadingHTTPServer):
    """What its handlers answer: path to (status, content type, body)."""

    answers: dict[str, tuple[int, str, bytes]]
    otherwise: tuple[int, str, bytes]
    password: bool


class _Registry(http.server.BaseHTTPRequestHandler):
    """Answers by the table of its server."""

    server: _Server

    def do_GET(self) -> None:
        status, kind, body = self.server.answers.get(self.path, self.server.otherwise)
        if self.server.password and self.headers.get("Authorization") != "Basic dTpw":
            status, kind, body = (
                401,
                "application/json",
                b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}',
            )
        self.send_response(status)
        self.send_header("WWW-Authenticate", 'Basic realm="test"')
        self.send_header("Content-Type", kind)
        self.send_header("Docker-Distribution-API-Version", "registry/2.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - the library's name

    def log_message(self, *_: object) -> None:
        """Silence."""


@contextmanager
def registry(answers: dict[str, tuple[int, str, bytes]], *, password: bool = False) -> Iterator[str]:
    """A registry on this machine; its host:port."""
    server = _Server(("127.0.0.1", 0), _Registry)
    unknown = b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'
    server.answers = {"/v2/": (200, "application/json", b"{}"), **answers}
    server.otherwise = (404, "application/json", unknown)
    server.password = password
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()


def pulled(folder: Path, image: str, registry_at: str, storage: str = "", **changed: Any) -> tuple[Exit, str]:
    """How a replica ended whose image comes from our registry, and what it wrote."""
    folder.mkdir(exist_ok=True)
    registries = folder / "registries.conf"
    registries.write_text(f'[[registry]]\nlocation = "{registry_at}"\ninsecure = true\n')
    env = {**os.environ, "CONTAINERS_REGISTRIES_CONF": str(registries)}
    if storage:
        env["CONTAINERS_STORAGE_CONF"] = storage

    async def story() -> tuple[Exit, str]:
        told = replace(options(folder, pull="missing", **changed), environment=env)
        executor = InContainers(folder.resolve(), RealClock(), told)
        await executor.start()
        group = a_group(spec(image, "/bin/echo", "here"))
        await executor.launch(group)
        seen = await end(executor, group)
        await executor.forget(group.job_id) if storage else None
        await executor.close()
        return seen, output(folder, group)

    return asyncio.run(story())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, bytes]]:
    """The busybox image as a registry serves it under the name `bb`."""
    folder = tmp_path_factory.mktemp("image") / "oci"
    subprocess.run(
        ["podman", "save", "--format", "oci-dir", "-o", str(folder), images.BUSYBOX], check=True, capture_output=True
    )
    manifest = json.loads((folder / "index.json").read_text())["manifests"][0]
    blobs = {path.name: path.read_bytes() for path in (folder / "blobs/sha256").iterdir()}
    answers = {f"/v2/bb/blobs/sha256:{name}": (200, "application/octet-stream", body) for name, body in blobs.items()}
    body = blobs[manifest["digest"].removeprefix("sha256:")]
    for reference in ("1", manifest["digest"]):
        answers[f"/v2/bb/manifests/{reference}"] = (200, manifest["mediaType"], body)
    return answers


def test_an_image_is_pulled_once(tmp_path: Path, served: dict[str, tuple[int, str, bytes]]) -> None:
    """A missing image is fetched and run; the second time it is here, and the registry may be gone."""
    with registry(served) as where:
        seen, text = pulled(tmp_path, f"{where}/bb:1", where)
        assert text == "here\n", seen
    seen, text = pulled(tmp_path, f"{where}/bb:1", where)
    assert text == "here\n", seen
    subprocess.run(["podman", "rmi", f"{where}/bb:1"], check=True, capture_output=True)


def test_a_registry_that_wants_credentials(tmp_path: Path, served: dict[str, tuple[int, str, bytes]]) -> None:
    """Without them the sentence says where to put them; with the file that registry_auth names, the image comes."""
    with registry(served, password=True) as where:
        seen, _ = pulled(tmp_path / "without", f"{where}/bb:1", where)
        assert "registry_auth" in seen.message
        auth = tmp_path / "auth.json"
        auth.write_text(json.dumps({"auths": {where: {"auth": "dTpw"}}}))
        seen, text = pulled(tmp_path / "with", f"{where}/bb:1", where, auth_file=str(auth))
        assert text == "here\n", seen
    subprocess.run(["podman", "rmi", f"{where}/bb:1"], check=True, capture_output=True)


def test_an_image_that_the_registry_does_not_have(tmp_path: Path) -> None:
    """A wrong tag."""
    with registry({}) as where:
        seen, _ = pulled(tmp_path, f"{where}/bb:2", where)
    assert seen.message.startswith(f"The registry has no image {where}/bb:2")


def test_a_full_disk_while_pulling(tmp_path: Path, served: dict[str, tuple[int, str, bytes]]) -> None:
    """The image store fills up: the sentence says so and what gives room."""
    tiny = tmp_path / "tiny"
    tiny.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(tiny)], check=False).returncode:
        pytest.skip("no file system of a given size can be mounted here: that needs root")
    try:
        storage = tmp_path / "storage.conf"
        storage.write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{tiny}/graph"\nrunroot = "{tmp_path}/run"\n')
        with registry(served) as where:
            seen, _ = pulled(tmp_path / "data", f"{where}/bb:1", where, str(storage))
        assert "no room on the disk" in seen.message
    finally:
        subprocess.run(["umount", "-l", str(tiny)], check=True)


def test_an_engine_that_is_not_installed(tmp_path: Path) -> None:
    """runtime = podman without podman: refused with the ways out; nothing runs on the host instead."""

    async def story() -> None:
        told = replace(options(tmp_path), environment={**os.environ, "PATH": str(tmp_path)})
        executor = InContainers(tmp_path.resolve(), RealClock(), told)
        await executor.start()
        await executor.launch(group := a_group(f"touch {tmp_path}/witness"))
        seen = await end(executor, group)
        await executor.close()
        assert seen.cause is Cause.START_FAILED
        assert "trainyard doctor" in seen.message
        assert not (tmp_path / "witness").exists()

    asyncio.run(story())


def test_an_image_that_is_this_machine(tmp_path: Path) -> None:
    """runtime = podman and the image `host`: nothing of that name is looked for; the sentence names the ways out."""
    seen, _, _ = ran(tmp_path, spec("host", "true"))
    assert seen.cause is Cause.START_FAILED
    assert "stands for this machine itself" in seen.message
    assert "set runtime to auto" in seen.message


def test_what_becomes_of_an_image_is_told_beforehand(tmp_path: Path) -> None:
    """By default only an image whose name says its registry may be pulled; one that is here is run."""

    async def told(*uris: str) -> list[str]:
        engine = Podman(shutil.which("podman") or "", tmp_path, os.environ)
        return [answer["runs"] async for answer in mapped(engine, uris, {})]

    here, named, short, host = asyncio.run(told(images.BUSYBOX, "r.example/img:1", "no-such-image:1", "host"))
    assert here == "in its image"
    assert named == "in its image if it can be pulled, else on this machine"
    assert "its name says no registry" in short
    assert host == "on this machine"


def test_auto_takes_the_host_where_there_is_no_image(tmp_path: Path) -> None:
    """By default a job whose image is nowhere runs on the host, and its service log says why."""

    async def story() -> None:
        async with opened(tmp_path, runtime="auto", pull="missing") as executor:
            group = a_group(spec("no-such-image:1", "/bin/sh", "-c", "echo host"))
            bare = a_group(spec("no-such-image:1"))
            here = a_group(
                spec(images.BUSYBOX, "/bin/sh", "-c", "ls /work 2>&1; [ -x /bin/busybox ] && echo contained")
            )
            for each in (group, bare, here):
                await executor.launch(each)
            assert (await end(executor, group)).code == 0
            assert output(tmp_path, group) == "host\n"
            assert "is not on this machine" in " ".join((await reading(executor, group)).notes)
            seen = await end(executor, bare)
            assert seen.cause is Cause.START_FAILED
            assert "containerSpec.command" in seen.message
            assert (await end(executor, here)).code == 0
            assert "contained" in output(tmp_path, here)

    asyncio.run(story())


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """A program that can't bind says so itself; the sentence adds which port to take."""
    script = "import socket; a = socket.create_server(('127.0.0.1', 0)); socket.create_server(a.getsockname())"
    started = time.monotonic()
    seen, _, _ = ran(tmp_path, spec(images.PYTHON, "python3", "-S", "-c", script))
    assert seen.code == 1
    assert "CLUSTER_SPEC" in seen.message
    assert time.monotonic() - started < 60
