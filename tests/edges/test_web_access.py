"""Conformance case 78: shells beside a job's programs, for who may, from whom they come, and to the job's end."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from edge_server import BUSY_SECONDS, Api, Server, pool, pools, running
from grpc_calls import Grpc
from shell_client import ASKS, UP, WAITS, ShellClient, path_of, with_shells

from trainyard.core.frames import Opcode
from trainyard.credentials import Credential, CredentialFile, Form, new_secret


def left_of(job: str) -> list[str]:
    """The processes that carry the mark of a job's replicas."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if f"TRAINYARD_RUN={job}-".encode() in (entry / "environ").read_bytes():
                found.append(entry.name)
        except OSError:
            continue
    return found


def test_case_78_uris_of_shells(api: Api, server: Server) -> None:
    """A key for each replica that is up, in get, list and over v1beta1; gone with the replica, and with the job."""
    shortly = {"imageUri": "host", "command": ["sh", "-c", "while [ ! -e stop ]; do sleep 0.05; done"]}
    body = pools(
        pool(containerSpec={"imageUri": "host", "command": list(WAITS)}),
        pool(containerSpec=shortly, replicaCount=2),
    )
    job = with_shells(api, body)
    name, uris = job["name"], job["webAccessUris"]
    assert sorted(uris) == ["workerpool0-0", "workerpool1-0", "workerpool1-1"]
    assert uris["workerpool1-1"] == f"http://127.0.0.1:{server.port}/trainyard/v1/{name}/shells/workerpool1-1"
    assert api.list().json["customJobs"][0]["webAccessUris"] == uris
    assert api.call("GET", name, version="v1beta1").json["webAccessUris"] == uris
    with ShellClient(server.port, path_of(uris["workerpool1-0"])) as person:
        person.types("touch stop\r")
        assert person.ends() == 137
    deadline = time.monotonic() + 60
    while len(api.get(name).json["webAccessUris"]) > 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    gone = api.call("GET", path_of(uris["workerpool1-0"]), headers=ASKS)
    assert gone.status == 400
    assert "workerpool1-0" in gone.error["message"]
    assert "has ended" in gone.error["message"]
    api.call("POST", f"{name}:cancel", {})
    assert "webAccessUris" not in api.wait(name)
    refused = api.call("GET", path_of(uris["workerpool0-0"]), headers=ASKS)
    assert (refused.status, refused.error["status"]) == (400, "FAILED_PRECONDITION")
    assert "is JOB_STATE_CANCELLED; shells can be opened while it is JOB_STATE_RUNNING" in refused.error["message"]


def test_case_78_a_shell(api: Api, server: Server) -> None:
    """In the replica's world, on a terminal of the person's size; a cancel ends it with 137, and nothing is left."""
    job = with_shells(api, running(*WAITS))
    path = path_of(job["webAccessUris"]["workerpool0-0"])
    with ShellClient(server.port, f"{path}?rows=31&columns=101&term=vt220") as person:
        spec = json.loads(person.says('echo "$CLUSTER_SPEC"').replace("\r\n", ""))
        assert spec["task"] == {"type": "workerpool0", "index": 0}
        assert person.says("pwd").endswith("workerpool0-0.0")
        assert person.says("tty").startswith("/dev/pts/")
        assert person.says("stty size; echo $TERM") == "31 101\r\nvt220"
        person.resizes(50, 132)
        assert person.says("stty size") == "50 132"
        person.sends(Opcode.TEXT, b'{"rows": 0}')
        person.sends(Opcode.TEXT, b"\xff")
        person.sends(Opcode.PING, b"here?")
        assert person.says("stty size") == "50 132"
        began = time.monotonic()
        api.call("POST", f"{job['name']}:cancel", {})
        assert person.ends() == 137
        assert person.closed == b"\x03\xe8"
    assert api.wait(job["name"])["state"] == "JOB_STATE_CANCELLED"
    assert time.monotonic() - began < 20, "the shell, deaf to SIGTERM, held up the cancel"
    assert left_of(job["name"].rpartition("/")[2]) == []


def test_a_shells_exit_code_and_much_output(api: Api, server: Server) -> None:
    """Every byte comes, in order, before the exit code; what is pasted at once arrives whole."""
    job = with_shells(api, running(*WAITS))
    path = path_of(job["webAccessUris"]["workerpool0-0"])
    with ShellClient(server.port, path) as person:
        person.says("stty -echo")
        person.types("seq 1 200000; echo 'en''d'; cat >pasted; cksum <pasted; exit 7\r")
        assert person.reads("end\r\n").split("\r\n")[-200001:-1] == [str(number) for number in range(1, 200001)]
        person.types("".join(f"line {number}\r" for number in range(2000)) + "\x04")
        assert person.ends() == 7
        text = "".join(f"line {number}\n" for number in range(2000))
        assert f" {len(text)}" in person.seen
    api.call("POST", f"{job['name']}:cancel", {})


