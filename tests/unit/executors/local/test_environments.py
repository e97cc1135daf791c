"""Environments made for real, from packages made for real; setuptools comes through the machine's package index."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from trainyard.core.runs import PythonPackage, ReplicaSpec
from trainyard.executors.local.environments import EnvironmentCache, Options, Prepared
from trainyard.executors.local.installer import Installer, InstallFailed
from trainyard.executors.local.packages import PreparationFailed, fingerprint, locate

SETUP = """from setuptools import find_packages, setup
setup(name="aiplatform_custom_trainer_script", version="0.1", packages=find_packages(), include_package_data=True,
      install_requires=%r, description="a script in the official client's packing")
"""
TASK = "import sys\nprint('trained with', sys.argv[1:], sys.prefix)\n"
UPLOADED = "aiplatform-2026-11-21-04:49:04.836-aiplatform_custom_trainer_script-0.1.tar.gz"


def sdist(path: Path, requires: tuple[str, ...] = (), task: str = TASK, mtime: int = 0, setup: str = SETUP) -> Path:
    """A source distribution as the official client's from_local_script packs one."""
    top = "aiplatform_custom_trainer_script-0.1"
    members = {
        f"{top}/PKG-INFO": "Metadata-Version: 2.1\nName: aiplatform_custom_trainer_script\nVersion: 0.1\n",
        f"{top}/setup.py": setup % (list(requires),) if "%r" in setup else setup,
        f"{top}/aiplatform_custom_trainer_script/__init__.py": "",
        f"{top}/aiplatform_custom_trainer_script/task.py": task,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(text), mtime
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


def packaged(*uris: str, image: str = "img") -> ReplicaSpec:
    package = PythonPackage(uris, "aiplatform_custom_trainer_script.task")
    return ReplicaSpec("workerpool0-0", 0, 0, image, package=package)


def prepare(cache: EnvironmentCache, replica: ReplicaSpec, heard: list[str] | None = None) -> Prepared:
    return asyncio.run(cache.prepare(replica, (heard if heard is not None else []).append))


def output(prepared: Prepared, *argv: str) -> str:
    env = prepared.over({"PATH": os.environ["PATH"], "PYTHONPATH": "/nowhere"})
    return subprocess.run(argv, env=env, cwd="/", capture_output=True, text=True, check=True).stdout


@pytest.fixture
def cache(tmp_path: Path) -> EnvironmentCache:
    return EnvironmentCache(tmp_path / "environments", tmp_path / "buckets")


def test_a_local_script_runs_and_its_second_start_is_instant(tmp_path: Path, cache: EnvironmentCache) -> None:
    """Case 75: the official client's packing installs and runs as a module; packed again, it is ready at once."""
    sdist(tmp_path / "buckets" / "b" / UPLOADED)
    heard: list[str] = []
    prepared = prepare(cache, packaged(f"gs://b/{UPLOADED}"), heard)
    printed = output(prepared, "python3", "-m", "aiplatform_custom_trainer_script.task", "--x", "1")
    assert printed == f"trained with ['--x', '1'] {prepared.bin_dir.parent}\n"
    assert len(heard) == 2
    assert "The image img is not run here" in prepared.notes[0]

    sdist(tmp_path / "buckets" / "b" / "again.tar.gz", mtime=77)
    heard.clear()
    began = time.process_time()
    again = prepare(cache, packaged("gs://b/again.tar.gz", image="other"), heard)
    assert time.process_time() - began < 0.1
    assert again.bin_dir == prepared.bin_dir
    assert "The image other is not run here" in again.notes[0]
    assert heard == []

    another_server = EnvironmentCache(tmp_path / "environments", tmp_path / "buckets")
    assert prepare(another_server, packaged(f"gs://b/{UPLOADED}")) == prepared
    assert not list((tmp_path / "environments").glob("*.making"))


def test_everybody_at_once_makes_it_once(tmp_path: Path) -> None:
    """Replicas of two servers ask at the same time; one installs, all get the same whole environment."""
    sdist(tmp_path / "buckets" / "b" / "p.tar.gz")
    caches = [EnvironmentCache(tmp_path / "environments", tmp_path / "buckets") for _ in range(2)]
    heard: list[str] = []

    async def all_at_once() -> list[Prepared]:
        asked = [cache.prepare(packaged("gs://b/p.tar.gz"), heard.append) for cache in caches for _ in range(3)]
        return list(await asyncio.gather(*asked))

    ready = asyncio.run(all_at_once())
    assert all(one == ready[0] for one in ready)
    assert len(heard) == 2


def test_a_cancelled_preparation_leaves_nothing_and_ends_its_installer(tmp_path: Path, cache: EnvironmentCache) -> None:
    """A job that is stopped while its package builds does not build on; the next one starts from scratch."""
    mark = tmp_path / "building"
    setup = f"import pathlib, os, time\npathlib.Path({str(mark)!r}).write_text(str(os.getpid()))\ntime.sleep(600)\n"
    sdist(tmp_path / "buckets" / "b" / "p.tar.gz", setup=setup)

    async def stop_while_building() -> None:
        task = asyncio.create_task(cache.prepare(packaged("gs://b/p.tar.gz"), lambda _: None))
        deadline = time.monotonic() + 60
        while not (mark.exists() and mark.read_text()) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(stop_while_building())
    builder = int(mark.read_text())
    deadline = time.monotonic() + 60
    while Path(f"/proc/{builder}/status").exists() and time.monotonic() < deadline:
        if "State:\tZ" in Path(f"/proc/{builder}/status").read_text():
            break
        time.sleep(0.02)
    assert time.monotonic() < deadline
    assert [p.name for p in (tmp_path / "environments").iterdir() if not p.name.endswith(".lock")] == []


def test_what_a_killed_server_left_is_cleared_and_a_broken_environment_is_made_anew(
    tmp_path: Path,
    cache: EnvironmentCache,
) -> None:
    """Half-made directories go; an environment whose interpreter is gone is replaced, not handed out."""
    sdist(tmp_path / "buckets" / "b" / "p.tar.gz")
    prepared = prepare(cache, packaged("gs://b/p.tar.gz"))
    home = prepared.bin_dir.parent
    (prepared.bin_dir / "python").unlink()
    (prepared.bin_dir / "python").symlink_to("/nowhere/python")
    (home / "trainyard.json").write_text("")
    half = home.with_name(f"{home.name}.0123abcd.making")
    half.mkdir()
    again = prepare(cache, packaged("gs://b/p.tar.gz"))
    assert again == prepared
    assert "trained" in output(again, "python3", "-m", "aiplatform_custom_trainer_script.task")
    assert not half.exists()


def test_a_prebuilt_image_brings_its_framework(tmp_path: Path) -> None:
    """The image's framework is there beside the package, and the note says what and where it differs."""
    image = "us-docker.pkg.dev/vertex-ai/training/sklearn-cpu.1-6:latest"
    options = Options(images={image: ["packaging==24.*"]})
    cache = EnvironmentCache(tmp_path / "environments", tmp_path / "buckets", options)
    replica = ReplicaSpec("workerpool0-0", 0, 0, image, command=("python3",))
    assert cache.needs(replica)
    prepared = prepare(cache, replica)
    assert output(prepared, "python", "-c", "import packaging; print(packaging.__version__)").startswith("24.")
    assert prepared.notes == (
        f"The image {image} is not run here; the program runs on this machine with packaging==24.* and "
        f"Python {sys.version_info[0]}.{sys.version_info[1]}.",
    )


def test_an_image_of_no_packages_is_python_alone(tmp_path: Path) -> None:
    """An image that is mapped to no packages gets an empty environment, where nothing is installed at all."""
    cache = EnvironmentCache(tmp_path / "environments", tmp_path / "buckets", Options(images={"img": []}))
    replica, heard = ReplicaSpec("workerpool0-0", 0, 0, "img:v1", command=("python3",)), list[str]()
    assert cache.needs(replica)
    prepared = prepare(cache, replica, heard)
    shown = output(prepared, "python", "-c", "from importlib import metadata; print(*metadata.distributions())")
    assert shown == "\n"
    assert len(heard) == 1
    assert " with no packages and Python " in prepared.notes[0]


def test_a_version_that_is_not_there_is_replaced_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest that fits stands in, and the job's owner reads so."""
    from trainyard.executors.local import environments
    from trainyard.executors.local.prebuilt import Recipe

    odd = Recipe(("packaging==0.1.*",), ("packaging",), "packaging", "0.1", "3.7", says="a clause")
    monkeypatch.setattr(environments, "recipe_of", lambda *_, **__: odd)
    cache = EnvironmentCache(tmp_path / "environments", tmp_path / "buckets")
    (note,) = prepare(cache, ReplicaSpec("workerpool0-0", 0, 0, "img")).notes
    assert "the image has 0.1, which does not exist for this Python or platform" in note
    assert "the image has Python 3.7, which is not installed" in note
    assert note.endswith("; a clause.")


def test_only_packages_and_prebuilt_images_need_an_environment(tmp_path: Path) -> None:
    """A container's own command runs with the machine's programs; so do prebuilt images under `host`."""
    prebuilt = ReplicaSpec("workerpool0-0", 0, 0, "us-docker.pkg.dev/vertex-ai/training/tf-cpu.2-17.py310:latest")
    cache = EnvironmentCache(tmp_path / "e", tmp_path / "b")
    assert cache.needs(prebuilt)
    assert cache.needs(packaged("gs://b/p.tar.gz"))
    assert not cache.needs(ReplicaSpec("workerpool0-0", 0, 0, "img", command=("sh",)))
    host = EnvironmentCache(tmp_path / "e", tmp_path / "b", Options(prebuilt="host"))
    assert not host.needs(prebuilt)
    assert host.needs(packaged("gs://b/p.tar.gz"))


def test_under_host_the_machines_own_packages_are_seen(tmp_path: Path) -> None:
    """`host` installs no framework; the package's environment looks through to the machine's Python."""
    sdist(tmp_path / "buckets" / "b" / "p.tar.gz")
    cache = EnvironmentCache(tmp_path / "e", tmp_path / "buckets", Options(prebuilt="host"))
    image = "us-docker.pkg.dev/vertex-ai/training/tf-cpu.2-17.py310"
    prepared = prepare(cache, packaged("gs://b/p.tar.gz", image=image))
    assert "include-system-site-packages = true" in (prepared.bin_dir.parent / "pyvenv.cfg").read_text()
    assert "this machine's own Python packages" in prepared.notes[0]


def test_a_missing_package_is_named_with_where_it_was_looked_for(tmp_path: Path, cache: EnvironmentCache) -> None:
    """The sentence holds the URI and the path."""
    with pytest.raises(PreparationFailed) as failed:
        prepare(cache, packaged("gs://b/no.tar.gz"))
    assert "gs://b/no.tar.gz" in str(failed.value)
    assert str(tmp_path / "buckets" / "b" / "no.tar.gz") in str(failed.value)


@pytest.mark.parametrize(
    "uri",
    [
        "gs://",
        "gs://b",
        "gs://b/",
        "file:///etc/passwd",
        "/etc/passwd",
        "gs://../x/y",
        "gs:///etc/passwd",
        "xgs://b/o",
    ],
)
def test_only_objects_of_buckets_are_read(tmp_path: Path, uri: str) -> None:
    """No URI leads out of the buckets' directory."""
    (tmp_path / "secret").write_text("s")
    with pytest.raises(PreparationFailed, match="gs://bucket/object"):
        locate(uri, tmp_path / "buckets")


@pytest.mark.parametrize("link", ["buckets/b/link", "buckets/b/d"])
def test_no_package_is_read_from_outside_its_bucket(tmp_path: Path, link: str) -> None:
    """Neither dots in a name nor a link in the bucket lead to a file beside it."""
    (tmp_path / "buckets" / "b").mkdir(parents=True)
    (tmp_path / "link").write_text("s")
    (tmp_path / link).symlink_to(tmp_path / "link" if link.endswith("link") else tmp_path)
    for uri in ("gs://b/../../link", "gs://b/link", "gs://b/d/link"):
        with pytest.raises(PreparationFailed, match="does not exist"):
            locate(uri, tmp_path / "buckets")


def test_a_package_is_found_under_an_odd_name(tmp_path: Path) -> None:
    """Packages lie where the storage endpoint puts them, whatever they are called."""
    for name, path in (("a//b:1.tar.gz", "a/.%/b:1.tar.gz"), ("../x", ".%../x"), ("p", "p/.%%self")):
        file = tmp_path / "buckets" / "b" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("s")
        assert locate(f"gs://b/{name}", tmp_path / "buckets") == file


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"no archive", "installer said"),
        (None, "no-such-package-of-trainyard-tests"),
    ],
)
def test_what_the_installer_refuses_is_passed_on(
    tmp_path: Path,
    cache: EnvironmentCache,
    content: bytes | None,
    says: str,
) -> None:
    """A file that is no package, and a requirement that does not exist: one sentence with the installer's words."""
    path = tmp_path / "buckets" / "b" / "p.tar.gz"
    sdist(path, requires=("no-such-package-of-trainyard-tests==1",))
    if content:
        path.write_bytes(content)
    with pytest.raises(PreparationFailed, match=says):
        prepare(cache, packaged("gs://b/p.tar.gz"))


