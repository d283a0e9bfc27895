"""Viewable files: archives, folders of results, and refused files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from smirk3d.errors import Smirk3dError
from smirk3d.export.gltf.head import save_gltf
from smirk3d.export.tables.npz import save_npz
from smirk3d.face import Face
from smirk3d.head.model import HeadModel
from smirk3d.viewer.discovery import read_scene, results_in


def test_archive_and_gltf_of_a_track_agree(clip_dir: Path) -> None:
    glb, npz = read_scene(clip_dir / "clip.glb"), read_scene(clip_dir / "clip.npz")
    assert npz.curves.status[20:24].tolist() == [2] * 4 and len(npz.curves) == 30
    assert "face lost" in npz.describe(21) and "lost" not in npz.describe(19)
    for time_s in (0.2, 0.6, 0.95, 1.2):
        assert np.allclose(glb.vertices_at(time_s), npz.vertices_at(time_s), atol=1e-6)
    assert np.isfinite(npz.curves.rotation_rotmat).all()


def test_archive_and_gltf_of_a_face_agree(make_face: Callable[..., Face], open_head: HeadModel, tmp_path: Path) -> None:
    face = make_face(seed=5)
    save_npz(face, tmp_path / "a.npz")
    save_gltf(face, tmp_path / "a.glb")
    npz, glb = read_scene(tmp_path / "a.npz"), read_scene(tmp_path / "a.glb")
    assert np.allclose(npz.vertices_at(0), glb.vertices_at(0), atol=1e-6)
    assert np.allclose(npz.curves.rotation_rotmat, glb.curves.rotation_rotmat, atol=1e-5)


@pytest.mark.parametrize("suffix", [".glb", ".gltf", ".npz"])
def test_damaged_files_are_refused(suffix: str, clip_dir: Path, tmp_path: Path) -> None:
    whole = clip_dir / f"clip{suffix if suffix != '.gltf' else '.glb'}"
    for content in (b"", b"nonsense", whole.read_bytes()[:5000], b"{}", json.dumps({"asset": {}}).encode()):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(content)
        with pytest.raises(Smirk3dError, match=rf"a\{suffix}: .*; .") as caught:
            read_scene(path)
        assert "\n" not in str(caught.value)


def test_archives_of_other_content_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", features=np.zeros(3))
    with pytest.raises(Smirk3dError, match="holds no face"):
        read_scene(tmp_path / "a.npz")
    keys = ("neutral_vertices", "triangles", "shape", "arkit")
    np.savez(tmp_path / "a.npz", head=np.array("flame2020"), **dict.fromkeys(keys, np.zeros(1)))
    with pytest.raises(Smirk3dError, match=r"flame2020.*view its \.glb"):
        read_scene(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", **dict.fromkeys(keys, np.zeros(1)))
    with pytest.raises(Smirk3dError, match="make it again"):
        read_scene(tmp_path / "a.npz")


def test_results_in_a_folder(clip_dir: Path, tmp_path: Path) -> None:
    assert results_in(clip_dir) == [clip_dir / "clip.glb"]
    (tmp_path / "b_0.npz").write_bytes((clip_dir / "clip.npz").read_bytes())
    np.savez(tmp_path / "features.npz", features=np.zeros(3))
    assert results_in(tmp_path) == [tmp_path / "b_0.npz"]
    (tmp_path / "b_0.npz").unlink()
    for path in (tmp_path, tmp_path / "none", tmp_path / "features.txt"):
        (tmp_path / "features.txt").write_text("x")
        with pytest.raises(Smirk3dError, match=";"):
            results_in(path)
