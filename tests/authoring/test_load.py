"""Heads by name and by path, and builds of the open head."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from same import assert_same

from smirk3d.authoring import load
from smirk3d.authoring.load import build_open_head_pack, default_build_path, is_current_build, load_head
from smirk3d.authoring.open_head import OpenHeadConfig, source_versions
from smirk3d.errors import Smirk3dError
from smirk3d.head.load import find_head_data, open_head_data
from smirk3d.head.pack import load_pack, read_header, save_pack
from smirk3d.zoo.registry import find


def test_the_default_is_the_packaged_open_head():
    for head in (load_head(), load_head("open")):
        assert head.data.content_id == open_head_data().content_id
    small = load_head("open", n_shape=10, n_expression=20)
    assert (small.n_shape, small.n_expression) == (10, 20)


def test_a_build_in_the_cache_does_not_replace_the_packaged_head(monkeypatch, tmp_path, tiny_data):
    monkeypatch.setenv("SMIRK3D_CACHE", str(tmp_path))
    save_pack(replace(tiny_data, name="open", meta=source_versions(OpenHeadConfig())), default_build_path())
    assert load_head("open").data.content_id == open_head_data().content_id
    assert load_head(default_build_path()).data.content_id == replace(tiny_data, name="open").content_id


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


def test_builds_go_to_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("SMIRK3D_CACHE", str(tmp_path))
    assert default_build_path().is_relative_to(tmp_path)


def test_a_build_is_current_while_its_sources_are(tmp_path, tiny_data):
    path, versions = tmp_path / "build.pack", source_versions(OpenHeadConfig())
    assert not is_current_build(path)
    save_pack(replace(tiny_data, meta=versions | {"kept_variance": "0.5"}), path)
    assert is_current_build(path)  # what does not decide the result does not count
    for key in ("build_version", "anny_version", "config"):
        save_pack(replace(tiny_data, meta=versions | {key: "other"}), path)
        assert not is_current_build(path)


@pytest.mark.parametrize("content", [b"", b"damaged", b"\x10\0\0\0\0\0\0\0{}"])
def test_a_damaged_build_is_not_current(tmp_path, content):
    (tmp_path / "build.pack").write_bytes(content)
    assert not is_current_build(tmp_path / "build.pack")


def test_the_packaged_head_states_the_sources_of_this_version():
    meta, versions = read_header(find("open_head"))["meta"], source_versions(OpenHeadConfig())
    # Another release of anny may be installed; the packaged file stays the open head.
    for key in ("build_version", "config", "licence"):
        assert meta[key] == versions[key]
    assert meta["anny_version"]


@pytest.mark.slow
def test_the_packaged_head_is_what_a_build_makes(tmp_path):
    packaged = load_pack(find("open_head"))
    if packaged.meta["anny_version"] != source_versions(OpenHeadConfig())["anny_version"]:
        pytest.skip("another release of anny is installed")
    lines: list[str] = []
    built = build_open_head_pack(tmp_path / "new" / "open.pack", lines.append)
    assert len(lines) == 3 and is_current_build(tmp_path / "new" / "open.pack")
    assert_same(load_pack(tmp_path / "new" / "open.pack"), built)
    # The order of sums, and so the last bit of the identity space, depends on the number of threads.
    torch.testing.assert_close(built.shapedirs, packaged.shapedirs, atol=1e-9, rtol=0)
    assert_same(replace(built, shapedirs=packaged.shapedirs), packaged)


def test_no_build_without_being_asked(monkeypatch, tmp_path):
    monkeypatch.setenv("SMIRK3D_CACHE", str(tmp_path))
    monkeypatch.setattr(load, "build_open_head", lambda: pytest.fail("built"))
    assert load_head().n_expression == 52


@pytest.fixture
def completions(monkeypatch, tmp_path, tiny_data) -> list[Path]:
    """Complete FLAME models quickly, and list them."""
    done: list[Path] = []

    def complete(path, files, report):
        done.append(path)
        return tiny_data

    monkeypatch.setattr(load, "_complete", complete)
    monkeypatch.setenv("SMIRK3D_CACHE", str(tmp_path / "cache"))
    return done


def test_a_completed_head_is_taken_from_the_cache_while_it_is_intact(completions, flame_file, tmp_path, tiny_data):
    for _ in range(2):
        assert load_head(flame_file).data.content_id == tiny_data.content_id
    assert len(completions) == 1
    (pack,) = (tmp_path / "cache" / "heads").glob("*.pack")
    content = bytearray(pack.read_bytes())
    content[-1] ^= 1  # still a head that can be read
    pack.write_bytes(content)
    assert find_head_data(tiny_data.content_id) is None
    for _ in range(2):
        assert_same(load_head(flame_file).data, tiny_data)
    assert len(completions) == 2 and find_head_data(tiny_data.content_id) is not None


def test_without_a_cache_a_head_is_completed_in_memory(completions, flame_file, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SMIRK3D_CACHE", str(tmp_path / "file"))
    for _ in range(2):
        assert load_head(flame_file).data.name == "tiny"
    assert len(completions) == 2
    (record,) = caplog.records
    assert "SMIRK3D_CACHE" in record.message