def test_without_a_network_the_sentence_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline, the owner reads what can be done."""
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    image = "us-docker.pkg.dev/vertex-ai/training/sklearn-cpu.1-6:latest"
    cache = EnvironmentCache(tmp_path / "e", tmp_path / "b")
    with pytest.raises(PreparationFailed, match='set the prebuilt-image setting to "host"'):
        prepare(cache, ReplicaSpec("workerpool0-0", 0, 0, image))


def test_a_disk_that_refuses_gives_a_sentence(tmp_path: Path) -> None:
    """No exception but PreparationFailed comes out, so that no replica waits for ever."""
    sdist(tmp_path / "buckets" / "b" / "p.tar.gz")
    (tmp_path / "e").write_text("a file where the directory should be")
    cache = EnvironmentCache(tmp_path / "e", tmp_path / "buckets")
    with pytest.raises(PreparationFailed, match="could not be made"):
        prepare(cache, packaged("gs://b/p.tar.gz"))
    with pytest.raises(PreparationFailed, match="does not exist"):
        prepare(cache, packaged("gs://b/" + "x" * 300))


def test_a_build_sees_nothing_of_the_servers_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package's setup.py is its owner's code: it gets what the program would get, and no more."""
    monkeypatch.setenv("TRAINYARD_TEST_SECRET", "hidden")
    seen = tmp_path / "seen"
    told = "os.environ.get('TRAINYARD_TEST_SECRET', 'none')"
    peek = f"import os, pathlib\npathlib.Path({str(seen)!r}).write_text({told})\n"
    sdist(tmp_path / "buckets" / "b" / "p.tar.gz", setup=peek + SETUP)
    prepare(EnvironmentCache(tmp_path / "e", tmp_path / "buckets"), packaged("gs://b/p.tar.gz"))
    assert seen.read_text() == "none"


