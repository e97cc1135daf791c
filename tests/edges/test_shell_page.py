"""The page at a replica's shell, in a real browser, where there is one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import PROGRAM, Browser
from edge_server import Api, Server, running
from shell_client import WAITS, path_of, with_shells
from test_web_access import holder

in_a_browser = pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed (apt-get install chromium)")
SHOWN = "document.querySelector('.xterm-rows')?.innerText.replaceAll('\\u00a0', ' ')"
SAID = "document.getElementById('said').textContent"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """With nothing open."""
    with Browser(tmp_path / "browser") as opened:
        yield opened


def sees_open(browser: Browser) -> None:
    """The terminal is there, and a prompt in it."""
    browser.sees(f"{SAID}.startsWith('Open;') && /[$#] *$/.test({SHOWN}.trim())")


@in_a_browser
def test_a_terminal_in_the_page(api: Api, browser: Browser) -> None:
    """What is typed and printed, the window's size, the end with its code, and why it cannot be opened again."""
    job = with_shells(api, running(*WAITS))
    uri = job["webAccessUris"]["workerpool0-0"]
    browser.goes(uri)
    sees_open(browser)
    assert browser.says("document.getElementById('replica').textContent") == "workerpool0-0"
    browser.types("echo pa''ge-$((6*7)) \u00e9")
    browser.sees(f"{SHOWN}.includes('page-42 \u00e9')")
    browser.types("clear; stty size | tr ' ' x")
    browser.sees(f"/\\d+x\\d+/.test({SHOWN})")
    before = re.search(r"(\d+)x(\d+)", browser.says(SHOWN))
    assert before
    browser.asks("Emulation.setDeviceMetricsOverride", width=500, height=300, deviceScaleFactor=1, mobile=False)
    browser.sees(f"(document.querySelectorAll('.xterm-rows > div').length || 99) < {before[1]}")
    browser.types("clear; stty size | tr ' ' x")
    browser.sees(f"/\\b1?\\dx\\d+/.test({SHOWN})")
    after = re.search(r"(\d+)x(\d+)", browser.says(SHOWN))
    assert after
    assert int(after[1]) < int(before[1])
    assert int(after[2]) < int(before[2])
    assert int(after[1]) == browser.says("document.querySelectorAll('.xterm-rows > div').length")
    browser.types("exit 3")
    browser.sees(f"{SAID} === 'The shell has ended with 3.'")
    browser.says("document.getElementById('again').click()")
    sees_open(browser)
    api.call("POST", f"{job['name']}:cancel", {})
    browser.sees(f"{SAID} === 'The shell has ended with 137.'")
    api.wait(job["name"])
    browser.says("document.getElementById('again').click()")
    browser.sees(f"{SAID}.includes('is JOB_STATE_CANCELLED')")


@in_a_browser
def test_much_output_in_the_page(api: Api, browser: Browser) -> None:
    """Millions of characters, drawn more slowly than they are printed, all come before what is printed next."""
    job = with_shells(api, running(*WAITS))
    browser.goes(job["webAccessUris"]["workerpool0-0"])
    sees_open(browser)
    browser.says(
        "window.pauses = 0; WebSocket.prototype.send = (sends => function(data) {"
        " window.pauses += data === '{\"paused\":true}'; return sends.call(this, data); }"
        ")(WebSocket.prototype.send);"
        "window.setTimeout = (waits => (work, ms, ...more) => waits(work, Math.max(ms || 0, 50), ...more)"
        ")(window.setTimeout)"  # so that drawing, which goes by it, is the slower one on any machine
    )
    browser.types("seq 1 1000000; echo pa''ge-$((6*7))")
    browser.sees(f"{SHOWN}.includes('page-42')")
    assert browser.says("window.pauses") > 0
    browser.sees(f"{SHOWN}.includes('1000000')")
    api.call("POST", f"{job['name']}:cancel", {})


@in_a_browser
def test_pages_of_others_get_no_shell(api: Api, browser: Browser, server: Server) -> None:
    """Neither a page without an origin nor one of another port of this machine opens the WebSocket; ours does."""
    job = with_shells(api, running(*WAITS))
    uri = job["webAccessUris"]["workerpool0-0"]
    opens = f"""new Promise(done => {{
        const socket = new WebSocket({json.dumps(uri.replace("http", "ws", 1))});
        socket.onopen = () => done("open"); socket.onerror = () => done("refused");
    }})"""
    assert browser.says(opens) == "refused"
    with Server(server.data_dir.parent / f"other-{job['name'].rpartition('/')[2]}") as other:
        browser.goes(f"http://127.0.0.1:{other.port}/trainyard/v1/health")
        browser.sees("location.pathname.endsWith('/health')")
        assert browser.says(opens) == "refused"
    browser.goes(f"http://127.0.0.1:{server.port}/trainyard/v1/health")
    browser.sees(f"location.port === '{server.port}'")
    assert browser.says(opens) == "open"
    api.call("POST", f"{job['name']}:cancel", {})


@in_a_browser
def test_a_page_asks_for_a_token(tmp_path: Path, browser: Browser) -> None:
    """Under --auth the page is shown to everybody, and opens a shell with a credential alone."""
    with Server(tmp_path / "data", "--auth") as server:
        uma = holder(server.data_dir, "uma")
        api = Api(server.port)
        body = running(*WAITS, job_spec={"enableWebAccess": True})
        name = api.call("POST", f"{api.parent}/customJobs", body, uma).json["name"]
        uri = f"http://127.0.0.1:{server.port}/trainyard/v1/{name}/shells/workerpool0-0"
        browser.until(lambda: "webAccessUris" in api.call("GET", name, headers=uma).json, "the job to run")
        browser.goes(uri)
        browser.sees(f"{SAID} === 'This service asks who you are.' && !document.getElementById('who').hidden")
        browser.types("ty_wrong")
        browser.sees(f"{SAID} === 'That token is not, or no longer, one.'")
        browser.types(uma["authorization"].removeprefix("Bearer "))
        sees_open(browser)
        api.call("POST", f"{name}:cancel", {}, uma)
        browser.sees(f"{SAID} === 'The shell has ended with 137.'")


def test_the_page_is_whole_and_ours_alone(api: Api) -> None:
    """All that it refers to is served, with its type; its policy lets nothing in from elsewhere; licences are there."""
    job = with_shells(api, running(*WAITS))
    path = path_of(job["webAccessUris"]["workerpool0-0"])
    page = api.call("GET", path, headers={"Accept": "text/html,*/*;q=0.8"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assets = set(re.findall(r'(?:href|src)="([^"]+)"', page.body.decode()))
    script = api.call("GET", "/docs/shell/shell.js").body.decode()
    assets |= set(re.findall(r'from "([^"]+)"', script))
    assert len(assets) == 5
    for asset in assets:
        answer = api.call("GET", asset)
        assert (answer.status, answer.headers["content-type"][:5]) == (200, "text/"), asset
    assert api.call("HEAD", path, headers={"Accept": "text/html"}).body == b""
    assert api.call("POST", path, {}, headers={"Accept": "text/html"}).status == 405
    api.call("POST", f"{job['name']}:cancel", {})
