"""enableDashboardAccess: the page that a job's chief serves, seen through the service under a host name of its own."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dashboard_programs import KEY, PAGE, Visitor, found, serving, visit
from edge_server import BUSY_SECONDS, Answer, Api, Server, pool, pools, running
from nas_requests import nas
from shell_client import ASKS, UP, WAITS
from test_web_access import holder

from trainyard.core.frames import Frames, Opcode, frame
from trainyard.credentials import CredentialFile

HTML = "text/html,*/*;q=0.8"
MEGABYTE = 1 << 20


@pytest.fixture
def dashboard(api: Api) -> Iterator[Visitor]:
    """One that is up."""
    visitor = visit(api)
    yield visitor
    api.call("POST", f"{visitor.name}:cancel", {})


def said_by(api: Api, name: str, words: str) -> None:
    """Wait until the job's log has these words."""
    deadline = time.monotonic() + 60 + BUSY_SECONDS
    while not any(words in each["text"] for each in api.call("GET", f"/trainyard/v1/{name}/logs").json["entries"]):
        assert time.monotonic() < deadline, words
        time.sleep(0.05)


def test_its_address_is_among_web_access_uris(api: Api, server: Server) -> None:
    """Under the original's key while the chief is up, beside those of shells; the service log names it; then gone."""
    visitor = visit(api, serving(enableWebAccess=True))
    job = api.get(visitor.name).json
    number = visitor.name.rpartition("/")[2]
    assert sorted(job["webAccessUris"]) == ["workerpool0-0", KEY]
    assert job["webAccessUris"][KEY] == f"http://{number}.dashboards.localhost:{server.port}/"
    assert api.list().json["customJobs"][0]["webAccessUris"] == job["webAccessUris"]
    said_by(api, visitor.name, f"(AIP_DASHBOARD_PORT) is at http://{number}.dashboards.localhost:{server.port}/")
    api.call("POST", f"{visitor.name}:cancel", {})
    assert "webAccessUris" not in api.wait(visitor.name)
    over = visitor.asks("/", Accept=HTML)
    assert over.status == 410
    assert b"is JOB_STATE_CANCELLED, and its dashboard has ended with it" in over.body


