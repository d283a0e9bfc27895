"""Animated glTF 2.0: the person of a track as a character that moves as in the clip.

The scene is the clip's camera frame: a node "clip" holds the camera, at the origin and looking along -Z, and the
node "head", whose transform is the pose `X_camera = R X_head + t`. Seen through that camera the head covers the
face in the video. One animation, "clip", moves

- the morph weights: those of `morph_targets`, the 52 ARKit weights on every head that can show them;
- the rotation and the translation of "head";
- the rotation of "eyeLeft" and "eyeRight", empty nodes at the centres of the eyeballs. The head's own eyeballs
  follow the eyeLook targets; the empty nodes are for an animator's own eyeballs.

Times are seconds from the first frame of the clip, so that sound and video stay in step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pygltflib as gl
import roma
import torch

from smirk3d.assets import atomic_path
from smirk3d.errors import Smirk3dError
from smirk3d.export.gltf.buffer import BufferBuilder
from smirk3d.export.gltf.document import glb_bytes, gltf_bytes
from smirk3d.export.gltf.head import build_character
from smirk3d.export.gltf.morph_targets import has_residual_target, uses_arkit_basis
from smirk3d.face import Face
from smirk3d.geometry.camera import default_focal_px
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.data import JOINT_NAMES
from smirk3d.params import FaceParams
from smirk3d.track import Track

if TYPE_CHECKING:
    from smirk3d.export.texture import Texture

CLIP_NAME = "clip"
EYE_NODES = ("eyeLeft", "eyeRight")
_HEAD_NODE = 0
NEAREST_M = 0.01
"""What is nearer to the camera is not drawn."""


@dataclass(frozen=True)
class Keys:
    """Where an animation has keys.

    Attributes:
        row: (K,) int64 rows of the track that the values are taken from.
        time_s: (K,) float64, rising, in seconds from the first frame of the clip.
    """

    row: np.ndarray
    time_s: np.ndarray


@dataclass(frozen=True)
class Lens:
    """A pinhole camera whose axis meets the centre of the picture, and where it sees the head.

    Attributes:
        focal_px: Focal length in pixels. translation_m: (T, 3) origin of the head in the camera frame.
    """

    focal_px: float
    translation_m: np.ndarray


@dataclass(frozen=True, eq=False)
class Performance:
    """A track as animations have it, whatever the format of the file: K keys of T morph targets and three rotations.

    Attributes:
        face: The person at rest, in the pose of the first key.
        time_s: (K,) float64, rising, in seconds from the first frame of the clip.
        weights: (K, T) float32, of the targets of `morph_targets`.
        rotation: (K, 4) float64 unit quaternions x, y, z, w, head frame to camera frame.
        translation_m: (K, 3) origin of the head in the camera frame.
        eyes: Left and right, (K, 4) float64 unit quaternions each, turns in the head frame.
        eye_centers_m: (2, 3) what the eyes turn about, in the head frame.
        focal_px: Of the camera, see `Lens`.
    """

    face: Face
    time_s: np.ndarray
    weights: np.ndarray
    rotation: np.ndarray
    translation_m: np.ndarray
    eyes: tuple[np.ndarray, np.ndarray]
    eye_centers_m: np.ndarray
    focal_px: float


def save_animation(track: Track, path: Path, texture: Texture | None = None) -> None:
    """Write a track as an animated `.glb`, or as `.gltf` with the buffer embedded, whole or not at all.

    Where the face was lost there are no keys, and the head keeps its last state until the face returns: one more
    key at the time of the last lost frame keeps importers from inventing a movement. On heads with `RESIDUAL_TARGET`
    that target does nothing here. The camera is that of `clip_lens`.

    Args:
        track: One person; the identity is the same in all frames.
        path: Target. texture: Skin texture; without it the skin has plain vertex colours.

    Raises:
        Smirk3dError: The face was lost in all frames, or writing failed.
    """
    document = build_animation(track, texture)
    content = (glb_bytes if path.suffix.lower() == ".glb" else gltf_bytes)(document)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def build_animation(track: Track, texture: Texture | None = None) -> gl.GLTF2:
    """Build the document of `save_animation`.

    Raises:
        Smirk3dError: The face was lost in all frames.
    """
    shown = track_performance(track)
    builder = BufferBuilder()
    document = build_character(builder, shown.face, texture)
    _add_nodes(document, track.image_size, shown)
    head, first_eye = document.nodes[_HEAD_NODE], len(document.nodes) - 2
    head.rotation, head.translation = shown.rotation[0].tolist(), shown.translation_m[0].tolist()
    extras: Any = head.extras
    extras.update(fps=track.rate_fps, track=track.number)
    document.meshes[0].weights = shown.weights[0].tolist()
    animation = _Channels(builder, shown.time_s)
    animation.add(_HEAD_NODE, "weights", shown.weights.reshape(-1, 1))
    animation.add(_HEAD_NODE, "rotation", shown.rotation)
    animation.add(_HEAD_NODE, "translation", shown.translation_m)
    for index, turns in enumerate(shown.eyes):
        document.nodes[first_eye + index].rotation = turns[0].tolist()
        animation.add(first_eye + index, "rotation", turns)
    document.animations = [animation.built(track.rate_fps)]
    builder.attach_to(document)
    return document


def track_performance(track: Track) -> Performance:
    """Return what the animation of a track shows, see `save_animation`.

    Raises:
        Smirk3dError: The face was lost in all frames.
    """
    keys, lens = track_keys(track), clip_lens(track)
    left, right = (_quaternions_of_rotvec(eye[keys.row]) for eye in np.split(track.eyes, 2, axis=1))
    return Performance(
        face=_neutral(track.face(int(keys.row[0]))),
        time_s=keys.time_s,
        weights=target_weights(track)[keys.row],
        rotation=_quaternions(track.rotation_rotmat[keys.row]),
        translation_m=lens.translation_m[keys.row],
        eyes=(left, right),
        eye_centers_m=_eye_centers_m(track),
        focal_px=lens.focal_px,
    )


def track_keys(track: Track) -> Keys:
    """Return a key for each known frame and one, with the value before it, at the end of each gap.

    Raises:
        Smirk3dError: The face was lost in all frames.
    """
    known, rows = track.known, np.flatnonzero(track.known)
    if not len(rows):
        raise Smirk3dError(f"track {track.number}: the face was lost in all its frames; there is nothing to animate")
    gap_ends = rows[0] + np.flatnonzero(~known[rows[0] : -1] & known[rows[0] + 1 :])
    held = rows[np.searchsorted(rows, gap_ends) - 1]
    at = np.concatenate([rows, gap_ends])
    order = np.argsort(at)
    return Keys(np.concatenate([rows, held])[order], track.time_s[at[order]])


def clip_lens(track: Track) -> Lens:
    """Return the one camera of a clip.

    It is the track's own where that has a focal length; glTF cannot shift a picture, so a principal point off the
    centre is left out. A scaled orthographic track gets the focal length that `default_focal_px` assumes for its
    median scale, and each frame the distance at which the head's origin is as large as in the picture.
    """
    if track.focal_px is not None:
        return Lens(track.focal_px, track.translation_m)
    width, height = track.image_size
    focal_px = default_focal_px(width, height, float(np.median(track.scale_px_per_m[track.known])))
    shift_px = (track.center_px - np.array([width, height]) / 2) * (1, -1)
    across_m = track.translation_m[:, :2] + shift_px / track.scale_px_per_m[:, None]
    distance_m = focal_px / track.scale_px_per_m
    return Lens(focal_px, np.column_stack([across_m, -distance_m]))


def target_weights(track: Track) -> np.ndarray:
    """Return the weights (T, targets) of the morph targets of `morph_targets`; that of `RESIDUAL_TARGET` is 0."""
    weights = track.arkit if uses_arkit_basis(track.head) else track.expression
    return np.pad(weights, ((0, 0), (0, int(has_residual_target(track.head)))))


class _Channels:
    """Collects the channels of one animation, all with the same times."""

    def __init__(self, builder: BufferBuilder, time_s: np.ndarray) -> None:
        self._builder, self._time = builder, builder.add_keys(time_s[:, None], bounds=True)
        self._samplers: list[gl.AnimationSampler] = []
        self._channels: list[gl.AnimationChannel] = []

    def add(self, node: int, what: str, values: np.ndarray) -> None:
        output = self._builder.add_keys(values)
        self._samplers.append(gl.AnimationSampler(input=self._time, output=output, interpolation=gl.ANIM_LINEAR))
        target = gl.AnimationChannelTarget(node=node, path=what)
        self._channels.append(gl.AnimationChannel(sampler=len(self._samplers) - 1, target=target))

    def built(self, rate_fps: float) -> gl.Animation:
        animation = gl.Animation(name=CLIP_NAME, channels=self._channels, samplers=self._samplers)
        animation.extras = {"fps": rate_fps}
        return animation


def _neutral(face: Face) -> Face:
    """Return a face at rest, so that `RESIDUAL_TARGET` is empty."""
    return replace(
        face,
        vertices=face.neutral_vertices,
        expression=np.zeros_like(face.expression),
        arkit=dict.fromkeys(ARKIT_NAMES, 0.0),
    )


def _add_nodes(document: gl.GLTF2, image_size: tuple[int, int], shown: Performance) -> None:
    """Append "clip" over the head, its camera, and the eyes at last."""
    width, height = image_size
    perspective = gl.Perspective(
        aspectRatio=width / height, yfov=2 * float(np.arctan(height / 2 / shown.focal_px)), znear=NEAREST_M, zfar=None
    )
    document.cameras = [gl.Camera(name="camera", type="perspective", perspective=perspective)]
    document.nodes.append(gl.Node(name=CLIP_NAME, children=[_HEAD_NODE, 2]))
    document.nodes.append(gl.Node(name="camera", camera=0))
    document.nodes[_HEAD_NODE].children = [3, 4]
    for name, center_m in zip(EYE_NODES, shown.eye_centers_m, strict=True):
        document.nodes.append(gl.Node(name=name, translation=center_m.tolist()))
    document.scenes[0].nodes = [1]


@torch.no_grad()
def _eye_centers_m(track: Track) -> np.ndarray:
    """Return the joints (2, 3) of the person's left and right eye in the head frame."""
    shape = torch.from_numpy(track.shape).to(track.head.v_template)
    joints = track.head(FaceParams(shape=shape)).joints.cpu().numpy()
    return joints[[JOINT_NAMES.index("left_eye"), JOINT_NAMES.index("right_eye")]]


def _quaternions(rotmat: np.ndarray) -> np.ndarray:
    """Return unit quaternions (K, 4) x, y, z, w of rotations (K, 3, 3), each on the side of the one before.

    q and -q are the same rotation, but what lies between two keys depends on their signs.
    """
    quaternions = roma.rotmat_to_unitquat(torch.from_numpy(rotmat.astype(np.float64))).numpy()
    flips = np.where((quaternions[1:] * quaternions[:-1]).sum(axis=1) < 0, -1.0, 1.0)
    return quaternions * np.cumprod([1.0, *flips])[:, None]


def _quaternions_of_rotvec(rotvec: np.ndarray) -> np.ndarray:
    return _quaternions(roma.rotvec_to_rotmat(torch.from_numpy(rotvec.astype(np.float64))).numpy())
