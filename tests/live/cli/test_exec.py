"""`trainyard exec` becomes the program: what it adds, what it leaves alone, what it refuses."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trainyard.local_ending import end_all
from trainyard.local_service import LocalService

TRAINYARD = str(Path(sys.executable).with_name("trainyard"))
VERTEX = "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1/customJobs"
Exec = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    """A service to redirect to."""
    with LocalService(tmp_path_factory.mktemp("exec")) as service:
        yield service


@pytest.fixture
def execute(running: LocalService) -> Exec:
    """Run a program under exec to its end."""

    def run(*command: str, options: tuple[str, ...] = (), **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [TRAINYARD, "exec", "--endpoint", running.endpoint, *options, "--", *command],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": "", **more},
        )

    return run


def python(execute: Exec, code: str, **more: str) -> subprocess.CompletedProcess[str]:
    return execute(sys.executable, "-c", code, **more)


def test_the_exit_code_is_the_programs(execute: Exec) -> None:
    """Whatever it is, and a shell's own for what can't be run."""
    assert execute("sh", "-c", "exit 7").returncode == 7
    assert execute("sh", "-c", "kill -KILL $$").returncode == -signal.SIGKILL
    missing = execute("no-such-program")
    assert (missing.returncode, missing.stderr) == (127, "trainyard: there is no program 'no-such-program'\n")
    refused = execute("/etc/passwd")
    assert (refused.returncode, refused.stderr) == (126, "trainyard: '/etc/passwd' can't be run: Permission denied\n")


def test_without_a_program_it_says_how(running: LocalService) -> None:
    """Exit code 2 and an example."""
    ended = subprocess.run(
        [TRAINYARD, "exec", "--endpoint", running.endpoint], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "trainyard exec -- python train.py" in ended.stderr


def test_signals_and_arguments_reach_the_program(running: LocalService) -> None:
    """It has become the program: the same process, the arguments as they were, no process of ours between."""
    code = "import os, sys, time; print(os.getpid(), sys.argv[1:], flush=True); time.sleep(60)"
    command = [TRAINYARD, "exec", "--endpoint", running.endpoint, "--", sys.executable, "-c", code, "--endpoint", "a b"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == f"{process.pid} ['--endpoint', 'a b']\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == -signal.SIGTERM
    process.stdout.close()


def test_children_are_redirected_too(execute: Exec) -> None:
    """A Python that the program's shell starts talks to us, and is told so on stderr."""
    code = f"import urllib.request; print(urllib.request.urlopen('{VERTEX}').read())"
    ended = execute("sh", "-c", f'"{sys.executable}" -c "$0"', code)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("b'{")
    assert "trainyard: us-central1-aiplatform.googleapis.com is http://127.0.0.1:" in ended.stderr


def test_quiet_says_nothing(execute: Exec) -> None:
    """--quiet leaves stderr to the program."""
    code = f"import urllib.request; urllib.request.urlopen('{VERTEX}')"
    assert execute(sys.executable, "-c", code, options=("--quiet",)).stderr == ""


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.create_connection(('bigquery.googleapis.com', 443))",
        "import socket; socket.socket().connect(('bigquery.googleapis.com', 443))",
        "import socket; socket.socket().connect_ex(('bigquery.googleapis.com', 443))",
        "import socket; socket.getaddrinfo(b'bigquery.googleapis.com', 443)",
        "import urllib.request; urllib.request.urlopen('https://bigquery.googleapis.com/x')",
        "import http.client; http.client.HTTPSConnection('bigquery.googleapis.com').request('GET', '/')",
        "import asyncio; asyncio.run(asyncio.open_connection('bigquery.googleapis.com', 443))",
        "import grpc; grpc.insecure_channel('bigquery.googleapis.com:443')",
        "import grpc; grpc.secure_channel('bigquery.googleapis.com', grpc.ssl_channel_credentials())",
        "import grpc; grpc.aio.insecure_channel('bigquery.googleapis.com:443')",
        "import grpc; grpc.aio.secure_channel('bigquery.googleapis.com', grpc.ssl_channel_credentials())",
    ],
)
def test_no_road_leads_to_the_real_cloud(execute: Exec, code: str) -> None:
    """By name resolution, socket, HTTP or channel: another Google host is refused before anything is sent."""
    ended = python(execute, code)
    assert ended.returncode == 1
    assert "RealCloudRefused: bigquery.googleapis.com was not called" in ended.stderr


def test_a_vertex_host_by_a_bare_socket_is_refused(execute: Exec) -> None:
    """What can't be redirected is stopped, with the reason."""
    ended = python(execute, "import socket; socket.create_connection(('aiplatform.googleapis.com', 443))")
    assert "in a way that Trainyard can't turn towards itself" in ended.stderr