def test_a_reader_that_stops_is_waited_for(api: Api, server: Server) -> None:
    """What is printed for ever stays in the replica: the service's memory does not grow, and Ctrl-C is heard."""
    job = with_shells(api, running(*WAITS))
    with ShellClient(server.port, path_of(job["webAccessUris"]["workerpool0-0"])) as person:
        person.says("true")
        before = server.memory_bytes()
        person.types("yes 'a line of some length, so that it takes little time to fill much'\r")
        time.sleep(2.0)  # in which nobody reads, and gigabytes are printed where nobody waits
        assert server.memory_bytes() - before < 30 << 20
        person.types("\x03")
        person.types("echo st''opped\r")
        person.reads("stopped")
    api.call("POST", f"{job['name']}:cancel", {})


def test_a_reader_may_ask_for_a_pause(api: Api, server: Server) -> None:
    """As the page does while it draws: what is printed waits where it is made, and then comes whole."""
    job = with_shells(api, running(*WAITS))
    path = path_of(job["webAccessUris"]["workerpool0-0"])
    with ShellClient(server.port, path) as person, ShellClient(server.port, path) as other:
        person.says("stty -echo")
        other.says("true")
        person.sends(Opcode.TEXT, b'{"paused": true}')
        person.types("touch begun; seq 1 200000; touch printed; echo 'en''d'\r")
        assert other.says("while [ ! -e begun ]; do sleep 0.05; done; sleep 1; ls printed begun 2>/dev/null") == "begun"
        person.sends(Opcode.TEXT, b'{"paused": false}')
        assert person.reads("end\r\n").split("\r\n")[-2] == "200000"
    api.call("POST", f"{job['name']}:cancel", {})


def test_a_large_paste_waits_until_it_is_read(api: Api, server: Server) -> None:
    """What is typed faster than it is read waits at the client's end, and arrives whole."""
    job = with_shells(api, running(*WAITS))
    with ShellClient(server.port, path_of(job["webAccessUris"]["workerpool0-0"])) as person:
        person.says("stty -echo")
        person.types("echo re''ady; sleep 1; cat >pasted; wc -c <pasted; exit\r")
        person.reads("ready")
        lines = [f"{number:>999}\n" for number in range(600)]
        for line in lines:
            person.types(line)
        person.types("\x04")
        assert person.ends() == 0
        assert str(sum(map(len, lines))) in person.seen
    api.call("POST", f"{job['name']}:cancel", {})


def test_a_lost_client_takes_its_shell_along(api: Api, server: Server) -> None:
    """Whoever hangs up leaves no shell behind; the job goes on."""
    job = with_shells(api, running(*WAITS))
    path = path_of(job["webAccessUris"]["workerpool0-0"])
    with ShellClient(server.port, path) as person:
        pid = person.says("echo $$")
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert api.get(job["name"]).json["state"] == "JOB_STATE_RUNNING"
    api.call("POST", f"{job['name']}:cancel", {})


def test_no_shell_without_web_access(api: Api) -> None:
    """The sentence says what to set; there are no URIs, and no words in the service log either."""
    name = api.made(running(*WAITS))["name"]
    assert "webAccessUris" not in api.wait(name, UP)
    answer = api.call("GET", f"/trainyard/v1/{name}/shells/workerpool0-0", headers=ASKS)
    assert (answer.status, answer.error["status"]) == (400, "FAILED_PRECONDITION")
    assert "Set enableWebAccess in its job spec" in answer.error["message"]
    api.call("POST", f"{name}:cancel", {})


@pytest.mark.parametrize(
    ("headers", "path", "status"),
    [
        ({"Origin": "http://evil.example"}, "/shells/workerpool0-0", 403),
        ({"Origin": "http://localhost:1"}, "/shells/workerpool0-0", 403),
        ({"Origin": "null"}, "/shells/workerpool0-0", 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "websocket"}, "/shells/workerpool0-0", 403),
        ({"User-Agent": "Mozilla/5.0", "Host": "rebound.example"}, "/shells/workerpool0-0", 403),
        ({"Sec-WebSocket-Version": "8"}, "/shells/workerpool0-0", 426),
        ({"Connection": "keep-alive"}, "/shells/workerpool0-0", 426),
        ({}, "/shells/workerpool0-7", 404),
        ({}, "/shells/workerpool0-0?rows=0", 400),
        ({}, "/shells/workerpool0-0?term=a%20b", 400),
        ({}, "/shells/workerpool0-0?size=3", 400),
    ],
)
def test_who_and_what_is_refused(api: Api, headers: dict[str, str], path: str, status: int) -> None:
    """A page of another site, a name of its own for us, what is no WebSocket, no such replica, no such terminal."""
    name = with_shells(api, running(*WAITS))["name"]
    answer = api.call("GET", f"/trainyard/v1/{name}{path}", headers={**ASKS, **headers})
    assert answer.status == status, answer.body
    assert api.call("GET", f"/trainyard/v1/{name}/shells/workerpool0-0").status == 200
    api.call("POST", f"{name}:cancel", {})


