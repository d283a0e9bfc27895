"""The viewer shows nothing to other pages in the browser, nor to whoever lacks the secret in its address."""

from __future__ import annotations

import asyncio
import http.client
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from smirk3d.errors import Smirk3dError
from smirk3d.export.gltf.head import save_gltf
from smirk3d.face import Face
from smirk3d.viewer.access import AccessGuard, guarded_servers
from smirk3d.viewer.app import Viewer, open_viewer
from smirk3d.viewer.discovery import read_scene

viser = pytest.importorskip("viser")
client = pytest.importorskip("websockets.asyncio.client")


@pytest.fixture(scope="module")
def viewer(make_face: Callable[..., Face], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    path = tmp_path_factory.mktemp("access") / "a_0.glb"
    save_gltf(make_face(), path)
    viewer = open_viewer(read_scene(path), port=0)
    yield viewer
    viewer.close()


def _token(viewer: Viewer) -> str:
    return urlsplit(viewer.url).path


def _page(viewer: Viewer, path: str, host: str | None = None, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", viewer.port, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": host or f"127.0.0.1:{viewer.port}", **headers})
        return connection.getresponse().status
    finally:
        connection.close()


def _socket(viewer: Viewer, path: str, host: str, origin: str | None) -> bool:
    """Return whether a connection is made, and the scene sent, with these headers."""

    async def connect() -> bool:
        place = socket.create_connection(("127.0.0.1", viewer.port))
        options = {"sock": place, "origin": origin, "subprotocols": [f"viser-v{viser.__version__}"], "max_size": None}
        try:
            async with client.connect(f"ws://{host}{path}", **options) as connection:
                return len(await asyncio.wait_for(connection.recv(), 10)) > 0
        except Exception:
            return False

    return asyncio.run(connect())


def test_the_whole_address_shows_the_page(viewer: Viewer) -> None:
    token, own = _token(viewer), f"127.0.0.1:{viewer.port}"
    assert len(token) > 30
    for path in (token, token.rstrip("/"), token + "?websocket=x"):
        assert _page(viewer, path) == 200
    for host in (own, f"localhost:{viewer.port}"):
        assert _socket(viewer, token.rstrip("/"), host, f"http://{host}")
    assert _socket(viewer, token, own, None)  # a program, no page


def test_nothing_is_shown_without_the_secret(viewer: Viewer) -> None:
    own = f"127.0.0.1:{viewer.port}"
    for path in (
        "/",
        "/index.html",
        "/x" + _token(viewer)[2:],
        _token(viewer)[:-5] + "/",
        "//" + _token(viewer),
        "/%2e%2e/",
    ):
        assert _page(viewer, path) == 403
        assert not _socket(viewer, path, own, f"http://{own}")


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1:1", "file://"]
)
def test_other_origins_are_refused(origin: str, viewer: Viewer) -> None:
    assert not _socket(viewer, _token(viewer), f"127.0.0.1:{viewer.port}", origin)
    assert _page(viewer, _token(viewer), Origin=origin) == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "192.0.2.1", "a@127.0.0.1", "[::", ""])
def test_other_host_names_are_refused(host: str, viewer: Viewer) -> None:
    """A page whose name points to this machine has a matching origin."""
    named = f"{host}:{viewer.port}"
    assert _page(viewer, _token(viewer), host=named) == 403
    guard = AccessGuard("127.0.0.1")
    assert guard.inner_path(f"/{guard.token}/", [named], [f"http://{named}"]) is None


def test_servers_for_other_machines_are_named_by_address() -> None:
    guard = AccessGuard("0.0.0.0")
    path = f"/{guard.token}/a"
    assert guard.inner_path(path, ["192.0.2.1:8080"], ["http://192.0.2.1:8080"]) == "/a"
    assert guard.inner_path(path, ["localhost:8080"], []) == "/a"
    for hosts in (["evil.example:8080"], [], ["192.0.2.1", "192.0.2.1"]):
        assert guard.inner_path(path, hosts, []) is None
    assert guard.inner_path("/" + AccessGuard("0.0.0.0").token, ["192.0.2.1"], []) is None


def test_the_page_cannot_be_embedded(viewer: Viewer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", viewer.port, timeout=10)
    connection.request("GET", _token(viewer))
    headers = connection.getresponse().headers
    assert headers["X-Frame-Options"] == "DENY" and headers["Referrer-Policy"] == "no-referrer"
    connection.close()


def test_a_server_that_cannot_be_guarded_is_refused() -> None:
    with pytest.raises(Smirk3dError, match="viser"), guarded_servers(AccessGuard("127.0.0.1")):
        pass


def test_only_this_machine_can_connect_by_default(viewer: Viewer) -> None:
    assert Path("/proc/net/tcp").exists() or pytest.skip("needs Linux")
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = {row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{viewer.port:04X}")}
    assert listening == {f"0100007F:{viewer.port:04X}"}