def test_an_allowed_host_is_looked_up(execute: Exec) -> None:
    """--allow-host lets the program through; whether the host can be reached is then its own affair."""
    code = """
import socket
try:
    socket.create_connection(("x.invalid.googleapis.com", 443), 2)
except PermissionError as refused:
    raise
except OSError:
    pass
print("asked")
"""
    ended = execute(sys.executable, "-c", code, options=("--allow-host", "*.invalid.googleapis.com"))
    assert (ended.stdout, ended.returncode) == ("asked\n", 0), ended.stderr


def test_everything_else_is_left_alone(execute: Exec) -> None:
    """A program's own connections, to whatever is no host of Google's, are as they were."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        code = f"import socket; socket.create_connection(('localhost', {port})); print('ok')"
        assert python(execute, code).stdout == "ok\n"


def test_another_sitecustomize_still_runs(execute: Exec, tmp_path: Path) -> None:
    """Ours stands first on PYTHONPATH and then runs the one that it hides; an error in that one is as ever."""
    (tmp_path / "sitecustomize.py").write_text("import builtins; builtins.seen = __file__")
    ended = python(execute, "import sitecustomize; print(seen == sitecustomize.__file__)", PYTHONPATH=str(tmp_path))
    assert ended.stdout == "True\n", ended.stderr
    (tmp_path / "sitecustomize.py").write_text("raise ValueError('theirs')")
    ended = python(execute, "print('on')", PYTHONPATH=str(tmp_path))
    assert (ended.stdout, ended.returncode) == ("on\n", 0)
    assert "theirs" in ended.stderr


def test_a_library_of_another_make_is_refused(execute: Exec, tmp_path: Path) -> None:
    """A library that we can't patch is not let loose on the real cloud: its import fails, saying why."""
    (tmp_path / "httplib2.py").write_text("__version__ = '99'")
    ended = python(execute, "import httplib2", PYTHONPATH=str(tmp_path))
    assert ended.returncode == 1
    assert "ImportError: trainyard exec can't redirect httplib2 99" in ended.stderr


def test_libraries_in_an_archive_are_redirected(execute: Exec, tmp_path: Path) -> None:
    """A zip's modules share one loader; only the library that we know is patched."""
    with zipfile.ZipFile(tmp_path / "libraries.zip", "w") as archive:
        archive.writestr("httplib2.py", "class Http:\n    def request(self, uri, *more, **named): return uri")
        archive.writestr("other.py", "class Http:\n    def request(self, uri): return uri")
    code = (
        "import httplib2, other; uri = 'https://aiplatform.googleapis.com/v1/x'; "
        "print(httplib2.Http().request(uri), other.Http().request(uri))"
    )
    ended = python(execute, code, PYTHONPATH=str(tmp_path / "libraries.zip"))
    assert re.fullmatch(r"http://127.0.0.1:\d+/v1/x https://aiplatform.googleapis.com/v1/x\n", ended.stdout), (
        ended.stderr
    )


def test_a_program_without_networking_pays_nothing(execute: Exec) -> None:
    """Nothing of ours but the hook is loaded before a networking library is."""
    ended = python(
        execute, "import sys; print(sorted(m for m in sys.modules if 'trainyard' in m), 'socket' in sys.modules)"
    )
    assert ended.stdout == "['trainyard_redirect', 'trainyard_redirect.imports'] False\n"


def test_our_package_is_not_lent_out(execute: Exec, tmp_path: Path) -> None:
    """The program's Python sees nothing of ours on its path but the one folder with the one file."""
    ended = python(execute, "import os, sys; print([os.listdir(p) for p in sys.path if 'redirect' in p])")
    assert re.fullmatch(r"\[\[('__pycache__', )?'sitecustomize.py'(, '__pycache__')?\]\]\n", ended.stdout), ended.stdout


def test_a_service_is_started_where_none_runs(tmp_path: Path) -> None:
    """Once, in the background, and not as a child of the program, which may wait for all of its children."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    code = "import os\ntry: os.wait()\nexcept ChildProcessError: print('no children')"
    environment = {**os.environ, "TRAINYARD_DATA_DIR": str(tmp_path / "data")}
    command = [TRAINYARD, "exec", "--endpoint", f"http://127.0.0.1:{port}", "--", sys.executable, "-c", code]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    started = re.search(r"started a service in the background: process (\d+)", ended.stderr)
    assert started, ended.stderr
    try:
        assert ended.stdout == "no children\n"
        again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert "started a service" not in again.stderr
    finally:
        os.kill(int(started[1]), signal.SIGTERM)
        deadline = time.monotonic() + 30
        while Path(f"/proc/{started[1]}").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        end_all(tmp_path / "data" / "runs")


def test_a_service_elsewhere_is_not_ours_to_start(tmp_path: Path) -> None:
    """Exit code 3 and a sentence where the endpoint is not this machine's."""
    command = [TRAINYARD, "exec", "--endpoint", "http://127.0.0.1:1/prefix", "--", "true"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 3
    assert "no service answers at http://127.0.0.1:1/prefix" in ended.stderr
