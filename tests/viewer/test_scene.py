"""What the viewer shows, without a viewer: reading files, meshes at a time, patches, pictures, the clock."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pygltflib as gl
import pytest
import torch
import trimesh
from PIL import Image
from synthetic_track import synthetic_track

from smirk3d.errors import Smirk3dError
from smirk3d.export.gltf.animation import save_animation
from smirk3d.export.gltf.head import save_gltf
from smirk3d.export.tables.npz import save_npz
from smirk3d.export.tables.track_table import save_track_npz
from smirk3d.face import Face
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.viewer.clock import Clock
from smirk3d.viewer.color_patches import Surface, choose_palette, cut_by_color, tessellated
from smirk3d.viewer.discovery import read_scene, results_in
from smirk3d.viewer.scene import ViewScene, held, short_name
from smirk3d.viewer.side_pictures import open_pictures, picture_beside


@pytest.fixture(scope="module")
def clip_dir(open_head: HeadModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    track = synthetic_track(open_head, 30, lost=slice(20, 24))
    save_animation(track, folder / "clip.glb")
    save_track_npz(track, folder / "clip.npz")
    return folder


def _distance_m(scene: ViewScene, points: np.ndarray, wanted: np.ndarray) -> float:
    """Return how far the shown mesh is from wanted vertices at the most; cuts only add vertices."""
    tree = trimesh.proximity.cKDTree(points)  # type: ignore[attr-defined]
    return float(tree.query(wanted)[0].max())


def _unturned(head: HeadModel) -> np.ndarray:
    """Return which vertices (V,) bool do not turn with the eyes: a target moves those along chords."""
    return (head.lbs_weights[:, 3:].sum(dim=1) == 0).numpy()


@pytest.mark.parametrize("suffix", [".glb", ".gltf"])
def test_a_still_is_the_face_that_was_saved(suffix: str, make_face: Callable[..., Face], tmp_path: Path) -> None:
    face = make_face(seed=3)
    save_gltf(face, tmp_path / f"a{suffix}")
    scene = read_scene(tmp_path / f"a{suffix}")
    assert scene.names == ARKIT_NAMES and not scene.curves.is_clip
    assert np.allclose(scene.curves.weights[0], list(face.arkit.values()), atol=1e-6)
    assert np.allclose(scene.curves.rotation_rotmat[0], face.rotation, atol=1e-5)
    assert np.allclose(scene.curves.angles_deg(0), (20, -8, 5), atol=1e-2)
    skin = _unturned(face.head)
    assert _distance_m(scene, scene.vertices_at(0), face.vertices[skin]) < 1e-5
    neutral = scene.vertices(np.zeros(52))
    assert _distance_m(scene, neutral, face.neutral_vertices) < 1e-6


def test_a_clip_at_a_time_is_the_head_of_that_frame(clip_dir: Path, open_head: HeadModel) -> None:
    scene, track = read_scene(clip_dir / "clip.glb"), synthetic_track(open_head, 30)
    skin = _unturned(open_head)
    for row in (0, 15, 29):
        params = FaceParams(torch.from_numpy(track.shape)[None], torch.from_numpy(track.expression[row : row + 1]))
        wanted = open_head(params).vertices[0].detach().numpy()[skin]
        time_s = float(track.time_s[row]) + 0.01
        assert _distance_m(scene, scene.vertices_at(time_s), wanted) < 1e-5
        angles = scene.curves.angles_deg(scene.curves.frame_at(time_s))
        assert np.allclose(angles, track.angles_deg[row], atol=1e-2)
    assert scene.curves.rate_fps == pytest.approx(25, rel=1e-3)
    assert np.allclose(scene.curves.translation_m[0], track.translation_m[0], atol=1e-6)


def test_the_npz_shows_what_the_glb_shows(clip_dir: Path) -> None:
    glb, npz = read_scene(clip_dir / "clip.glb"), read_scene(clip_dir / "clip.npz")
    assert npz.curves.status[20:24].tolist() == [2] * 4 and len(npz.curves) == 30
    assert "face lost" in npz.describe(21) and "lost" not in npz.describe(19)
    for time_s in (0.2, 0.6, 0.95, 1.2):
        assert np.allclose(glb.vertices_at(time_s), npz.vertices_at(time_s), atol=1e-6)
    assert np.isfinite(npz.curves.rotation_rotmat).all()


def test_the_npz_of_a_face(make_face: Callable[..., Face], open_head: HeadModel, tmp_path: Path) -> None:
    face = make_face(seed=5)
    save_npz(face, tmp_path / "a.npz")
    save_gltf(face, tmp_path / "a.glb")
    npz, glb = read_scene(tmp_path / "a.npz"), read_scene(tmp_path / "a.glb")
    assert np.allclose(npz.vertices_at(0), glb.vertices_at(0), atol=1e-6)
    assert np.allclose(npz.curves.rotation_rotmat, glb.curves.rotation_rotmat, atol=1e-5)


def test_every_triangle_is_shown_once(clip_dir: Path) -> None:
    scene = read_scene(clip_dir / "clip.glb")
    shown = trimesh.load(clip_dir / "clip.glb", process=False)
    area = sum(mesh.area for mesh in shown.geometry.values() if mesh.visual.material.name != "eyes")  # type: ignore
    patches = [patch for patch in scene.patches if not patch.name.startswith("eyes")]
    ours = sum(trimesh.Trimesh(scene.points[p.rows], p.triangles, process=False).area for p in patches)
    assert ours == pytest.approx(area, rel=1e-5)
    colors = {patch.name.split()[0]: patch.color for patch in scene.patches[::-1]}
    assert set(colors) == {"skin", "eyes", "mouth", "teeth"} and min(colors["teeth"]) > 200


def test_eyes_are_round_and_have_a_dark_pupil(clip_dir: Path) -> None:
    scene = read_scene(clip_dir / "clip.glb")
    eyes = [patch for patch in scene.patches if patch.name.startswith("eyes")]
    pupil = scene.points[min(eyes, key=lambda patch: sum(patch.color)).rows]
    for side in (pupil[pupil[:, 0] > 0], pupil[pupil[:, 0] < 0]):
        radius_m = np.hypot(*(side - side.mean(axis=0))[:, :2].T).max()
        assert 0.0015 < radius_m < 0.003  # that of the painted eye is 2.1 mm
        assert side[:, 2].min() > 0.05


def _sheet(colors: np.ndarray) -> Surface:
    """A square of two triangles with the given colours at its corners; one target lifts one corner."""
    points = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=np.float32)
    moves, turns = np.zeros((1, 4, 3), np.float32), np.zeros((1, 4, 3), np.float32)
    moves[0, 1, 2] = 1
    normals = np.tile(np.array([0, 0, 1], dtype=np.float32), (4, 1))
    return Surface("sheet", points, normals, moves, turns, colors.astype(np.float32), np.array([[0, 1, 2], [0, 2, 3]]))


def test_a_cut_runs_half_way_between_two_colors() -> None:
    white_left = np.array([[1.0] * 3, [0.0] * 3, [0.0] * 3, [1.0] * 3])
    surface, parts = cut_by_color(_sheet(white_left))
    for color, triangles in parts:
        mesh = trimesh.Trimesh(surface.points, triangles, process=False)
        assert mesh.area == pytest.approx(0.5) and (mesh.face_normals[:, 2] > 0).all()
        assert mesh.triangles_center[:, 0].mean() < 0.5 if color == (255, 255, 255) else color == (0, 0, 0)
    middle = surface.points[4:, 0]
    assert np.allclose(middle, 0.5) and np.allclose(surface.moves[0, 4:, 2].max(), 0.5)


def test_many_colors_become_one() -> None:
    assert len(choose_palette(np.random.default_rng(0).uniform(0, 1, (500, 3)))) == 1
    two = choose_palette(np.array([[1.0] * 3] * 5 + [[0.0] * 3] * 2))
    assert two.tolist() == [[1.0] * 3, [0.0] * 3]


def test_tessellation_of_a_sphere_is_rounder() -> None:
    ball = trimesh.creation.icosphere(1)
    points, normals = np.array(ball.vertices, dtype=np.float32), np.array(ball.vertices, dtype=np.float32)
    still = np.zeros((1, len(points), 3), np.float32)
    fine = tessellated(Surface("ball", points, normals, still, still, points, np.asarray(ball.faces)))
    flat, curved = ball.subdivide().vertices, fine.points
    assert len(fine.triangles) == 4 * len(ball.faces)
    assert 1 - np.linalg.norm(curved, axis=1).min() < 0.3 * (1 - np.linalg.norm(flat, axis=1).min())
    assert not fine.moves.any()


def test_regions_hold_each_target_once(clip_dir: Path) -> None:
    scene = read_scene(clip_dir / "clip.glb")
    titles = [title for title, _ in scene.regions]
    assert titles == ["eyes", "brows", "jaw", "mouth", "cheeks, nose", "tongue"]
    assert sorted(k for _, members in scene.regions for k in members) == list(range(52))
    assert [scene.names[k] for k in scene.regions[0][1][:2]] == ["eyeBlinkLeft", "eyeBlinkRight"]
    smile = scene.names.index("mouthSmileLeft")
    assert scene.names[scene.partners[smile]] == "mouthSmileRight"
    assert short_name("mouthSmileLeft") == "smile L" and short_name("mouthLeft") == "left"


def test_a_foreign_file(tmp_path: Path) -> None:
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


def test_held_values() -> None:
    known = np.array([False, True, False, False, True])
    assert held(np.arange(5), known).tolist() == [1, 1, 1, 1, 4]
    with pytest.raises(ValueError, match="no frame"):
        held(np.arange(2), np.zeros(2, dtype=bool))


@pytest.mark.parametrize("suffix", [".glb", ".gltf", ".npz"])
def test_files_that_are_none(suffix: str, clip_dir: Path, tmp_path: Path) -> None:
    whole = clip_dir / f"clip{suffix if suffix != '.gltf' else '.glb'}"
    for content in (b"", b"nonsense", whole.read_bytes()[:5000], b"{}", json.dumps({"asset": {}}).encode()):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(content)
        with pytest.raises(Smirk3dError, match=rf"a\{suffix}: .*; .") as caught:
            read_scene(path)
        assert "\n" not in str(caught.value)


def test_archives_of_something_else(tmp_path: Path) -> None:
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


def test_results_of_a_folder(clip_dir: Path, tmp_path: Path) -> None:
    assert results_in(clip_dir) == [clip_dir / "clip.glb"]
    (tmp_path / "b_0.npz").write_bytes((clip_dir / "clip.npz").read_bytes())
    np.savez(tmp_path / "features.npz", features=np.zeros(3))
    assert results_in(tmp_path) == [tmp_path / "b_0.npz"]
    (tmp_path / "b_0.npz").unlink()
    for path in (tmp_path, tmp_path / "none", tmp_path / "features.txt"):
        (tmp_path / "features.txt").write_text("x")
        with pytest.raises(Smirk3dError, match=";"):
            results_in(path)


def test_photo_and_overlay_stand_one_above_the_other(tmp_path: Path) -> None:
    strip = np.zeros((512, 2 * 300 + 768, 3), dtype=np.uint8)
    strip[:, :300], strip[:, 300:600], strip[:, 600:] = 50, 100, 200
    Image.fromarray(strip).save(tmp_path / "b_overlay.png")
    (tmp_path / "b_0.glb").touch()
    found = picture_beside(tmp_path / "b_0.glb")
    assert found is not None and found == tmp_path / "b_overlay.png" and picture_beside(tmp_path / "c_0.glb") is None
    shown = open_pictures(found).at(0)
    assert shown.shape == (1024, 300, 3) and shown[:512].max() == 50 and (shown[512:] == 100).all()


def test_frames_of_a_video(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "clip_overlay.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(40):
            pixels = np.full((48, 64, 3), 40 + 5 * number, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    assert picture_beside(tmp_path / "clip.glb") == path
    video = open_pictures(path)
    for time_s in (0.0, 0.1, 0.25, 3.0, 1.0, 1.5, 0.05, 9.0):
        number = min(int(time_s * 10 + 0.01), 39)
        assert abs(float(video.at(time_s).mean()) - (40 + 5 * number)) < 2.5, time_s
    video.close()
    path.write_bytes(b"nonsense")
    with pytest.raises(Smirk3dError, match="video"):
        open_pictures(path)


def test_the_clock() -> None:
    now_s = 100.0
    clock = Clock(start_s=2.0, lasting_s=4.0, now_s=lambda: now_s)
    assert clock.time_s == 2.0 and not clock.is_running
    clock.run()
    now_s += 3
    assert clock.time_s == 5.0 and clock.is_running
    clock.change(speed=0.5)
    now_s += 1
    assert clock.time_s == pytest.approx(5.5)
    now_s += 2
    assert clock.time_s == pytest.approx(2.5)  # around the end
    clock.change(loop=False, speed=2.0)
    now_s += 10
    assert clock.time_s == pytest.approx(6.0) and not clock.is_running and clock.has_ended
    clock.stop()
    clock.run()
    assert clock.time_s == 2.0
    clock.jump(-7)
    assert clock.time_s == 2.0
