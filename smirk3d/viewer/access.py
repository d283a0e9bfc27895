"""Who may see the page of the viewer: those who have its address, which contains a secret.

A server on this machine can be reached by any page that is open in its browser. So each request must name the secret,
be made by the page itself (the header Origin), and be addressed to this machine by a name that is its own (the header
Host; another name means that a web page had its own name point here).
"""

from __future__ import annotations

import http
import ipaddress
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from smirk3d.errors import Smirk3dError

_TOKEN_BYTES = 24
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_REFUSAL = "refused: open the whole address that smirk3d view printed"
_PATCH_LOCK = threading.Lock()


class AccessGuard:
    """Checks requests to a server.

    Args:
        host: Address that the server listens on.

    Attributes:
        token: The secret, the first part of the path of each request.
    """

    def __init__(self, host: str):
        self.token = secrets.token_urlsafe(_TOKEN_BYTES)
        self._names = {"localhost", host.lower()}
        self._is_local = _is_loopback(host)
        if not self._is_local:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    def inner_path(self, path: str, hosts: list[str], origins: list[str]) -> str | None:
        """Return the path of a request without the secret, None where the request is refused.

        Args:
            path: Path of the request.
            hosts: Values of its headers Host.
            origins: Values of its headers Origin; pages always send one to open a connection, programs do not.
        """
        given, slash, rest = path.partition("?")[0].removeprefix("/").partition("/")
        if not secrets.compare_digest(given.encode(), self.token.encode()):
            return None
        if len(hosts) != 1 or not self._is_own(hosts[0]):
            return None
        if origins and (len(origins) != 1 or not _is_of_host(origins[0], hosts[0])):
            return None
        return slash + rest or "/"

    def _is_own(self, host: str) -> bool:
        name = _name(host)
        if name in self._names or _is_loopback(name):
            return True
        return not self._is_local and _is_address(name)


def _name(host: str) -> str:
    """Return the name in a header Host, without port and brackets; "" where it is none."""
    try:
        parts = urlsplit(f"//{host}")
        return parts.hostname or "" if parts.netloc == host and "@" not in host else ""
    except ValueError:
        return ""


def _is_of_host(origin: str, host: str) -> bool:
    scheme, separator, rest = origin.partition("://")
    return scheme in ("http", "https") and bool(separator) and rest.lower() == host.lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(name: str) -> bool:
    return name.lower() == "localhost" or (_is_address(name) and ipaddress.ip_address(name).is_loopback)


@contextmanager
def guarded_servers(guard: AccessGuard) -> Iterator[None]:
    """Put a guard before the server that is started in the block.

    viser has no parameter for it, so the function that starts servers is replaced meanwhile.

    Args:
        guard: The guard.

    Raises:
        Smirk3dError: The block started no server in this way; it must not be used.
    """
    import websockets.asyncio.server as module
    from websockets import Headers
    from websockets.http11 import Request, Response

    is_guarded = False

    def serve(*args: Any, process_request: Any = None, **options: Any) -> Any:
        nonlocal is_guarded
        is_guarded = True

        def check(connection: Any, request: Request) -> Response | None:
            headers = request.headers
            path = guard.inner_path(request.path, headers.get_all("Host"), headers.get_all("Origin"))
            if path is None:
                body = _REFUSAL.encode()
                length = Headers({"Content-Type": "text/plain", "Content-Length": str(len(body))})
                return Response(http.HTTPStatus.FORBIDDEN, "Forbidden", length, body)
            request.path = path
            response = process_request(connection, request)
            if response is not None:
                response.headers.update(_HEADERS)
            return response

        return original(*args, process_request=check, **options)

    with _PATCH_LOCK:
        original = module.serve
        module.serve = serve  # type: ignore[assignment,misc]
        try:
            yield
        finally:
            module.serve = original  # type: ignore[misc]
    if not is_guarded:
        raise Smirk3dError("this version of viser cannot be guarded against other pages; pip install 'viser>=1.1,<2'")