def test_the_address_says_how(api: Api) -> None:
    """Opened without a WebSocket it names the command."""
    job = with_shells(api, running(*WAITS))
    answer = api.call("GET", path_of(job["webAccessUris"]["workerpool0-0"]))
    number = job["name"].rpartition("/")[2]
    assert f"trainyard custom-jobs shell {number} workerpool0-0 --project ".encode() in answer.body
    api.call("POST", f"{job['name']}:cancel", {})


def test_a_stop_of_the_service_does_not_wait_for_shells(tmp_path: Path) -> None:
    """They are told that it goes away; the job runs on, and the next service opens shells in it."""
    with Server(tmp_path / "data", "--drain", "60") as first:
        api = Api(first.port)
        job = with_shells(api, running(*WAITS))
        path = path_of(job["webAccessUris"]["workerpool0-0"])
        with ShellClient(first.port, path) as person:
            person.says("true")
            began = time.monotonic()
            assert first.stop() == 0
            assert time.monotonic() - began < 8 + BUSY_SECONDS
            assert person.ends() == -1
            assert person.closed is not None
            assert person.closed.startswith(b"\x03\xe9")
        api.close()
    with Server(tmp_path / "data") as second:
        api = Api(second.port)
        again = api.get(job["name"]).json
        assert again["webAccessUris"]["workerpool0-0"].startswith(f"http://127.0.0.1:{second.port}/")
        with ShellClient(second.port, path) as person:
            assert person.says("echo on") == "on"
        api.call("POST", f"{job['name']}:cancel", {})
        api.wait(job["name"])
        api.close()


def test_case_78_over_grpc(api: Api, server: Server) -> None:
    """The same addresses in both versions."""
    job = with_shells(api, running(*WAITS))
    for version in ("v1", "v1beta1"):
        with Grpc(server.port, version) as rpc:
            request = rpc.message("GetCustomJobRequest", name=job["name"])
            shown = rpc.call("JobService/GetCustomJob", request, "CustomJob")
            assert dict(shown.web_access_uris) == job["webAccessUris"]
    api.call("POST", f"{job['name']}:cancel", {})


def test_shells_and_credentials(tmp_path: Path) -> None:
    """Without one 401, to a viewer 403 and every address; with a user's a shell, until it is revoked."""
    with Server(tmp_path / "data", "--auth") as server:
        uma, vic = holder(server.data_dir, "uma"), holder(server.data_dir, "vic", "viewer")
        api = Api(server.port)
        body = running(*WAITS, job_spec={"enableWebAccess": True})
        name = api.call("POST", f"{api.parent}/customJobs", body, uma).json["name"]
        deadline = time.monotonic() + BUSY_SECONDS
        while not (uris := api.call("GET", name, headers=vic).json.get("webAccessUris")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        path = path_of(uris["workerpool0-0"])
        assert api.call("GET", path, headers=ASKS).status == 401
        refused = api.call("GET", path, headers={**ASKS, **vic})
        assert (refused.status, refused.error["status"]) == (403, "PERMISSION_DENIED")
        token = uma["authorization"].removeprefix("Bearer ")
        with ShellClient(server.port, f"{path}?access_token={token}") as person:
            assert person.says("echo on") == "on"
        with ShellClient(server.port, path, uma) as person:
            pid = person.says("echo $$")
            CredentialFile(server.data_dir).revoke("uma")
            assert person.ends() == -1
            assert person.closed is not None
            assert b"revoked" in person.closed
            while Path(f"/proc/{pid}").exists():
                assert time.monotonic() < deadline + BUSY_SECONDS
                time.sleep(0.02)
        log = (server.data_dir / "audit.log").read_text()
        assert '"who":"vic","what":"customJobs.shell"' in log
        assert token not in log


def holder(data: Path, name: str, role: str = "user") -> dict[str, str]:
    """The header of somebody new."""
    secret, credential = new_secret(Credential(name, Form.TOKEN, role, (), time.time_ns() // 1000))
    CredentialFile(data).add(credential)
    return {"authorization": f"Bearer {secret}"}
