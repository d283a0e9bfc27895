"""Viewable files: archives, folders of results, and refused files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from smirk3d.errors import Smirk3dError
from smirk3d.export.gltf.head import save_gltf
from smirk3d.export.tables.npz import save_npz
from smirk3d.face import Face
from smirk3d.head.model import HeadModel
from smirk3d.viewer.discovery import read_first, read_scene, results_in


def test_archive_and_gltf_of_a_track_agree(clip_dir: Path) -> None:
    glb, npz = read_scene(clip_dir / "clip.glb"), read_scene(clip_dir / "clip.npz")
    assert npz.curves.status[20:24].tolist() == [2] * 4 and len(npz.curves) == 30
    assert "face lost" in npz.describe(21) and "lost" not in npz.describe(19)
    for time_s in (0.2, 0.6, 0.95, 1.2):
        # Lids and lips of an archive touch, morph targets are linear.
        assert np.allclose(glb.vertices_at(time_s), npz.vertices_at(time_s), atol=2e-4)
    assert np.isfinite(npz.curves.rotation_rotmat).all()


def test_archive_and_gltf_of_a_face_agree(make_face: Callable[..., Face], open_head: HeadModel, tmp_path: Path) -> None:
    face = make_face(seed=5)
    save_npz(face, tmp_path / "a.npz")
    save_gltf(face, tmp_path / "a.glb")
    npz, glb = read_scene(tmp_path / "a.npz"), read_scene(tmp_path / "a.glb")
    assert np.allclose(npz.vertices_at(0), glb.vertices_at(0), atol=2e-4)
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


def test_leftovers_of_killed_runs_are_not_shown(clip_dir: Path, tmp_path: Path) -> None:
    """Files are written under a hidden name first, see `atomic_path`."""
    good = (clip_dir / "clip.glb").read_bytes()
    (tmp_path / "a_0.glb").write_bytes(good)
    (tmp_path / ".cache").mkdir()
    for name in (".0123456789abcdef0123456789abcdef.glb", ".b.npz", ".cache/c.glb"):
        (tmp_path / name).write_bytes(good[:5000])
    os.mkfifo(tmp_path / "pipe.glb")
    (tmp_path / "folder.glb").mkdir()
    (tmp_path / "gone.gltf").symlink_to(tmp_path / "none")
    assert results_in(tmp_path) == [tmp_path / "a_0.glb"]


def test_a_damaged_result_does_not_hide_the_others(clip_dir: Path, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("new.glb", "old.glb", "older.glb")]
    for path in paths:
        path.write_bytes((clip_dir / "clip.glb").read_bytes())
    paths[0].write_bytes(b"nonsense")
    lines: list[str] = []
    scene, left = read_first(paths, lines.append)
    assert scene.name == "old.glb" and left == paths[1:]
    assert len(lines) == 1 and "new.glb" in lines[0]
    with pytest.raises(Smirk3dError, match=r"new\.glb"):
        read_first(paths[:1], lines.append)


def test_archives_are_checked_before_they_are_inflated(clip_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, arkit=np.zeros(1 << 26))  # 512 MB of zeros in half a megabyte
    with pytest.raises(Smirk3dError, match=r"a\.npz: .*limit"):
        read_scene(path)
    with np.load(clip_dir / "clip.npz", allow_pickle=False) as archive:
        arrays = dict(archive)
    for name, row in (("arkit", 0), ("time_s", 3), ("translation_m", 0), ("neutral_vertices", 0)):
        changed = arrays[name].copy()
        changed[row] = np.nan
        np.savez(path, **arrays | {name: changed})
        with pytest.raises(Smirk3dError, match=r"a\.npz: .*;"):
            read_scene(path)
