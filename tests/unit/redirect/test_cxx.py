"""TensorFlow is aimed by the process's own environment, which Python's libraries do not see."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from trainyard.redirect.cxx import forget_proxy

PROGRAM = """
import ctypes, os, socket, threading
listener = socket.create_server(("127.0.0.1", 0))
heard = []

def answer():
    while True:
        client, _ = listener.accept()
        heard.append(client.recv(100))
        client.sendall(b"HTTP/1.1 200 Connection established\\r\\n\\r\\n")
        client.close()

threading.Thread(target=answer, daemon=True).start()
endpoint = "http://127.0.0.1:%d" % listener.getsockname()[1]
os.environ.update({{"TRAINYARD_REDIRECT": endpoint, "TRAINYARD_REDIRECT_BUNDLE": "/nowhere/bundle.pem", **{more!r}}})
from trainyard.redirect import cxx
cxx.patch_tensorflow(None)
getenv = ctypes.CDLL(None).getenv
getenv.restype = ctypes.c_char_p
names = (b"HTTPS_PROXY", b"CURL_CA_BUNDLE", b"GOOGLE_AUTH_TOKEN_FOR_TESTING", b"https_proxy")
print([(getenv(name) or b"").decode().replace(endpoint, "ENDPOINT") for name in names])
print("HTTPS_PROXY" in os.environ, [line[:34] for line in heard])
"""


UNSET = ("GCE_METADATA_HOST", "TRAINYARD_TOKEN", "CURL_CA_BUNDLE", "HTTPS_PROXY", "https_proxy")


def told(**more: str) -> list[str]:
    """What the program saw in a process of its own."""
    code = PROGRAM.format(more={"TRAINYARD_REDIRECT_QUIET": "1", **more})
    clean = {name: value for name, value in os.environ.items() if name not in UNSET}
    return subprocess.run(
        [sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_libcurl_is_aimed_and_python_is_not() -> None:
    """The service is asked for its bundle first, by a tunnel that is not used."""
    seen, beside = told()
    assert seen == "['ENDPOINT', '/nowhere/bundle.pem', 'anyone', '']"
    assert beside == "False [b'CONNECT www.googleapis.com:443 HTT']"


def test_credentials_are_the_callers_or_the_runs() -> None:
    """A token is shown; in a job the metadata server has better ones, so none is made up."""
    assert told(TRAINYARD_TOKEN="ty_x")[0] == "['ENDPOINT', '/nowhere/bundle.pem', 'ty_x', '']"
    assert told(GCE_METADATA_HOST="127.0.0.1:1/x")[0] == "['ENDPOINT', '/nowhere/bundle.pem', '', '']"


def test_grpc_is_left_alone() -> None:
    """gRPC, by which TensorFlow's replicas meet, obeys the small spelling only: it is changed where it would win."""
    assert told(https_proxy="http://proxy:3128")[0] == "['ENDPOINT', '/nowhere/bundle.pem', 'anyone', 'ENDPOINT']"


def test_an_allowed_host_is_left_alone() -> None:
    """Who lets a program call the real Cloud Storage lets TensorFlow call it, too."""
    assert told(TRAINYARD_REDIRECT_ALLOW="storage.googleapis.com") == ["['', '', '', '']", "False []"]


def test_a_child_forgets_what_was_meant_for_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its Python's libraries would take the service for a proxy; the user's proxy and trust are as they were."""
    monkeypatch.setenv("TRAINYARD_REDIRECT", "http://127.0.0.1:1/")
    for before, after in (("/etc/own.pem", "/etc/own.pem"), ("", None)):
        monkeypatch.setenv("TRAINYARD_REDIRECT_WAS", before)
        monkeypatch.setenv("CURL_CA_BUNDLE", "/ours.pem")
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("https_proxy", "http://proxy:3128")
        forget_proxy()
        assert os.environ.get("HTTPS_PROXY") is None
        assert os.environ.get("https_proxy") == "http://proxy:3128"
        assert os.environ.get("CURL_CA_BUNDLE") == after
