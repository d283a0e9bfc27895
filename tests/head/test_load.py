"""Heads by name and by path, and when the cached open head is built anew."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from smirk3d.authoring.open_head import OpenHeadConfig, source_versions
from smirk3d.errors import Smirk3dError
from smirk3d.head import load
from smirk3d.head.data import HeadData
from smirk3d.head.load import find_head_data, load_head, open_head_data, open_head_path
from smirk3d.head.model import HeadModel
from smirk3d.head.pack import save_pack
from smirk3d.params import FaceParams


def test_a_pack_by_path(tmp_path, tiny_data):
    save_pack(tiny_data, tmp_path / "tiny.pack")
    for path in (tmp_path / "tiny.pack", str(tmp_path / "tiny.pack")):
        head = load_head(path)
        assert head.data.name == "tiny" and head.v_template.equal(tiny_data.v_template)
    small = load_head(tmp_path / "tiny.pack", n_shape=2, n_expression=1)
    assert (small.n_shape, small.n_expression) == (2, 1)


def test_a_missing_file_is_named_with_the_remedy(tmp_path):
    with pytest.raises(Smirk3dError, match=r"nobody\.pack: no such head file; .*'open'"):
        load_head(tmp_path / "nobody.pack")
    with pytest.raises(Smirk3dError, match="no such head file"):
        load_head(tmp_path)


def test_a_file_that_is_no_head_is_refused(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(Smirk3dError, match=r"photo\.jpg"):
        load_head(tmp_path / "photo.jpg")


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("SMIRK3D_CACHE", str(tmp_path))
    assert open_head_path().is_relative_to(tmp_path)


@pytest.fixture
def builds(monkeypatch, tmp_path, tiny_data) -> list[HeadData]:
    """Replace the build by a quick one that is counted, in an empty cache."""
    built: list[HeadData] = []

    def rebuild(report) -> HeadData:
        built.append(replace(tiny_data, name="rebuilt"))
        return built[-1]

    monkeypatch.setenv("SMIRK3D_CACHE", str(tmp_path))
    monkeypatch.setattr(load, "rebuild_open_head", rebuild)
    return built


def cache(data: HeadData, **meta: str) -> Path:
    save_pack(replace(data, name="cached", meta=source_versions(OpenHeadConfig()) | meta), open_head_path())
    return open_head_path()


def test_an_empty_cache_is_filled(builds):
    assert open_head_data().name == "rebuilt" and len(builds) == 1


def test_a_current_head_is_taken_from_the_cache(builds, tiny_data):
    cache(tiny_data, kept_variance="0.5")  # what does not decide the result does not count
    assert open_head_data().name == "cached" and not builds


@pytest.mark.parametrize("key", ["build_version", "anny_version", "config"])
def test_a_head_from_other_sources_is_built_anew(builds, tiny_data, key):
    cache(tiny_data, **{key: "other"})
    assert open_head_data().name == "rebuilt" and len(builds) == 1


@pytest.mark.parametrize("content", [b"", b"damaged", b"\x10\0\0\0\0\0\0\0{}"])
def test_a_damaged_cache_is_built_anew(builds, tiny_data, content):
    cache(tiny_data).write_bytes(content)
    assert open_head_data().name == "rebuilt"


def test_a_head_is_found_by_its_identifier(monkeypatch, tmp_path, open_head, tiny_data):
    monkeypatch.setenv("SMIRK3D_CACHE", str(tmp_path))
    found = find_head_data(HeadModel(open_head.data, n_shape=10).id)
    assert found is not None and found.content_id == open_head.data.content_id
    assert find_head_data(tiny_data.content_id) is None
    save_pack(tiny_data, tmp_path / "heads" / "b.pack")
    (tmp_path / "heads" / "a.pack").write_bytes(b"damaged")
    for wanted in (tiny_data.content_id, HeadModel(tiny_data, n_shape=2).id):
        found = find_head_data(wanted)
        assert found is not None and found.name == "tiny" and found.shapedirs.shape[-1] == 4


def test_the_default_is_the_open_head_whole(open_head):
    assert open_head.data.name == "open" and open_head.n_expression == 52
    assert (open_head.n_shape, "mediapipe" in open_head.data.landmarks) == (OpenHeadConfig().components, True)
    torch.testing.assert_close(open_head(FaceParams()).vertices, open_head.v_template, atol=1e-7, rtol=0)
