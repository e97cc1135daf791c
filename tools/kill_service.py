"""A service under test that may be killed at any moment and is started again on the same data directory."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


class Unanswered(Exception):
    """The service refused, or was not there to answer."""


class Service:
    """One data directory and the server process that holds it just now."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._process: subprocess.Popen[str] | None = None
        self._port = 0
        self._errors = data_dir.parent / "server.err"

    def start(self) -> float:
        """Start and wait for the ready line; seconds from the start to it."""
        began = time.monotonic()
        with self._errors.open("a") as errors:
            self._process = subprocess.Popen(
                [
                    Path(sys.executable).parent / "trainyard",
                    "serve",
                    "--port",
                    "0",
                    "--data-dir",
                    str(self.data_dir),
                    "--grace",
                    "2",
                ],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        found = re.search(r"http://[0-9.]+:(\d+)", line)
        if not found:
            raise RuntimeError(f"no ready line but {line!r}; stderr ends: {self._errors.read_text()[-2000:]}")
        self._port = int(found.group(1))
        return time.monotonic() - began

    def alive(self) -> bool:
        """Whether the server process runs."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL to the server itself, and nothing else."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and wait for the clean end."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)

    def get(self, path: str) -> dict[str, Any]:
        """GET as JSON; raises Unanswered."""
        return dict(json.loads(self._call("GET", path)))

    def raw(self, path: str) -> bytes:
        """GET as bytes; raises Unanswered."""
        return self._call("GET", path)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST JSON; raises Unanswered."""
        return dict(json.loads(self._call("POST", path, json.dumps(body).encode())))

    def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """PATCH JSON; raises Unanswered."""
        return dict(json.loads(self._call("PATCH", path, json.dumps(body).encode())))

    def _call(self, verb: str, path: str, body: bytes | None = None) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        try:
            connection.request(verb, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as problem:
            raise Unanswered(str(problem)) from problem
        finally:
            connection.close()
        if answer.status != 200:
            raise Unanswered(f"{answer.status}: {content[:500]!r}")
        return content

    def ours(self) -> list[int]:
        """Every process of this data directory: server, agents, and programs that carry its path."""
        found = self.agents()
        needle = str(self.data_dir).encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal() or int(entry.name) == os.getpid():
                continue
            try:
                if entry.joinpath("stat").read_text().rpartition(")")[2].split()[0] == "Z":
                    continue
                if needle in entry.joinpath("cmdline").read_bytes() or needle in entry.joinpath("environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
        return sorted(set(found))

    def agents(self) -> list[int]:
        """The spawner and every agent: they run the spawner's code and write errors into the data directory."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if (
                    entry.name.isdecimal()
                    and b"trainyard.agent.spawner" in entry.joinpath("cmdline").read_bytes()
                    and str(entry.joinpath("fd", "2").readlink()).startswith(str(self.data_dir))
                ):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def spawner(self) -> int | None:
        """The process that forks the agents: the one of them that is a child of the server."""
        if self._process is None:
            return None
        for pid in self.agents():
            try:
                parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == self._process.pid:
                return pid
        return None

    def processes_left(self) -> list[str]:
        """What is still there after the end: process id and command line."""
        left = []
        for pid in self.ours():
            try:
                left.append(f"{pid} {Path(f'/proc/{pid}/cmdline').read_bytes().replace(bytes(1), b' ')[:160]!r}")
            except OSError:
                continue
        return left

    def end_everything(self) -> None:
        """Leave nothing behind, whatever happened; only processes of this data directory are touched."""
        for _ in range(20):
            left = self.ours()
            if self._process is not None and self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            if not left:
                return
            time.sleep(0.1)
