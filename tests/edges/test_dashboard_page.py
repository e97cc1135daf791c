"""A dashboard in a real browser, where there is one: absolute paths, its own scripts, a WebSocket, and signing in."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser
from dashboard_programs import KEY, serving, visit
from edge_server import Api, Server, running
from shell_client import UP
from test_dashboards import ended
from test_shell_page import in_a_browser
from test_web_access import holder

SEEN = "document.getElementById('said')?.textContent === 'state 1, socket early, socket hello'"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """With nothing open."""
    with Browser(tmp_path / "browser") as opened:
        yield opened


@in_a_browser
def test_a_page_works_as_it_is(api: Api, browser: Browser, tmp_path: Path) -> None:
    """Its style, script, calls and socket are all found by absolute paths, under a name that needs no setting."""
    visitor = visit(api)
    browser.goes(visitor.uri)
    browser.sees(SEEN)
    assert browser.says("getComputedStyle(document.querySelector('h1')).color") == "rgb(1, 2, 3)"
    assert browser.says("document.cookie") == "own=1"
    picture = base64.b64decode(browser.asks("Page.captureScreenshot", format="png")["data"])
    (tmp_path / "dashboard.png").write_bytes(picture)
    assert picture.startswith(b"\x89PNG")
    api.call("POST", f"{visitor.name}:cancel", {})


@in_a_browser
def test_its_page_reaches_nothing_else(api: Api, browser: Browser, server: Server) -> None:
    """Neither the service, by whatever name, nor another dashboard, nor that one's socket."""
    visitor, other = visit(api), visit(api)
    browser.goes(visitor.uri)
    browser.sees(SEEN)
    places = [f"http://{host}:{server.port}/trainyard/v1/health" for host in ("127.0.0.1", "localhost")]
    for place in (*places, other.uri):
        asked = f"fetch({json.dumps(place)}).then(answer => 'read', () => 'refused')"
        assert browser.says(asked) == "refused", place
    for place in (other.uri, f"http://127.0.0.1:{server.port}/"):
        opens = f"""new Promise(done => {{
            const socket = new WebSocket({json.dumps(place.replace("http", "ws", 1) + "ws")});
            socket.onopen = () => done("open"); socket.onerror = () => done("refused");
        }})"""
        assert browser.says(opens) == "refused", place
    created = f"""fetch("http://127.0.0.1:{server.port}/v1/{api.parent}/customJobs",
        {{method: "POST", mode: "no-cors", body: '{{"displayName": "evil"}}'}}).then(() => "sent", () => "refused")"""
    browser.says(created)
    assert "evil" not in str(api.list().json)
    for each in (visitor, other):
        api.call("POST", f"{each.name}:cancel", {})


@in_a_browser
def test_it_comes_by_itself(api: Api, browser: Browser, tmp_path: Path) -> None:
    """Opened before anybody listens, it says so, and becomes the page."""
    body = serving()
    container = body["jobSpec"]["workerPoolSpecs"][0]["containerSpec"]
    gate = tmp_path / "gate"
    wait = 'while [ ! -e "$0" ]; do sleep 0.1; done; exec "$@"'
    container["command"] = ["sh", "-c", wait, str(gate), *container["command"]]
    name = api.made(body)["name"]
    browser.goes(api.wait(name, UP)["webAccessUris"][KEY])
    browser.sees("document.body.innerText.includes('nobody listens there')")
    gate.touch()
    browser.sees(SEEN)
    api.call("POST", f"{name}:cancel", {})
    api.wait(name)
    browser.asks("Page.reload")
    browser.sees("document.body.innerText.includes('is JOB_STATE_CANCELLED, and its dashboard has ended')")


@in_a_browser
def test_signing_in(tmp_path: Path, browser: Browser) -> None:
    """Under --auth: asked on another host, told what is wrong, let in with a token, and back where one wanted to go."""
    with Server(tmp_path / "data", "--auth") as server:
        uma = holder(server.data_dir, "uma")
        api = Api(server.port)
        visitor = visit(api, serving(), uma)
        browser.goes(f"{visitor.uri}?page=2")
        browser.sees("location.hostname === 'sign-in.dashboards.localhost' && document.activeElement.id === 'token'")
        browser.types("ty_wrong")
        said = "document.getElementById('said').textContent"
        browser.sees(f"{said} === 'That token is not, or no longer, one.'")
        browser.types(uma["authorization"].removeprefix("Bearer "))
        browser.sees(SEEN)
        assert browser.says("location.href") == f"{visitor.uri}?page=2"
        assert browser.says("document.cookie") == "own=1"
        heard = browser.says("fetch('/headers').then(answer => answer.text())")
        assert "trainyard-dashboard" not in heard
        ended(api, visitor.name, uma)


def test_a_real_page_of_bytes(api: Api, tmp_path: Path) -> None:
    """Python's own file server as a dashboard, which speaks HTTP/1.0."""
    (tmp_path / "page.html").write_text("<p>a page</p>")
    script = 'exec python3 -m http.server --bind 127.0.0.1 --directory "$0" "$AIP_DASHBOARD_PORT"'
    body = running("sh", "-c", script, str(tmp_path), job_spec={"enableDashboardAccess": True})
    visitor = visit(api, body)
    deadline = time.monotonic() + 60
    while (page := visitor.asks("/page.html")).status != 200:
        assert time.monotonic() < deadline, page.body
        time.sleep(0.05)
    assert page.body == b"<p>a page</p>"
    assert "page.html" in visitor.asks("/").body.decode()
    large = os.urandom(3 << 20)
    (tmp_path / "large").write_bytes(large)
    assert visitor.asks("/large").body == large
    api.call("POST", f"{visitor.name}:cancel", {})
