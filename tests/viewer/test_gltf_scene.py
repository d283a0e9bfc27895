"""Scenes from glTF files: meshes and curves as they were saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pygltflib as gl
import pytest
import torch
import trimesh
from synthetic_track import synthetic_track

from smirk3d.export.gltf.head import save_gltf
from smirk3d.face import Face
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.viewer.discovery import read_scene
from smirk3d.viewer.scene import ViewScene


def _distance_m(scene: ViewScene, points: np.ndarray, expected: np.ndarray) -> float:
    """Return how far the loaded mesh is from expected vertices at the most; cuts only add vertices."""
    tree = trimesh.proximity.cKDTree(points)  # type: ignore[attr-defined]
    return float(tree.query(expected)[0].max())


def _moves_linearly(head: HeadModel) -> np.ndarray:
    """Return which vertices (V,) bool move linearly: eyes turn, lids and lips touch."""
    is_linear = head.lbs_weights[:, 3:].sum(dim=1) == 0
    is_linear[head.data.contacts.follower] = False
    return is_linear.numpy()


@pytest.mark.parametrize("suffix", [".glb", ".gltf"])
def test_a_still_equals_the_saved_face(suffix: str, make_face: Callable[..., Face], tmp_path: Path) -> None:
    face = make_face(seed=3)
    save_gltf(face, tmp_path / f"a{suffix}")
    scene = read_scene(tmp_path / f"a{suffix}")
    assert scene.names == ARKIT_NAMES and not scene.curves.is_clip
    assert np.allclose(scene.curves.weights[0], list(face.arkit.values()), atol=1e-6)
    assert np.allclose(scene.curves.rotation_rotmat[0], face.rotation, atol=1e-5)
    assert np.allclose(scene.curves.angles_deg(0), (20, -8, 5), atol=1e-2)
    skin = _moves_linearly(face.head)
    assert _distance_m(scene, scene.vertices_at(0), face.vertices[skin]) < 1e-5
    neutral = scene.vertices(np.zeros(52))
    assert _distance_m(scene, neutral, face.neutral_vertices) < 1e-6


def test_a_clip_shows_the_head_of_each_frame(clip_dir: Path, open_head: HeadModel) -> None:
    scene, track = read_scene(clip_dir / "clip.glb"), synthetic_track(open_head, 30)
    skin = _moves_linearly(open_head)
    for row in (0, 15, 29):
        params = FaceParams(torch.from_numpy(track.shape)[None], torch.from_numpy(track.expression[row : row + 1]))
        expected = open_head(params).vertices[0].detach().numpy()[skin]
        time_s = float(track.time_s[row]) + 0.01
        assert _distance_m(scene, scene.vertices_at(time_s), expected) < 1e-5
        angles = scene.curves.angles_deg(scene.curves.frame_at(time_s))
        assert np.allclose(angles, track.angles_deg[row], atol=1e-2)
    assert scene.curves.rate_fps == pytest.approx(25, rel=1e-3)
    assert np.allclose(scene.curves.translation_m[0], track.translation_m[0], atol=1e-6)


def test_every_triangle_is_shown_once(clip_dir: Path) -> None:
    scene = read_scene(clip_dir / "clip.glb")
    loaded = trimesh.load(clip_dir / "clip.glb", process=False)
    textured = ("eyes", "teeth")  # finer than in the file
    area = sum(mesh.area for mesh in loaded.geometry.values() if mesh.visual.material.name not in textured)  # type: ignore
    patches = [patch for patch in scene.patches if not patch.name.startswith(textured)]
    ours = sum(trimesh.Trimesh(scene.points[p.rows], p.triangles[: p.n_shown], process=False).area for p in patches)
    assert ours == pytest.approx(area, rel=1e-5)
    assert {patch.name.split()[0] for patch in scene.patches} == {"skin", "eyes", "mouth", "teeth"}
    teeth = [min(patch.color) for patch in scene.patches if patch.name.startswith("teeth")]
    assert max(teeth) > 200 and min(teeth) < 80  # front teeth are bright, molars in the dark of the mouth


def test_eyes_are_round_and_have_a_dark_pupil(clip_dir: Path) -> None:
    scene = read_scene(clip_dir / "clip.glb")
    eyes = [patch for patch in scene.patches if patch.name.startswith("eyes")]
    pupil = scene.points[min(eyes, key=lambda patch: sum(patch.color)).rows]
    for side in (pupil[pupil[:, 0] > 0], pupil[pupil[:, 0] < 0]):
        radius_m = np.hypot(*(side - side.mean(axis=0))[:, :2].T).max()
        assert 0.0015 < radius_m < 0.003  # that of the painted eye is 2.1 mm
        assert side[:, 2].min() > 0.05


def test_a_file_of_another_program(tmp_path: Path) -> None:
    """A box with a target and a node's scale, written by hand with plain accessors."""
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=np.float32)
    move = np.array([[0, 0, 0], [0, 0, 0], [0, 1, 0]], dtype=np.float32)
    times, weights = np.array([0, 0.5, 1.0], dtype=np.float32), np.array([0, 1, 0], dtype=np.float32)
    parts = [
        points.tobytes(),
        move.tobytes(),
        np.array([0, 1, 2, 0], dtype=np.uint8).tobytes(),
        times.tobytes(),
        weights.tobytes(),
    ]
    starts = np.cumsum([0, *map(len, parts)])
    views = [gl.BufferView(buffer=0, byteOffset=int(s), byteLength=len(p)) for s, p in zip(starts, parts)]
    kinds = [
        (gl.FLOAT, "VEC3", 3),
        (gl.FLOAT, "VEC3", 3),
        (gl.UNSIGNED_BYTE, "SCALAR", 3),
        *[(gl.FLOAT, "SCALAR", 3)] * 2,
    ]
    accessors = [gl.Accessor(bufferView=k, componentType=c, type=t, count=n) for k, (c, t, n) in enumerate(kinds)]
    primitive = gl.Primitive(attributes=gl.Attributes(POSITION=0), indices=2, targets=[gl.Attributes(POSITION=1)])
    sampler = gl.AnimationSampler(input=3, output=4)
    channel = gl.AnimationChannel(sampler=0, target=gl.AnimationChannelTarget(node=0, path="weights"))
    document = gl.GLTF2(
        scene=0,
        scenes=[gl.Scene(nodes=[0])],
        nodes=[gl.Node(mesh=0, scale=[2, 2, 2])],
        meshes=[gl.Mesh(primitives=[primitive])],
        accessors=accessors,
        bufferViews=views,
        buffers=[gl.Buffer(byteLength=int(starts[-1]))],
        animations=[gl.Animation(samplers=[sampler], channels=[channel])],
    )
    document.set_binary_blob(b"".join(parts))
    document.save_binary(str(tmp_path / "a.glb"))
    scene = read_scene(tmp_path / "a.glb")
    assert scene.names == ("target 0",) and scene.curves.rate_fps == pytest.approx(2)
    assert scene.vertices_at(0.0)[:, 1].max() == pytest.approx(2)
    assert scene.vertices_at(0.5)[:, 1].max() == pytest.approx(4)
    assert scene.regions == (("other", (0,)),)
