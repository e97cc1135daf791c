"""Images for tests, from nothing: this machine's busybox, and its Python with the libraries it is linked to."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PYTHON = "localhost/trainyard-test/python:1"
BUSYBOX = "localhost/trainyard-test/busybox:1"
_APPLETS = "sh true false sleep cat echo env id ls kill touch mkdir tee hostname date ps nc wget head dd df ulimit test"
_LEFT_OUT = {
    "test",
    "tests",
    "site-packages",
    "idlelib",
    "tkinter",
    "ensurepip",
    "lib2to3",
    "__pycache__",
    "turtledemo",
}


def build() -> None:
    """Make the images that are not there yet; a few seconds once."""
    for name, fill in ((BUSYBOX, _busybox), (PYTHON, _python)):
        if subprocess.run(["podman", "image", "exists", name], check=False).returncode:
            with tempfile.TemporaryDirectory() as folder:
                root = Path(folder, "root")
                fill(root)
                tree = Path(folder, "tree.tar")
                with tarfile.open(tree, "w") as archive:
                    archive.add(root, "/")
                load(tree, name)


def load(tree: Path, name: str, *changes: str) -> None:
    """An image of a file tree, with lines of a Dockerfile such as `USER 1000`."""
    words = [word for change in changes for word in ("--change", change)]
    subprocess.run(["podman", "import", "--quiet", *words, str(tree), name], check=True, capture_output=True)


def derive(name: str, base: str, *changes: str) -> None:
    """An image like `base`, with other settings."""
    made = subprocess.run(["podman", "create", base, "true"], check=True, capture_output=True, text=True).stdout.strip()
    try:
        words = [word for change in changes for word in ("--change", change)]
        subprocess.run(["podman", "commit", "--quiet", *words, made, name], check=True, capture_output=True)
    finally:
        subprocess.run(["podman", "rm", made], check=True, capture_output=True)


def _busybox(root: Path) -> None:
    (root / "bin").mkdir(parents=True)
    for folder in ("tmp", "proc", "sys", "dev", "etc", "root"):
        (root / folder).mkdir()
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    program = shutil.which("busybox")
    assert program, "apt-get install busybox-static"
    shutil.copy(program, root / "bin/busybox")
    for applet in _APPLETS.split():
        (root / "bin" / applet).symlink_to("busybox")


def _python(root: Path) -> None:
    _busybox(root)
    home, version = Path(sys.base_prefix), f"python{sys.version_info.major}.{sys.version_info.minor}"
    interpreter = (home / "bin" / version).resolve()
    (root / "usr/bin").mkdir(parents=True)
    shutil.copy(interpreter, root / f"usr/bin/{version}")
    (root / "usr/bin/python3").symlink_to(version)
    (root / "usr/bin/env").symlink_to("/bin/busybox")
    library = next(path for path in (home / "lib" / version, Path("/usr/lib") / version) if (path / "os.py").exists())
    shutil.copytree(
        library,
        root / "usr/lib" / version,
        symlinks=False,
        ignore=lambda _, names: {name for name in names if name in _LEFT_OUT or name.startswith("config-")},
    )
    for linked in _linked([interpreter, *(root / "usr/lib" / version / "lib-dynload").glob("*.so")]):
        target = root / str(linked).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy(linked, target)


def _linked(programs: list[Path]) -> set[Path]:
    """The shared libraries that these need, by the loader's own account."""
    said = subprocess.run(["ldd", *map(str, programs)], check=False, capture_output=True, text=True).stdout
    return {Path(path) for path in re.findall(r"(?:=> |^\s+)(/\S+) \(0x", said, re.MULTILINE)}
