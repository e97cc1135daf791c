"""`python -m benchmarks.peers [--install [name …]]`: which peers are here, and how the others get here."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.peers import PEERS, VENVS, Peer

UV = Path(sys.executable).parent / "uv"


def main() -> None:
    names = [peer.driver for peer in PEERS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--install", nargs="*", metavar="NAME", choices=names, help=f"all, or of {', '.join(names)}")
    parser.add_argument("--without-system-packages", action="store_true", help="leave out what apt-get would install")
    asked = parser.parse_args()
    for peer in PEERS if asked.install is not None else ():
        wanted = not asked.install or peer.driver in asked.install
        if wanted and not peer.is_here and not (peer.system_packages and asked.without_system_packages):
            install(peer)
    for peer in PEERS:
        print(f"{peer.name:20} {peer.version if peer.is_here else 'not here: ' + peer.how_to_install}")


def install(peer: Peer) -> None:
    """Get one peer: Python packages into an environment of its own, system packages by apt-get (as root)."""
    print(f"installing {peer.name}: {' '.join(peer.python_packages or peer.system_packages)}", flush=True)
    if peer.python_packages:
        home = VENVS / peer.driver
        subprocess.run([UV, "venv", "--quiet", "--clear", "--python", sys.executable, home], check=True)
        subprocess.run(
            [UV, "pip", "install", "--quiet", "--compile-bytecode", "--python", peer.python, *peer.python_packages],
            check=True,
        )
        return
    if os.geteuid() != 0:
        sys.exit(f"As root: apt-get install --no-install-recommends {' '.join(peer.system_packages)}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(
        ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *peer.system_packages],
        check=True,
        env=quiet,
        stdout=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    main()
