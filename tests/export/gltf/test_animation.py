"""Animated glTF files, played back without the package: decoded, interpolated, posed and projected."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pygltflib as gl
import pytest
import torch
from scipy.spatial.transform import Rotation, Slerp
from synthetic_track import synthetic_track, with_other_head

from smirk3d.errors import Smirk3dError
from smirk3d.export.gltf.animation import key_frames, save_animation, target_weights
from smirk3d.export.gltf.morph_targets import RESIDUAL_TARGET
from smirk3d.export.texture import Texture
from smirk3d.geometry.camera import default_focal_px
from smirk3d.geometry.euler import angles_from_rotation, rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.render.appearance.materials import material_parts
from smirk3d.track import Track

DTYPES = {gl.UNSIGNED_SHORT: np.uint16, gl.UNSIGNED_INT: np.uint32, gl.FLOAT: np.float32}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}


class Player:
    """Evaluates a file according to the specification, without the package."""

    def __init__(self, path: Path) -> None:
        self.file: Any = gl.GLTF2().load(str(path))
        self.file.convert_buffers(gl.BufferFormat.BINARYBLOB)
        self.names = [node.name for node in self.file.nodes]
        (self.animation,) = self.file.animations

    def _read(self, view: int, offset: int | None, kind: int, count: int, width: int) -> np.ndarray:
        start = (self.file.bufferViews[view].byteOffset or 0) + (offset or 0)
        return np.frombuffer(self.file.binary_blob(), DTYPES[kind], count * width, start).reshape(count, width)

    def accessor(self, index: int) -> np.ndarray:
        a = self.file.accessors[index]
        width = WIDTHS[a.type]
        values = np.zeros((a.count, width), DTYPES[a.componentType])
        if a.bufferView is not None:
            values[:] = self._read(a.bufferView, a.byteOffset, a.componentType, a.count, width)
        if a.sparse is not None:
            rows, given = a.sparse.indices, a.sparse.values
            where = self._read(rows.bufferView, rows.byteOffset, rows.componentType, a.sparse.count, 1)
            values[where[:, 0]] = self._read(given.bufferView, given.byteOffset, a.componentType, a.sparse.count, width)
        return values

    def keys(self, node: str, path: str) -> tuple[np.ndarray, np.ndarray]:
        """Times (K,) and values (K, C) of a channel."""
        for channel in self.animation.channels:
            if self.names[channel.target.node] == node and channel.target.path == path:
                sampler = self.animation.samplers[channel.sampler]
                assert sampler.interpolation == "LINEAR"
                times = self.accessor(sampler.input)[:, 0].astype(float)
                return times, self.accessor(sampler.output).astype(float).reshape(len(times), -1)
        raise AssertionError(f"no channel {node}.{path}")

    def at(self, node: str, path: str, time_s: float) -> np.ndarray:
        times, values = self.keys(node, path)
        time_s = float(np.clip(time_s, times[0], times[-1]))
        if path == "rotation":
            return Slerp(times, Rotation.from_quat(values))([time_s]).as_quat()[0]
        return np.array([np.interp(time_s, times, column) for column in values.T])

    def transform(self, node: str, time_s: float) -> np.ndarray:
        """(4, 4) from a node to the scene."""
        index = self.names.index(node)
        animated = {c.target.path for c in self.animation.channels if c.target.node == index}
        own, found = np.eye(4), self.file.nodes[index]
        own[:3, 3] = self.at(node, "translation", time_s) if "translation" in animated else found.translation or 0
        turn = self.at(node, "rotation", time_s) if "rotation" in animated else found.rotation or [0, 0, 0, 1]
        own[:3, :3] = Rotation.from_quat(turn).as_matrix()
        parents = [other.name for other in self.file.nodes if index in (other.children or [])]
        return self.transform(parents[0], time_s) @ own if parents else own

    def corners(self, time_s: float) -> np.ndarray:
        """Corners (F, 3, 3) of the head's triangles at a time, in the head's own frame."""
        weights, corners = self.at("head", "weights", time_s), []
        for primitive in self.file.meshes[0].primitives:
            points = self.accessor(primitive.attributes.POSITION).astype(float)
            for weight, target in zip(weights, primitive.targets, strict=True):
                if weight:
                    points = points + weight * self.accessor(target["POSITION"])
            corners.append(points[self.accessor(primitive.indices).reshape(-1, 3).astype(int)])
        return np.concatenate(corners)

    def project(self, points: np.ndarray, time_s: float, size: tuple[int, int]) -> np.ndarray:
        """Pixels of points (N, 3) of the head in a picture of that size taken with the file's camera."""
        to_camera = np.linalg.inv(self.transform("camera", time_s)) @ self.transform("head", time_s)
        x, y, z = to_camera[:3, :3] @ points.T + to_camera[:3, 3:]
        lens = self.file.cameras[0].perspective
        ndc_y = y / -z / np.tan(lens.yfov / 2)
        ndc_x = x / -z / np.tan(lens.yfov / 2) / lens.aspectRatio
        return np.stack([(1 + ndc_x) / 2 * size[0], (1 - ndc_y) / 2 * size[1]], axis=1)


