"""A real browser without a window, spoken to by the Chrome DevTools Protocol."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from shell_client import ASKS

from trainyard.core.frames import Frames, Opcode, frame

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
PATIENCE_SECONDS = 60.0


class Browser:
    """One page of a browser, closed when left."""

    def __init__(self, folder: Path) -> None:
        assert PROGRAM is not None
        flags = ("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--no-first-run")
        self.process = subprocess.Popen(
            [PROGRAM, *flags, f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.count = 0
        self.frames = Frames(masked=False)
        self.heard: list[dict[str, Any]] = []
        told = folder / "DevToolsActivePort"
        self.until(lambda: told.exists() and told.read_text().count("\n") >= 1, "the browser to come up")
        self.connection = self._connected(int(told.read_text().splitlines()[0]))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()
        os.killpg(self.process.pid, 9)
        self.process.wait()

    def _connected(self, port: int) -> socket.socket:
        asking = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        asking.request("GET", "/json/list")
        pages = [each for each in json.loads(asking.getresponse().read()) if each["type"] == "page"]
        asking.close()
        path = "/" + pages[0]["webSocketDebuggerUrl"].split("/", 3)[3]
        connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *(f"{name}: {ASKS[name]}" for name in ASKS)]
        connection.sendall("\r\n".join((*lines, "", "")).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):  # nothing comes unasked
            head += connection.recv(1)
        assert b" 101 " in head, head
        return connection

    def asks(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command and its result."""
        self.count += 1
        wanted = {"id": self.count, "method": method, "params": parameters}
        self.connection.sendall(frame(Opcode.TEXT, json.dumps(wanted).encode(), os.urandom(4)))
        while True:
            for opcode, payload in self.frames.feed(self.connection.recv(1 << 16)):
                said = json.loads(payload) if opcode is Opcode.TEXT else {}
                if said.get("id") == self.count:
                    assert "error" not in said, said
                    result: dict[str, Any] = said["result"]
                    return result

    def goes(self, address: str) -> None:
        """Open a page."""
        self.asks("Page.navigate", url=address)

    def says(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page, awaited."""
        said = self.asks("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        return said["result"].get("value")

    def types(self, text: str) -> None:
        """Press the keys of a line, and Enter."""
        self.asks("Input.insertText", text=text)
        enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
        self.asks("Input.dispatchKeyEvent", type="keyDown", text="\r", **enter)
        self.asks("Input.dispatchKeyEvent", type="keyUp", **enter)

    def sees(self, expression: str) -> None:
        """Wait until a JavaScript expression is true."""
        self.until(lambda: bool(self.says(expression)), expression)

    def until(self, look: Any, what: str) -> None:
        """Wait; fails with what the page shows."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not look():
            shown = self.says("document.body?.innerText") if self.count else ""
            assert time.monotonic() < deadline, f"waited in vain for {what}: {shown}"
            time.sleep(0.05)