def test_builds_without_cuda_are_asked_for_where_there_is_no_gpu(tmp_path: Path) -> None:
    """The wish for smaller builds does not stand in the way of packages that have none."""
    installer = Installer(600)

    async def make() -> None:
        await installer.create(tmp_path / "v", sys.executable, see_host_packages=False)
        await installer.install(tmp_path / "v", ["packaging"], cpu_torch=True, wheels_only=True)

    asyncio.run(make())
    assert list((tmp_path / "v").glob("lib/python*/site-packages/packaging/__init__.py"))


def test_an_installation_has_a_time_limit(tmp_path: Path) -> None:
    """An installer that hangs is ended."""
    with pytest.raises(InstallFailed, match="not done after 0 seconds"):
        asyncio.run(Installer(0.0).create(tmp_path / "v", sys.executable, see_host_packages=False))


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    """Times and names do not count; a changed byte does; zip and plain files are read, too."""
    first = fingerprint(sdist(tmp_path / "a.tar.gz", mtime=1))
    assert first == fingerprint(sdist(tmp_path / "b.tar.gz", mtime=2))
    assert first != fingerprint(sdist(tmp_path / "c.tar.gz", task=TASK + "#"))
    for name, text in (("a.whl", "1"), ("b.whl", "1"), ("c.whl", "2")):
        with zipfile.ZipFile(tmp_path / name, "w") as wheel:
            wheel.writestr("m.py", text)
    assert fingerprint(tmp_path / "a.whl") == fingerprint(tmp_path / "b.whl") != fingerprint(tmp_path / "c.whl")
    (tmp_path / "plain").write_bytes(b"x")
    whole = (tmp_path / "a.tar.gz").read_bytes()
    (tmp_path / "cut").write_bytes(whole[:200])
    (tmp_path / "damaged").write_bytes(whole[:60] + b"\xff" * 20 + whole[80:])
    assert len({first, *(fingerprint(tmp_path / name) for name in ("plain", "cut", "damaged"))}) == 4


def test_a_package_replaced_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was promised by its fingerprint is what is installed, or nothing."""
    path = sdist(tmp_path / "buckets" / "b" / "p.tar.gz")
    real = shutil.copyfile

    def replaced(source: Path, target: Path) -> None:
        real(sdist(path, task="print('other')"), target)

    monkeypatch.setattr(shutil, "copyfile", replaced)
    with pytest.raises(PreparationFailed, match="was replaced"):
        prepare(EnvironmentCache(tmp_path / "e", tmp_path / "buckets"), packaged("gs://b/p.tar.gz"))
