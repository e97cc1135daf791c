"""Record a service, replay it without one, and tell where another answers otherwise."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

BODY = {
    "displayName": "t",
    "jobSpec": {
        "workerPoolSpecs": [
            {
                "machineSpec": {"machineType": "n1-standard-4"},
                "replicaCount": 1,
                "containerSpec": {
                    "imageUri": "host",
                    "command": ["true"],
                    "env": [{"name": "MY_TOKEN", "value": "SEKRET"}],
                },
            }
        ]
    },
}
PARENT = "/v1/projects/p/locations/us-central1/customJobs"


@contextmanager
def running(*arguments: str) -> Iterator[int]:
    """A command of ours that serves, until it is interrupted; gives its port."""
    command = [sys.executable, "-m", "trainyard", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert found, (line, process.poll() is not None and process.stderr and process.stderr.read())
        yield int(found[1])
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


def ask(port: int, verb: str, path: str, body: Any = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {"Authorization": "Bearer SEKRET", "Content-Type": "application/json"}
    connection.request(verb, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text) if text else None


def diff(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "trainyard", "diff", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout + done.stderr


def story(port: int) -> list[tuple[int, Any]]:
    """What a client does; names in it come from the answers."""
    made = ask(port, "POST", f"{PARENT}?key=SEKRET", BODY)
    name = f"/v1/{made[1]['name']}"
    return [
        made,
        ask(port, "GET", name),
        ask(port, "GET", f"{PARENT}?pageSize=50"),
        ask(port, "POST", f"{name}:cancel", {}),
        ask(port, "GET", f"{PARENT}/1"),
    ]


def test_a_recording_is_replayed_and_compared(tmp_path: Path) -> None:
    """The replay answers as the service did; nothing secret is in the files; the service again differs in nothing
    but states that depend on time; a service that answers otherwise shows where, with exit code 1."""
    tape = str(tmp_path / "tape")
    with running("serve", "--port", "0", "--data-dir", str(tmp_path / "data")) as service:
        with running("record", "--to", tape, "--upstream", f"http://127.0.0.1:{service}") as port:
            answers = story(port)
            upload = ask(port, "DELETE", "/v1/projects/p/locations/us-central1/customJobs/1")
        timed = ["--ignore", "state", "--ignore", "startTime", "--ignore", "endTime", "--ignore", "error"]
        code, text = diff(tape, "--against", f"http://127.0.0.1:{service}", *timed)
        assert code == 0, text
        assert "no differences in 6 and 6 exchanges" in text
    assert [status for status, _ in answers] == [200, 200, 200, 200, 404]
    assert upload[0] == 404
    kept = "".join(path.read_text() for path in Path(tape).iterdir())
    assert "SEKRET" not in kept
    assert kept.count("REMOVED") >= 8
    with running("replay", tape) as port:
        again = story(port)
        status, nothing = ask(port, "GET", "/v1/elsewhere")
    assert [status for status, _ in again] == [status for status, _ in answers]
    assert again[1][1]["name"] == answers[1][1]["name"]
    assert (status, nothing["error"]["status"]) == (404, "NOT_FOUND")


class Other(BaseHTTPRequestHandler):
    """A service that answers everything in its own way."""

    def do_GET(self) -> None:
        body = b'{"name": 5, "extra": true}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_DELETE = do_GET  # noqa: N815 - as above

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Quiet."""


def test_differences_are_found(tmp_path: Path) -> None:
    """Exit code 1, and each field with what it is on either side, as text and as JSON; a bad call is exit code 2."""
    other = ThreadingHTTPServer(("127.0.0.1", 0), Other)
    Thread(target=other.serve_forever, args=(0.05,), daemon=True).start()
    address = f"http://127.0.0.1:{other.server_port}"
    tape, theirs = str(tmp_path / "tape"), str(tmp_path / "theirs")
    with (
        running("serve", "--port", "0", "--data-dir", str(tmp_path / "data")) as service,
        running("record", "--to", tape, "--upstream", f"http://127.0.0.1:{service}") as port,
    ):
        made = ask(port, "POST", PARENT, BODY)[1]
    with running("record", "--to", theirs, "--upstream", address) as port:
        ask(port, "POST", PARENT, BODY)
    assert made["name"]
    code, text = diff(tape, theirs)
    assert code == 1
    assert "POST /v1/projects/*/locations/*/customJobs" in text
    assert "extra: missing | true or false" in text
    assert "name: resource name | number" in text
    code, text = diff(tape, "--against", address, "--format", "json")
    assert {"where": "extra", "left": "missing", "right": "true or false"}.items() <= json.loads(text)[
        2
    ].items() or any(each["where"] == "extra" for each in json.loads(text))
    assert diff(tape)[0] == 2
    assert diff(str(tmp_path / "absent"), tape)[0] == 1
    other.shutdown()
    other.server_close()
    assert diff(tape, "--against", address)[0] == 3