@pytest.fixture(scope="module")
def track(open_head) -> Track:
    return synthetic_track(open_head, 40, lost=slice(10, 15))


@pytest.fixture(scope="module", params=[".glb", ".gltf"])
def player(track, request, tmp_path_factory) -> Player:
    path = tmp_path_factory.mktemp("animation") / f"clip{request.param}"
    save_animation(track, path)
    return Player(path)


def in_order(head: HeadModel, vertices: np.ndarray) -> np.ndarray:
    """Corners (F, 3, 3) in the order of the primitives."""
    index = np.concatenate([part.face_index for part in material_parts(head)])
    return vertices[head.faces.numpy()[index]]


def posed(track: Track, arkit: np.ndarray) -> np.ndarray:
    """Vertices of the person with these weights, computed with the head model."""
    params = FaceParams(shape=torch.from_numpy(track.shape), expression=torch.from_numpy(arkit))
    return track.head(params).vertices.numpy()


def eye_corners(head: HeadModel) -> np.ndarray:
    return np.all(in_order(head, head.region_mask("eyeballs").numpy()), axis=1)


def touching_corners(head: HeadModel) -> np.ndarray:
    """Corners at lids and lips, which touch on the head and may overlap as sums of targets."""
    touching = np.zeros(len(head.v_template), dtype=bool)
    touching[head.data.contacts.follower.numpy()] = True
    return np.any(in_order(head, touching), axis=1)


@pytest.mark.parametrize("row", [0, 3, 20, 39])
def test_mesh_equals_head_model_of_the_frame(player, track, row):
    error = np.abs(player.corners(track.time_s[row]) - in_order(track.head, posed(track, track.arkit[row])))
    other = eye_corners(track.head) | touching_corners(track.head)
    assert error[~other].max() < 1e-4  # lids follow the eyeballs a little
    assert error[other].max() < 5e-4


@pytest.mark.parametrize("row", [0, 3, 20, 39])
def test_projection_covers_the_face_in_the_video(player, track, row):
    outside = ~(eye_corners(track.head) | touching_corners(track.head))
    points = player.corners(track.time_s[row])[outside].reshape(-1, 3)
    face = in_order(track.head, posed(track, track.arkit[row]))[outside].reshape(-1, 3)
    expected = track.camera(row).project(face)
    assert np.ptp(expected[:, 0]) > 50
    np.testing.assert_allclose(player.project(points, track.time_s[row], track.image_size), expected, atol=0.05)


def test_motion_between_frames_is_linear(player, track):
    middle = (track.time_s[3] + track.time_s[4]) / 2
    np.testing.assert_allclose(player.at("head", "weights", middle), track.arkit[3:5].mean(axis=0), atol=1e-6)
    yaw, pitch, _ = angles_from_rotation(player.transform("head", middle)[:3, :3])
    assert yaw == pytest.approx(track.angles_deg[3:5, 0].mean(), abs=1e-3)
    assert pitch == pytest.approx(5, abs=0.01)


def test_no_motion_while_the_face_is_lost(player, track):
    times, _ = player.keys("head", "weights")
    expected = np.delete(track.time_s, range(10, 14))  # the last lost frame has a key
    np.testing.assert_allclose(times, expected, rtol=1e-6)
    for path in ("weights", "rotation", "translation"):
        before = player.at("head", path, track.time_s[9])
        for time_s in (track.time_s[10], track.time_s[12] + 0.01, track.time_s[14]):
            np.testing.assert_allclose(player.at("head", path, time_s), before, atol=1e-6)
        assert np.abs(player.at("head", path, track.time_s[15]) - before).max() > 0.001


