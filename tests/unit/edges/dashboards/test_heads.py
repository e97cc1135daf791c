"""What of a head goes on to the other side."""

from __future__ import annotations

from typing import Any

import pytest

from trainyard.edges.dashboards import heads


def scope(*headers: tuple[str, str], method: str = "GET", path: str = "/", query: str = "", **more: Any) -> Any:
    """A request as ASGI has it."""
    told = [(name.encode(), value.encode()) for name, value in (("host", "7.d"), *headers)]
    return {
        "method": method,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": told,
        "client": ("10.0.0.2", 5),
        "scheme": "http",
        **more,
    }


def lines(asked: Any, **how: bool) -> list[str]:
    """What the program hears, line by line."""
    said = heads.request_head(asked, "7", **{"upgrades": False, "hides_authorization": False, **how})
    assert said.endswith(b"\r\n\r\n")
    return said.decode().split("\r\n")[:-2]


def test_a_plain_request() -> None:
    """The line as it came, its query too, and whence."""
    assert lines(scope(("accept", "*/*"), path="/a%20b", query="x=1&y")) == [
        "GET /a%20b?x=1&y HTTP/1.1",
        "host: 7.d",
        "accept: */*",
        "x-forwarded-for: 10.0.0.2",
        "via: 1.1 trainyard-7",
        "x-forwarded-proto: http",
        "x-forwarded-host: 7.d",
        "connection: close",
    ]


def test_what_is_for_one_hop_stays() -> None:
    """Connection and what it names; a body's chunks are told anew, its length is passed on."""
    hop = (("connection", "keep-alive, X-A"), ("x-a", "1"), ("te", "trailers"), ("keep-alive", "5"), ("expect", "100"))
    assert lines(scope(*hop)) == lines(scope())
    assert lines(scope(("transfer-encoding", "chunked")))[-1] == "transfer-encoding: chunked"
    assert "transfer-encoding: gzip, chunked" in lines(scope(("transfer-encoding", "gzip, chunked")))
    assert "content-length: 3" in lines(scope(("content-length", "3")))
    told = lines(scope(("connection", "Host, Content-Length"), ("content-length", "3")))
    assert {"host: 7.d", "content-length: 3"} <= set(told), "without them its body would be another request"
    assert lines(scope(("upgrade", "websocket")), upgrades=True)[-2:] == ["connection: Upgrade", "upgrade: websocket"]


def test_what_opened_the_way_stays() -> None:
    """Our cookie, under both names, our tokens and API keys; the program's own cookies and passwords pass."""
    for cookie in (heads.COOKIE, heads.SECURE_COOKIE):
        asked = scope(("cookie", f"a=1; {cookie}=s"), ("cookie", "b=2=3"))
        assert heads.cookies_of(asked, cookie) == ["s"]
        assert "cookie: a=1; b=2=3" in lines(asked)
        assert not [line for line in lines(scope(("cookie", f"{cookie}=s"))) if line.startswith("cookie")]
    two = scope(("cookie", f"{heads.COOKIE}=theirs; a=1; {heads.COOKIE}=s; {heads.SECURE_COOKIE}=t"))
    assert heads.cookies_of(two, heads.COOKIE) == ["theirs", "s"]
    assert heads.cookies_of(scope(), heads.COOKIE) == []
    for secret in ("Bearer ty_x", "bearer  tyt_x", "Bearer tyk_x"):
        assert lines(scope(("authorization", secret))) == lines(scope())
    assert "authorization: Basic eA==" in lines(scope(("authorization", "Basic eA==")))
    assert "authorization: Bearer eyJ" in lines(scope(("authorization", "Bearer eyJ")))
    assert lines(scope(("authorization", "Bearer eyJ")), hides_authorization=True) == lines(scope())
    assert lines(scope(("x-goog-api-key", "tyk_x"))) == lines(scope())


def test_behind_another_proxy() -> None:
    """What it says of the browser is kept and added to."""
    said = lines(scope(("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https"), ("via", "1.1 front")))
    assert "x-forwarded-for: 1.2.3.4, 10.0.0.2" in said
    assert "x-forwarded-proto: https" in said
    assert "via: 1.1 front, 1.1 trainyard-7" in said
    assert "x-forwarded-for: " in lines(scope(client=None))


def test_a_way_round_is_seen() -> None:
    """By the mark that each passing leaves; that of another job is none."""
    assert heads.loops(scope(("via", "1.1 trainyard-7")), "7")
    assert not heads.loops(scope(("via", "1.1 trainyard-8")), "7")


@pytest.mark.parametrize(
    ("cookie", "kept"),
    [
        (b"a=1", b"a=1"),
        (b"a=1; Path=/; Domain=d; Secure", b"a=1; Path=/; Secure"),
        (b"a=1;domain=.d", b"a=1"),
        (b"trainyard-dashboard=x; Path=/", b""),
        (b"__Host-trainyard-dashboard=x", b""),
    ],
)
def test_cookies_stay_at_home(cookie: bytes, kept: bytes) -> None:
    """A program sets none for its neighbours, and none in the place of ours."""
    wanted = [(b"set-cookie", kept)] if kept else []
    assert heads.answer_headers([(b"set-cookie", cookie)], 200, "GET") == wanted


def test_an_answers_head() -> None:
    """What is for one hop stays, and the length of a body that there is not."""
    given = [(b"connection", b"x-a"), (b"x-a", b"1"), (b"date", b"now"), (b"etag", b"e"), (b"content-length", b"5")]
    length = (b"content-length", b"5")
    assert heads.answer_headers(given, 200, "GET") == [(b"etag", b"e"), length]
    assert heads.answer_headers(given, 304, "GET") == [(b"etag", b"e")]
    assert heads.answer_headers(given, 304, "HEAD") == [(b"etag", b"e"), length]
    assert heads.upgrade_headers([(b"upgrade", b"websocket"), (b"sec-websocket-accept", b"k")]) == [
        (b"upgrade", b"websocket"),
        (b"sec-websocket-accept", b"k"),
    ]
