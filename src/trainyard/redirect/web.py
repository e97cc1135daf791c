"""HTTP libraries: the address of a request is exchanged at the last place where it is still whole.

There the scheme changes with the host, so that no TLS is begun towards a service in clear text.
"""

from __future__ import annotations

from functools import wraps

from .aim import Aim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def patch_requests(module: Any) -> None:
    """requests: every request and every redirect passes `Session.send`, also those of google-auth's sessions."""
    send = module.Session.send

    @wraps(send)
    def redirected(self: Any, request: Any, **options: Any) -> Any:
        aim = Aim()
        url = aim.url(request.url or "")
        if url is not None:
            request.url = url
            aim.identify(request.headers)
            options.pop("proxies", None)  # chosen for the other address; send() chooses again
        return send(self, request, **options)

    module.Session.send = redirected


def patch_urllib3(module: Any) -> None:
    """urllib3 used by itself, as google-auth's urllib3 transport does; requests does not come by here."""
    urlopen = module.PoolManager.urlopen

    @wraps(urlopen)
    def redirected(self: Any, method: str, url: str, *positional: Any, **options: Any) -> Any:
        aim = Aim()
        new = aim.url(url)
        if new is not None:
            headers = dict(options.get("headers") or self.headers or {})
            aim.identify(headers)
            url, options["headers"] = new, headers
        return urlopen(self, method, url, *positional, **options)

    module.PoolManager.urlopen = redirected


def patch_httplib2(module: Any) -> None:
    """httplib2, which carries google-api-python-client."""
    request = module.Http.request

    @wraps(request)
    def redirected(
        self: Any, uri: str, method: str = "GET", body: Any = None, headers: Any = None, **options: Any
    ) -> Any:
        aim = Aim()
        new = aim.url(uri)
        if new is not None:
            headers = dict(headers or {})
            aim.identify(headers)
            uri = new
        return request(self, uri, method, body, headers, **options)

    module.Http.request = redirected


def patch_urllib(module: Any) -> None:
    """The standard library's own."""
    open_ = module.OpenerDirector.open

    @wraps(open_)
    def redirected(self: Any, fullurl: Any, *positional: Any, **options: Any) -> Any:
        aim = Aim()
        new = aim.url(fullurl if isinstance(fullurl, str) else fullurl.full_url)
        if new is not None:
            fullurl = module.Request(new) if isinstance(fullurl, str) else fullurl
            fullurl.full_url = new
            aim.identify(fullurl.headers)
        return open_(self, fullurl, *positional, **options)

    module.OpenerDirector.open = redirected


def patch_httpx(module: Any) -> None:
    """httpx, both clients."""

    def aimed(request: Any) -> Any:
        aim = Aim()
        new = aim.url(str(request.url))
        if new is not None:
            request.url = module.URL(new)
            request.headers["Host"] = aim.netloc
            aim.identify(request.headers)
        return request

    send, send_async = module.Client.send, module.AsyncClient.send

    @wraps(send)
    def redirected(self: Any, request: Any, **options: Any) -> Any:
        return send(self, aimed(request), **options)

    @wraps(send_async)
    async def redirected_async(self: Any, request: Any, **options: Any) -> Any:
        return await send_async(self, aimed(request), **options)

    module.Client.send, module.AsyncClient.send = redirected, redirected_async


def patch_aiohttp(module: Any) -> None:
    """aiohttp, which carries gcsfs and the asynchronous REST transports."""
    request = module.ClientSession._request

    @wraps(request)
    async def redirected(self: Any, method: str, str_or_url: Any, **options: Any) -> Any:
        aim = Aim()
        new = aim.url(str(str_or_url))
        if new is not None:
            # A URL object may hold escapes that its maker chose; parsing must not undo them.
            str_or_url = new if isinstance(str_or_url, str) else type(str_or_url)(new, encoded=True)
            headers = dict(options.get("headers") or {})
            aim.identify(headers)
            options["headers"] = headers
        return await request(self, method, str_or_url, **options)

    module.ClientSession._request = redirected