def test_time_counts_from_the_first_frame_of_the_clip(player, track):
    times, _ = player.keys("head", "weights")
    assert times[0] == pytest.approx(3 / 25) and times[-1] == pytest.approx(42 / 25)
    accessor = player.file.accessors[player.animation.samplers[0].input]
    assert [accessor.min, accessor.max] == [[np.float32(times[0])], [np.float32(times[-1])]]


def test_yaw_rotates_the_nose_to_the_subjects_left(open_head, tmp_path):
    """The subject's left is +X, the right side of the image."""
    turned = np.stack([rotation_from_angles(yaw, 0, 0) for yaw in (0, 30)]).astype(np.float32)
    save_animation(synthetic_track(open_head, 2).replace(rotation_rotmat=turned), tmp_path / "clip.glb")
    player = Player(tmp_path / "clip.glb")
    nose = open_head.v_template.numpy()[[int(open_head.v_template[:, 2].argmax())]]
    times = player.keys("head", "rotation")[0]
    assert player.transform("head", times[1])[0, 2] == pytest.approx(0.5, abs=1e-6)  # where +Z of the head points
    u = [player.project(nose, time_s, (640, 480))[0, 0] for time_s in times]
    assert u[1] > u[0] + 20


def test_left_weights_move_the_left_side(player, track):
    start, end = player.corners(track.time_s[0]), player.corners(track.time_s[-1])
    moved = np.linalg.norm(end - start, axis=2).ravel()
    assert np.average(start[..., 0].ravel(), weights=moved) > 0.01
    assert track.arkit[-1, ARKIT_NAMES.index("mouthSmileLeft")] == 1


def test_a_blink_lasts_one_frame(player, track):
    times, weights = player.keys("head", "weights")
    assert weights.shape[1] == 52 and player.file.meshes[0].extras["targetNames"] == list(ARKIT_NAMES)
    blink = weights[:, ARKIT_NAMES.index("eyeBlinkLeft")]
    assert np.flatnonzero(blink).tolist() == [int(np.argmin(np.abs(times - track.time_s[20])))]


def test_eye_nodes_move_an_eyeball_as_the_head_does(player, track):
    """An eyeball that rotates with the node coincides with that of the head."""
    row, head = 30, track.head
    neutral, moved = posed(track, np.zeros(52, np.float32)), posed(track, track.arkit[row])
    rotmat, shift = track.rotation_rotmat[row], track.translation_m[row]
    for side in ("Left", "Right"):
        ball = head.region_mask(f"{side.lower()}_eyeball").numpy()
        own = player.transform(f"eye{side}", track.time_s[row])
        center = np.array(player.file.nodes[player.names.index(f"eye{side}")].translation)
        found = (neutral[ball] - center) @ own[:3, :3].T + own[:3, 3]
        np.testing.assert_allclose(found, moved[ball] @ rotmat.T + shift, atol=2e-5)
    assert np.abs(moved - neutral)[head.region_mask("right_eyeball").numpy()].max() > 0.001


def test_quaternions_take_the_short_path(open_head, tmp_path):
    turns = np.stack([rotation_from_angles(yaw, 0, 0) for yaw in np.linspace(-175, 400, 40)]).astype(np.float32)
    save_animation(synthetic_track(open_head, 40).replace(rotation_rotmat=turns), tmp_path / "clip.glb")
    _, quaternions = Player(tmp_path / "clip.glb").keys("head", "rotation")
    assert ((quaternions[1:] * quaternions[:-1]).sum(axis=1) > 0.9).all()
    np.testing.assert_allclose(np.linalg.norm(quaternions, axis=1), 1, atol=1e-6)


def test_rest_state_is_the_first_frame(player, track):
    head = player.file.nodes[0]
    np.testing.assert_allclose(Rotation.from_quat(head.rotation).as_matrix(), track.rotation_rotmat[0], atol=1e-6)
    np.testing.assert_allclose(head.translation, track.translation_m[0], atol=1e-6)
    np.testing.assert_allclose(player.file.meshes[0].weights, track.arkit[0], atol=1e-6)
    assert head.extras["fps"] == 25 and head.extras["method"] == "refine"
    assert player.file.scenes[0].nodes == [player.names.index("clip")]


