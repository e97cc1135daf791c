"""What is made ready beforehand is exactly what a job's first start would make, and finds."""

from __future__ import annotations

import asyncio
import io
import zipfile
from pathlib import Path

import pytest

from trainyard.core.errors import Unavailable
from trainyard.core.runs import PythonPackage, ReplicaSpec
from trainyard.executors.local.containers import ContainerOptions, Containers
from trainyard.executors.local.environments import EnvironmentCache
from trainyard.executors.local.plan import Places
from trainyard.executors.local.warmth import warm


def cache(folder: Path) -> EnvironmentCache:
    """As the executor has it; nothing of it is kept in memory from one to the next."""
    return EnvironmentCache(folder / "environments", folder / "buckets")


def containers(folder: Path, **options: str) -> Containers:
    """Without any engine on the PATH."""
    places = Places(folder / "runs", folder / "logs", folder / "buckets")
    return Containers(ContainerOptions(**options), folder, places, {"PATH": str(folder)}, Path)


def test_an_environment_that_was_made_ready_is_found(tmp_path: Path) -> None:
    """A replica of the same image and packages has nothing left to prepare, whatever module it runs."""
    uri = "gs://b/p-1-py3-none-any.whl"
    package = tmp_path / "buckets" / "b" / "p-1-py3-none-any.whl"
    package.parent.mkdir(parents=True)
    package.write_bytes(wheel())
    said = asyncio.run(warm("img", (uri,), cache(tmp_path), None))
    assert said == "The environment that stands in for img is ready (no container: the runtime is host)."
    heard: list[str] = []
    spec = ReplicaSpec("workerpool0-0", 0, 0, "img", package=PythonPackage((uri,), "p"))
    ready = asyncio.run(cache(tmp_path).prepare(spec, heard.append))
    assert (ready.bin_dir / "python").exists()
    assert heard == []


def test_what_needs_nothing_says_so(tmp_path: Path) -> None:
    """An image that stands for this machine's own programs; `auto` says why there is no container."""
    said = asyncio.run(warm("mine", (), cache(tmp_path), None))
    assert said.startswith("Programs of mine run with what is installed on this machine (the runtime is host)")
    for image, why in (("host", "it names no image"), ("docker.io/library/mine", "no podman")):
        said = asyncio.run(warm(image, (), cache(tmp_path), containers(tmp_path)))
        assert why in said
        assert "nothing is to be made" in said


def test_what_cannot_be_made_ready_is_one_sentence(tmp_path: Path) -> None:
    """A package that is not there; an engine that is asked for and missing."""
    with pytest.raises(Unavailable, match=r"gs://b/p\.tar\.gz"):
        asyncio.run(warm("img", ("gs://b/p.tar.gz",), cache(tmp_path), None))
    with pytest.raises(Unavailable, match="podman"):
        asyncio.run(warm("img", (), cache(tmp_path), containers(tmp_path, runtime="podman")))


def wheel() -> bytes:
    """The smallest wheel: one module, no requirements."""

    files = {
        "p.py": "",
        "p-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: p\nVersion: 1\n",
        "p-1.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "p-1.dist-info/RECORD": "p.py,,\np-1.dist-info/METADATA,,\np-1.dist-info/WHEEL,,\np-1.dist-info/RECORD,,\n",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()