def test_what_the_program_says_arrives(dashboard: Visitor) -> None:
    """Absolute paths, redirects, statuses, HEAD; its cookies stay at its own host."""
    page = dashboard.asks("/")
    assert (page.status, page.body) == (200, PAGE.encode())
    assert page.headers["set-cookie"] == "own=1; Path=/"
    assert dashboard.asks("/static/app.css").headers["content-type"] == "text/css"
    away = dashboard.asks("/away")
    assert (away.status, away.headers["location"]) == (302, "/static/app.css")
    assert dashboard.asks("/api/state?x=a%20b&y").json == {"x": "a%20b&y"}
    assert dashboard.asks("/nowhere").status == 404
    head = dashboard.asks("/static/app.css", "HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "26")


def test_what_the_program_hears(dashboard: Visitor) -> None:
    """The request as it came and whence, but nothing that is ours: cookie, tokens, keys, what is for one hop."""
    asked = dashboard.asks(
        "/headers",
        Authorization="Bearer ty_secret",
        Cookie="a=1; trainyard-dashboard=secret; b=2",
        X_Goog_Api_Key="tyk_secret",
        Connection="X-Hop",
        X_Hop="mine",
        X_Forwarded_For="10.0.0.1",
        Accept_Language="de",
    )
    heard = dict(asked.json)
    assert heard["host"] == dashboard.host
    assert heard["cookie"] == "a=1; b=2"
    assert heard["accept-language"] == "de"
    assert heard["x-forwarded-for"] == "10.0.0.1, 127.0.0.1"
    assert (heard["x-forwarded-proto"], heard["x-forwarded-host"]) == ("http", dashboard.host)
    assert not {"authorization", "x-goog-api-key", "x-hop"} & set(heard)
    assert "secret" not in asked.body.decode()
    assert dict(dashboard.asks("/headers", Authorization="Basic b3duOm93bg==").json)["authorization"] == (
        "Basic b3duOm93bg=="
    )


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_every_method_with_a_body(dashboard: Visitor, method: str) -> None:
    """Whole, whether its length is said or it comes in chunks."""
    body = os.urandom(100_000)
    wanted = {"size": len(body), "sha256": hashlib.sha256(body).hexdigest(), "method": method}
    assert dashboard.asks("/", method, body).json == wanted
    chunked = dashboard.asks("/", method, iter([body[:70_000], body[70_000:]]))
    assert chunked.json == wanted


def test_much_both_ways_takes_little_memory(dashboard: Visitor, server: Server) -> None:
    """An upload of 50 MB, and a download of a gigabyte that nobody reads: neither is held by the service."""
    before = server.memory_bytes()
    block = os.urandom(MEGABYTE)
    sent = dashboard.asks("/", "POST", iter([block] * 50), Content_Length=str(50 * MEGABYTE))
    assert sent.json["size"] == 50 * MEGABYTE
    assert sent.json["sha256"] == hashlib.sha256(block * 50).hexdigest()
    with dashboard.opens("/large", {}) as reader:
        assert reader.recv(4096)
        time.sleep(1.0)  # in which a service that does not wait for its reader takes up all of it
        assert server.memory_bytes() - before < 40 * MEGABYTE


def test_a_large_download_is_whole(dashboard: Visitor) -> None:
    """Every byte of it, as fast as it is read."""
    connection = dashboard.connect()
    connection.request("GET", "/large", headers={"Host": dashboard.host})
    answer, size = connection.getresponse(), 0
    while (piece := answer.read(MEGABYTE)) and size < 1 << 28:
        size += len(piece)
    assert size >= 1 << 28
    connection.close()


def test_a_stream_comes_as_it_is_made_and_ends_with_its_reader(api: Api, dashboard: Visitor) -> None:
    """The first event is there long before the last; a reader that leaves ends the program's work for it."""
    connection = dashboard.connect()
    connection.request("GET", "/events", headers={"Host": dashboard.host})
    answer = connection.getresponse()
    assert answer.read(9) == b"data: 0\n\n"
    connection.sock.close()
    answer.close()
    connection.close()
    said_by(api, dashboard.name, "the reader has left")


def test_an_answer_that_is_cut_is_seen_to_be_cut(dashboard: Visitor, server: Server) -> None:
    """Half is not taken for all; what is no HTTP is said to be none; the service's log has no traceback of either."""
    with pytest.raises(http.client.IncompleteRead):
        dashboard.asks("/cut")
    noise = dashboard.asks("/noise")
    assert noise.status == 502
    assert b"is no HTTP" in noise.body
    assert "Traceback" not in server.stderr()
    assert "without completing" not in server.stderr()


def test_a_web_socket(api: Api, dashboard: Visitor) -> None:
    """Passed on both ways, what came right behind its grant included; the program hears of its end."""
    headers = {**ASKS, "Origin": f"http://{dashboard.host}"}
    with dashboard.opens("/ws", headers) as connection:
        seen = b""
        while b"\r\n\r\n" not in seen:
            seen += connection.recv(4096)
        head, _, rest = seen.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        frames, messages = Frames(masked=False), []
        messages += list(frames.feed(rest))
        connection.sendall(frame(Opcode.BINARY, b"x" * 1000, b"abcd") + frame(Opcode.TEXT, b"hello", b"abcd"))
        while len(messages) < 3:
            messages += list(frames.feed(connection.recv(4096)))
        assert messages == [(Opcode.TEXT, b"early"), (Opcode.BINARY, b"x" * 1000), (Opcode.TEXT, b"hello")]
    said_by(api, dashboard.name, "the socket has ended")


@pytest.mark.parametrize(
    "host",
    ["{host}.", "a.{host}", "x{host}", ".{host}", "{host}, evil.example", "{host}\r\nHost: evil.example", "{host}:1:2"],
)
def test_hosts_that_are_nearly_one(dashboard: Visitor, host: str) -> None:
    """They lead to no dashboard, nor to the service: whoever has such a name may have it for the other's sake."""
    with socket.create_connection(("127.0.0.1", dashboard.port), timeout=60) as connection:
        asked = f"GET /trainyard/v1/health HTTP/1.1\r\nHost: {host.format(host=dashboard.host)}\r\n\r\n"
        connection.sendall(asked.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 404 ")


def test_upper_case_is_the_same_host(dashboard: Visitor) -> None:
    """As names are; the port that is said may be any, for proxies have their own."""
    for host in (dashboard.host.upper(), dashboard.host.partition(":")[0], f"{dashboard.host}0"):
        dashboard.host = host
        assert dashboard.asks("/").body == PAGE.encode()


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:{port}"},
        {"Origin": "http://1.dashboards.localhost:{port}"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ],
)
def test_pages_of_others_do_not_reach_it(dashboard: Visitor, headers: dict[str, str]) -> None:
    """Not of other sites, of the service, or of another dashboard; neither does its page reach the service."""
    told = {name: value.format(port=dashboard.port) for name, value in headers.items()}
    for more in ({}, ASKS):
        connection = dashboard.opens("/ws", {**told, **more})
        assert connection.recv(4096).startswith(b"HTTP/1.1 403 ")
        connection.close()
    own = {"Origin": f"http://{dashboard.host}"}
    assert dashboard.asks("/headers", "GET", None, **own).status == 200
    assert Api(dashboard.port).call("GET", "/trainyard/v1/health", headers=own).status == 403


def test_a_link_leads_to_it(dashboard: Visitor) -> None:
    """A person who follows one comes from another site, and is shown the page."""
    shown = dashboard.asks("/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document")
    assert shown.status == 200


def test_nobody_listens_yet(api: Api) -> None:
    """A sentence with the port's name, which comes again by itself until there is an answer."""
    name = api.made(running(*WAITS, job_spec={"enableDashboardAccess": True}))["name"]
    job = api.wait(name, UP)
    visitor = Visitor(name, job["webAccessUris"][KEY], api.port)
    page = visitor.asks("/", Accept=HTML)
    assert (page.status, page.headers["retry-after"]) == (502, "2")
    assert b'http-equiv="refresh"' in page.body
    assert b"(AIP_DASHBOARD_PORT) yet: nobody listens there." in page.body
    assert visitor.asks("/").headers["content-type"] == "text/plain; charset=utf-8"
    api.call("POST", f"{name}:cancel", {})


def test_where_there_is_none(api: Api) -> None:
    """No such job, one without dashboards, one that waits: each in a sentence, with a status of its own."""
    plain = api.made(running(*WAITS))["name"]
    api.wait(plain, UP)
    number = plain.rpartition("/")[2]
    below = f"dashboards.localhost:{api.port}"
    none = Visitor(plain, f"http://{number}.{below}/", api.port).asks("/")
    assert none.status == 404
    assert b"Set enableDashboardAccess" in none.body
    assert Visitor("", f"http://{int(number) + 1}.{below}/", api.port).asks("/").status == 404
    assert Visitor("", f"http://x.{below}/", api.port).asks("/").status == 404
    many = pool(containerSpec={"imageUri": "host", "command": list(WAITS)}, replicaCount=64)
    waiting = api.made(pools(pool(containerSpec={"imageUri": "host"}), many, enableDashboardAccess=True))["name"]
    later = Visitor(waiting, f"http://{waiting.rpartition('/')[2]}.{below}/", api.port).asks("/", Accept=HTML)
    assert later.status in (410, 503)  # it is never admitted, and fails when the controller has seen that
    for name in (plain, waiting):
        api.call("POST", f"{name}:cancel", {})


def test_the_job_may_choose_the_port(api: Api, server: Server) -> None:
    """In its environment: the program is told no other, and its key names it; what is no port is refused."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    body = serving()
    task = body["jobSpec"]["workerPoolSpecs"][0]["containerSpec"]
    task["env"] = [{"name": "AIP_DASHBOARD_PORT", "value": str(port)}]
    name = api.made(body)["name"]
    job = api.wait(name, UP)
    assert list(job["webAccessUris"]) == [f"workerpool0-0:{port}"]
    visitor = Visitor(name, job["webAccessUris"][f"workerpool0-0:{port}"], api.port)
    deadline = time.monotonic() + 60
    while visitor.asks("/").status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    api.call("POST", f"{name}:cancel", {})
    task["env"][0]["value"] = "$(PORT)"
    refused = api.create(body)
    assert refused.status == 400
    assert refused.violations[0]["field"] == "job_spec.worker_pool_specs[0].container_spec.env[0].value"


def test_the_services_own_port_is_no_dashboard(api: Api, server: Server) -> None:
    """A job that names it is answered once, not for ever."""
    body = running(*WAITS, job_spec={"enableDashboardAccess": True})
    task = body["jobSpec"]["workerPoolSpecs"][0]["containerSpec"]
    task["env"] = [{"name": "AIP_DASHBOARD_PORT", "value": str(server.port)}]
    name = api.made(body)["name"]
    job = api.wait(name, UP)
    visitor = Visitor(name, job["webAccessUris"][f"workerpool0-0:{server.port}"], api.port)
    assert visitor.asks("/").status == 508
    api.call("POST", f"{name}:cancel", {})


def test_it_outlives_the_service(tmp_path: Path) -> None:
    """A stop does not wait for streams; the next service finds the same port, and the page is there again."""
    with Server(tmp_path / "data", "--drain", "60") as first:
        api = Api(first.port)
        visitor = visit(api)
        with visitor.opens("/events", {}) as reader:
            assert reader.recv(4096)
            began = time.monotonic()
            assert first.stop() == 0
            assert time.monotonic() - began < 20 + BUSY_SECONDS
        api.close()
    with Server(tmp_path / "data") as second:
        api = Api(second.port)
        again = found(api, visitor.name)
        assert again.asks("/").body == PAGE.encode()
        api.call("POST", f"{visitor.name}:cancel", {})
        api.wait(visitor.name)
        api.close()


def test_two_jobs_have_two_ports(api: Api) -> None:
    """Each is seen under its own name, at the same time."""
    visitors = [visit(api, serving(script=f"script {number}")) for number in range(2)]
    for number, visitor in enumerate(visitors):
        assert visitor.asks("/static/app.js").body == f"script {number}".encode()
        api.call("POST", f"{visitor.name}:cancel", {})


def ended(api: Api, name: str, headers: dict[str, str] | None = None) -> None:
    """Cancelled, and over: a service that stops meanwhile would leave it to the next one."""
    api.call("POST", f"{name}:cancel", {}, headers)
    deadline = time.monotonic() + 60 + BUSY_SECONDS
    while api.call("GET", name, headers=headers).json["state"] != "JOB_STATE_CANCELLED":
        assert time.monotonic() < deadline
        time.sleep(0.02)


def signed_in(server: Server, visitor: Visitor, token: str, after: str = "/") -> dict[str, str]:
    """The cookie of who has said who they are, as a browser comes by it."""
    sent = visitor.asks(after, Accept=HTML)
    assert sent.status == 303
    host, _, rest = sent.headers["location"].removeprefix("//").partition("/")
    assert host == f"sign-in.dashboards.localhost:{server.port}"
    desk = Visitor("", f"http://{host}/", server.port)
    page = desk.asks(f"/{rest}", Accept=HTML)
    assert page.status == 200
    assert b"who you are" in page.body
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    given = desk.asks(f"/{rest}", "POST", Authorization=f"Bearer {token}")
    assert given.status == 200, given.body
    place, _, way = given.json["address"].removeprefix("//").partition("/")
    assert place == visitor.host
    entered = visitor.asks(f"/{way}&next={after}")
    assert (entered.status, entered.headers["location"]) == (303, after)
    cookie = entered.headers["set-cookie"]
    assert "HttpOnly; SameSite=Lax" in cookie
    assert "Domain" not in cookie
    assert "set-cookie" not in visitor.asks(f"/{way}&next={after}").headers, "a ticket is good for once"
    return {"Cookie": cookie.partition(";")[0]}


def test_dashboards_and_credentials(tmp_path: Path) -> None:
    """Without one a page that asks; a viewer may not; a user's cookie is good for this job until it is revoked."""
    with Server(tmp_path / "data", "--auth") as server:
        uma, vic = holder(server.data_dir, "uma"), holder(server.data_dir, "vic", "viewer")
        token = uma["authorization"].removeprefix("Bearer ")
        api = Api(server.port)
        visitor, other = visit(api, serving(), uma), visit(api, serving(), uma)
        refused = visitor.asks("/")
        assert (refused.status, refused.headers["www-authenticate"]) == (401, 'Bearer realm="trainyard"')
        assert visitor.asks("/", Authorization="Bearer ty_wrong").status == 401
        assert visitor.asks("/", Authorization=vic["authorization"]).status == 403
        by_header = visitor.asks("/headers", Authorization=uma["authorization"])
        assert by_header.status == 200
        assert b"uthorization" not in by_header.body
        cookie = signed_in(server, visitor, token, "/headers")
        seen = visitor.asks("/headers", **cookie, Accept=HTML)
        assert seen.status == 200
        assert b"ookie" not in seen.body
        assert other.asks("/", **cookie).status == 401
        tossed = f"trainyard-dashboard=theirs; {cookie['Cookie']}; __Host-{cookie['Cookie']}"
        assert visitor.asks("/headers", Cookie=tossed).status == 200, "a neighbour's page may set it for us, too"
        assert visitor.asks("/headers", Cookie=f"__Host-{cookie['Cookie']}").status == 401
        waiting = visitor.connect()
        waiting.request("POST", "/", iter(()), {"Host": visitor.host, **cookie, "Content-Length": "5"})
        with visitor.opens("/events", cookie) as reader:
            assert reader.recv(4096)
            CredentialFile(server.data_dir).revoke("uma")
            while reader.recv(4096):
                pass
        assert waiting.getresponse().status == 401, "the program has said nothing, so that we can"
        waiting.close()
        assert visitor.asks("/", **cookie).status == 401
        log = [json.loads(line) for line in (server.data_dir / "audit.log").read_text().splitlines()]
        told = [(each["who"], each["result"]) for each in log if each["what"] == "customJobs.dashboard"]
        assert ("vic", "PERMISSION_DENIED") in told
        assert told.count(("uma", "OK")) == 2
        assert token not in json.dumps(log)
        owner = holder(server.data_dir, "owner2", "admin")
        for each in (visitor, other):
            ended(api, each.name, owner)


def test_a_ticket_leads_nowhere_else(tmp_path: Path) -> None:
    """An address of another site that is named as the next one is not gone to."""
    with Server(tmp_path / "data", "--auth") as server:
        uma = holder(server.data_dir, "uma")
        visitor = visit(Api(server.port), serving(), uma)
        for place in ("//evil.example/", "https://evil.example/", "/%5Cevil.example", "/a%0D%0AX-Y:%20z"):
            entered = visitor.asks(f"/.trainyard/enter?ticket=none&next={place}")
            assert (entered.status, entered.headers["location"]) == (303, "/")
            assert "set-cookie" not in entered.headers
        ended(Api(server.port), visitor.name, uma)


def test_a_trials_dashboard(api: Api, server: Server) -> None:
    """The trial's service log names its address, and who may look at the search may look at it."""
    body = nas("sleep 600", trials=1, at_once=1)
    spec = body["nasJobSpec"]["multiTrialAlgorithmSpec"]["searchTrialSpec"]["searchTrialJobSpec"]
    spec.update(serving()["jobSpec"])
    name = api.call("POST", f"{api.parent}/nasJobs", body).json["name"]
    deadline = time.monotonic() + 60 + BUSY_SECONDS
    told: list[str] = []
    while not told:
        assert time.monotonic() < deadline
        answer = api.call("GET", f"/trainyard/v1/{name}/nasTrialDetails/1/logs")
        lines = answer.json["entries"] if answer.status == 200 else []
        told = [each["text"] for each in lines if "(AIP_DASHBOARD_PORT) is at" in each["text"]]
    visitor = Visitor(name, told[0].rpartition(" ")[2], server.port)
    while visitor.asks("/").status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    api.call("POST", f"{name}:cancel", {})


def test_a_new_attempt_has_its_page_again(api: Api) -> None:
    """The chief crashes and is started again, on a port of its own; its page is under the same address."""
    visitor = visit(api)
    crashed = visitor.asks("/crash")
    assert crashed.status == 502
    assert b"hung up without an answer" in crashed.body
    deadline, seen = time.monotonic() + 60 + BUSY_SECONDS, set()
    while (answer := visitor.asks("/")).status != 200:
        seen.add(answer.status)
        assert time.monotonic() < deadline, answer.body
        time.sleep(0.02)
    assert seen <= {502, 503}
    history = api.call("GET", f"/trainyard/v1/{visitor.name}:explain").json["history"]
    assert history[-1]["attempt"] == 2
    api.call("POST", f"{visitor.name}:cancel", {})


def test_over_tls(tmp_path: Path) -> None:
    """The service's own certificate has every dashboard's name; the cookie is one that nobody else can have set."""
    with Server(tmp_path / "data", "--tls", "--auth") as server:
        uma = holder(server.data_dir, "uma")
        context = ssl.create_default_context(cafile=str(server.data_dir / "tls" / "ca.pem"))

        def ask(host: str, method: str, path: str, body: Any = None, **headers: str) -> Answer:
            connection = http.client.HTTPSConnection(host, server.port, context=context, timeout=60)
            plain = socket.create_connection(("127.0.0.1", server.port), timeout=60)
            connection.sock = context.wrap_socket(plain, server_hostname=host)
            connection.request(method, path, body, {"Host": f"{host}:{server.port}", **headers})
            got = connection.getresponse()
            answer = Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())
            connection.close()
            return answer

        jobs = "/v1/projects/p1/locations/us-central1/customJobs"
        made = ask("localhost", "POST", jobs, json.dumps(serving()), Authorization=uma["authorization"])
        number = made.json["name"].rpartition("/")[2]
        host = f"{number}.dashboards.localhost"
        deadline = time.monotonic() + 60 + BUSY_SECONDS
        while ask(host, "GET", "/", Authorization=uma["authorization"]).status != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        shown = ask("localhost", "GET", f"{jobs}/{number}", Authorization=uma["authorization"]).json
        assert shown["webAccessUris"][KEY] == f"https://{host}:{server.port}/"
        given = ask("sign-in.dashboards.localhost", "POST", f"/{number}", Authorization=uma["authorization"])
        entered = ask(host, "GET", "/" + given.json["address"].split("/", 3)[3])
        cookie = entered.headers["set-cookie"]
        assert cookie.startswith("__Host-trainyard-dashboard=")
        assert "; Secure" in cookie
        heard = ask(host, "GET", "/headers", Cookie=cookie.partition(";")[0])
        assert dict(heard.json)["x-forwarded-proto"] == "https"
        assert "cookie" not in dict(heard.json)
        ask("localhost", "POST", f"{jobs}/{number}:cancel", "{}", Authorization=uma["authorization"])
        while "CANCELLED" not in str(
            ask("localhost", "GET", f"{jobs}/{number}", Authorization=uma["authorization"]).json
        ):
            assert time.monotonic() < deadline + 60
            time.sleep(0.05)


def test_under_a_name_of_ones_own(tmp_path: Path) -> None:
    """--dashboards-at: what a proxy in front sends with that Host; the page is still not the service's own."""
    flags = ("--dashboards-at", "https://dash.example.com", "--tls-names", "*.dash.example.com")
    with Server(tmp_path / "data", *flags) as server:
        api = Api(server.port)
        visitor = visit(api)
        assert visitor.uri == f"https://{visitor.name.rpartition('/')[2]}.dash.example.com/"
        assert visitor.asks("/", Origin=visitor.uri.rstrip("/")).body == PAGE.encode()
        own = {"Origin": visitor.uri.rstrip("/")}
        assert api.call("GET", "/trainyard/v1/health", headers=own).status == 403
        usual = Visitor("", f"http://{visitor.name.rpartition('/')[2]}.dashboards.localhost/", server.port)
        assert usual.asks("/", User_Agent="Mozilla/5.0").status == 403
        ended(api, visitor.name)
