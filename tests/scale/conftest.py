"""Small photos, some broken, and a server that speaks the protocol of S3 on this machine."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small_photos import BROKEN, photo_bytes


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """40 photos of 10, 11, ... pixels width, of which the 4th, 14th, ... are broken."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for k in range(40):
        (folder / f"p{k:02d}.jpg").write_bytes(BROKEN if k % 10 == 3 else photo_bytes(10 + k))
    return folder


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Address of a server of S3's protocol, http://127.0.0.1:port."""
    pytest.importorskip("flask")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def s3_environment(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make the server the one that all programs of this test reach."""
    for name, value in (
        ("AWS_ENDPOINT_URL", s3_server),
        ("AWS_ACCESS_KEY_ID", "tests"),
        ("AWS_SECRET_ACCESS_KEY", "tests"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    return s3_server


_numbers = itertools.count()


@pytest.fixture
def make_bucket(s3_environment: str) -> Callable[[dict[str, bytes]], str]:
    """Make a bucket with objects and return its address, s3://name."""
    boto3 = pytest.importorskip("boto3")

    def make(objects: dict[str, bytes]) -> str:
        client, name = boto3.client("s3", endpoint_url=s3_environment), f"bucket-{next(_numbers)}"
        client.create_bucket(Bucket=name)
        for key, content in objects.items():
            client.put_object(Bucket=name, Key=key, Body=content)
        return f"s3://{name}"

    return make
