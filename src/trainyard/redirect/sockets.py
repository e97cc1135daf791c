"""The last door: whatever went by the libraries that we know is stopped where a Google name becomes an address."""

from __future__ import annotations

from functools import wraps

from .aim import HERE, ON, Aim, RealCloudRefused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_UNKNOWN_ROAD = "because it was asked for in a way that Trainyard can't turn towards itself"


def _let_by(host: Any) -> None:
    """Raise RealCloudRefused unless this name may be reached."""
    name = host.decode("ascii", "replace") if isinstance(host, (bytes, bytearray)) else host
    if not isinstance(name, str):
        return
    way = Aim().way(name)
    if way != ON:
        raise RealCloudRefused(name, _UNKNOWN_ROAD if way == HERE else "")


def patch_socket(module: Any) -> None:
    """No name of Google's is looked up or connected to."""
    getaddrinfo, connect, connect_ex = module.getaddrinfo, module.socket.connect, module.socket.connect_ex

    @wraps(getaddrinfo)
    def guarded(host: Any, *positional: Any, **options: Any) -> Any:
        _let_by(host)
        return getaddrinfo(host, *positional, **options)

    def guarded_connect(self: Any, address: Any) -> Any:
        if isinstance(address, tuple):
            _let_by(address[0])
        return connect(self, address)

    def guarded_connect_ex(self: Any, address: Any) -> Any:
        if isinstance(address, tuple):
            _let_by(address[0])
        return connect_ex(self, address)

    module.getaddrinfo = guarded
    module.socket.connect, module.socket.connect_ex = guarded_connect, guarded_connect_ex


def patch_http_client(module: Any) -> None:
    """A bare HTTPSConnection to a host that we stand in for becomes one to us, in clear text where we speak that.

    urllib3 and httplib2 have a `connect` of their own and are turned earlier, where the path is known too.
    """
    connect = module.HTTPSConnection.connect

    @wraps(connect)
    def redirected(self: Any) -> None:
        aim = Aim()
        if self._tunnel_host or not aim.endpoint or aim.way(self.host) != HERE or aim.secure:
            connect(self)
            return
        aim.announce(self.host)
        self.sock = self._create_connection(aim.address, self.timeout, self.source_address)

    module.HTTPSConnection.connect = redirected
