"""The program beside the service that speaks MLflow: one request after the other, each with a time limit.

What does not answer in time is killed, and the next request starts it anew; so nothing of the library, of its server
or of a lock in its database can hold up the service, nor its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any, Final

from trainyard.core.errors import Unavailable

_PASSWORD: Final = re.compile(r"(?<=://)[^/@\s]*@")
_MOST_BYTES: Final = 16 << 20  # of an answer
_SILENT: Final = {  # over the library's own patience, which is minutes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}


class Speaker:
    """Asks one tracking server or database."""

    def __init__(self, uri: str, directory: Path) -> None:
        """Nothing is started yet. What the library puts where it is started, such as artifacts, is in `directory`."""
        self._uri, self._directory = uri, directory
        self.where = _PASSWORD.sub("", uri)
        self._program: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def ask(self, op: str, seconds: float, **arguments: Any) -> Any:
        """The answer of program.Calls; raises Unavailable with a sentence, also where it takes longer than that."""
        try:
            async with asyncio.timeout(seconds), self._turn:
                return await self._asked({"op": op, **arguments})
        except TimeoutError:
            raise Unavailable(f"MLflow at {self.where} did not answer within {seconds:g} s.") from None
        except OSError as error:
            raise Unavailable(f"The program that speaks MLflow can't be started: {error.strerror}.") from None

    async def _asked(self, request: dict[str, Any]) -> Any:
        answered = False
        try:
            program = await self._started()
            assert program.stdin is not None
            assert program.stdout is not None
            with contextlib.suppress(ConnectionError):
                program.stdin.write(json.dumps(request).encode() + b"\n")
                await program.stdin.drain()
            line = await program.stdout.readline()
            answered = bool(line)
        finally:
            if not answered:  # it has died, or somebody's patience has: a late answer must not meet the next request
                await self.close()
        if not answered:
            raise Unavailable("The program that speaks MLflow has ended; its words are in the service's output.")
        answer = json.loads(line)
        if "error" in answer:
            raise Unavailable(f"MLflow at {self.where} says: {_PASSWORD.sub('', answer['error'])}")
        return answer["ok"]

    async def _started(self) -> asyncio.subprocess.Process:
        if self._program is None or self._program.returncode is not None:
            self._directory.mkdir(exist_ok=True)
            self._program = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "trainyard.trackers.mlflow_runs.program",
                self._uri,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_MOST_BYTES,
                cwd=self._directory,
                start_new_session=True,
                env={**_SILENT, **os.environ},
            )
        return self._program

    async def close(self) -> None:
        """End the program."""
        program, self._program = self._program, None
        if program is not None and program.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                program.kill()
            await program.wait()