def test_orthographic_track_keeps_size_and_position(open_head, tmp_path):
    """In each frame the head is as large as in the image, at the distance of the assumed focal length."""
    scale = np.linspace(600, 900, 40).astype(np.float32)
    flat = synthetic_track(open_head, 40)
    flat.translation_m[:, 2] = 0
    flat = flat.replace(scale_px_per_m=scale, center_px=np.array([300, 200], np.float32))
    flat = replace(flat, focal_px=None)
    save_animation(flat, tmp_path / "clip.glb")
    player, origin = Player(tmp_path / "clip.glb"), np.zeros((1, 3))
    focal_px = default_focal_px(640, 480, 750)
    across = np.array([[-0.05, 0, 0], [0.05, 0, 0]])
    for row in (0, 39):
        time_s, turned = flat.time_s[row], across @ flat.rotation_rotmat[row]  # level in the picture
        np.testing.assert_allclose(
            player.project(origin, time_s, (640, 480)), flat.camera(row).project(origin), atol=0.01
        )
        left, right = player.project(turned, time_s, (640, 480))
        assert right[0] - left[0] == pytest.approx(0.1 * scale[row], rel=1e-5)
        assert player.transform("head", time_s)[2, 3] == pytest.approx(-focal_px / scale[row], rel=1e-5)


def test_keys_of_single_lost_frames_and_of_lost_ends(open_head):
    track = synthetic_track(open_head, 8, lost=slice(3, 4))
    assert key_frames(track).row.tolist() == [0, 1, 2, 2, 4, 5, 6, 7]
    ends = synthetic_track(open_head, 8, lost=slice(0, 3))
    assert key_frames(ends).row.tolist() == [3, 4, 5, 6, 7]
    ends = synthetic_track(open_head, 8, lost=slice(5, 8))
    assert key_frames(ends).row.tolist() == [0, 1, 2, 3, 4]


def test_a_track_without_a_face_is_refused(open_head, tmp_path):
    with pytest.raises(Smirk3dError, match="lost in all its frames"):
        save_animation(synthetic_track(open_head, 5, lost=slice(0, 5)), tmp_path / "clip.glb")
    assert not list(tmp_path.iterdir())


def test_heads_with_other_parameters(tiny_data, open_head, tmp_path):
    """A head whose targets are its expression components; the weight of its residual target is 0."""
    head = HeadModel(tiny_data)
    track = with_other_head(synthetic_track(open_head, 6), head)
    weights = target_weights(track)
    np.testing.assert_array_equal(weights, np.pad(track.expression, ((0, 0), (0, 1))))
    save_animation(track, tmp_path / "clip.glb")
    player = Player(tmp_path / "clip.glb")
    assert player.file.meshes[0].extras["targetNames"] == [*head.expression_names, RESIDUAL_TARGET]
    np.testing.assert_allclose(player.keys("head", "weights")[1], weights, atol=1e-6)
    for primitive in player.file.meshes[0].primitives:
        assert not player.accessor(primitive.targets[-1]["POSITION"]).any()


def test_trimesh_reads_the_file(track, tmp_path):
    trimesh = pytest.importorskip("trimesh")
    save_animation(track, tmp_path / "clip.glb")
    scene = trimesh.load(tmp_path / "clip.glb")
    assert sum(len(mesh.faces) for mesh in scene.geometry.values()) == len(track.head.faces)
    placed = scene.to_geometry().bounds.mean(axis=0)
    assert placed[2] == pytest.approx(-1, abs=0.1)  # in front of the camera


def test_validator_reports_no_errors(track, tmp_path):
    folder = os.environ.get("GLTF_VALIDATOR", ".")
    if shutil.which("node") is None or not (Path(folder) / "node_modules/gltf-validator").is_dir():
        pytest.skip("needs node and the npm package gltf-validator (folder in GLTF_VALIDATOR)")
    texture = Texture(np.full((16, 16, 3), 128, np.uint8), np.ones((16, 16), bool), track.head.uv.numpy())
    files = [tmp_path / "plain.glb", tmp_path / "textured.gltf", tmp_path / "orthographic.glb", tmp_path / "one.glb"]
    flat = replace(track, focal_px=None)
    save_animation(track, files[0])
    save_animation(track, files[1], texture)
    save_animation(flat, files[2])
    save_animation(track.frames(slice(0, 1)), files[3])
    script = Path(__file__).parents[2] / "conformance/validate_gltf.mjs"
    result = subprocess.run(["node", script, *files], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
