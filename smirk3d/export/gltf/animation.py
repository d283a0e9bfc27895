"""Animated glTF 2.0: the person of a track as a character with the motion of the clip.

The scene is the clip's camera frame: a node "clip" holds the camera, at the origin and looking along -Z, and the
node "head", whose transform is the pose `X_camera = R X_head + t`. Seen through that camera the head covers the
face in the video. One animation, "clip", moves

- the morph weights, those of `morph_targets`: the 52 ARKit weights on every head to which they can be transferred;
- the rotation and the translation of "head";
- the rotation of "eyeLeft" and "eyeRight", empty nodes at the centres of the eyeballs. The head's own eyeballs
  follow the eyeLook targets; the empty nodes are for eyeballs that an animator adds.

Times are seconds from the first frame of the clip, so that audio and video stay synchronous.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pygltflib as gl
import torch

from smirk3d.assets import atomic_path
from smirk3d.errors import Smirk3dError
from smirk3d.export.gltf.buffer import BufferBuilder
from smirk3d.export.gltf.document import glb_bytes, gltf_bytes
from smirk3d.export.gltf.head import build_character
from smirk3d.export.gltf.morph_targets import has_residual_target, uses_arkit_basis
from smirk3d.face import Face
from smirk3d.geometry.camera import default_focal_px
from smirk3d.geometry.rotations import rotmat_to_unitquat, rotvec_to_rotmat
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.data import JOINT_NAMES
from smirk3d.params import FaceParams
from smirk3d.track import Track

if TYPE_CHECKING:
    from smirk3d.export.texture import Texture

CLIP_NAME = "clip"
EYE_NODES = ("eyeLeft", "eyeRight")
_HEAD_NODE = 0
NEAR_PLANE_M = 0.01
"""Distance of the camera's near clipping plane."""


@dataclass(frozen=True)
class KeyFrames:
    """The K key frames of an animation.

    Attributes:
        row: (K,) int64 rows of the track whose values the keys have.
        time_s: (K,) float64, increasing, in seconds from the first frame of the clip.
    """

    row: np.ndarray
    time_s: np.ndarray


@dataclass(frozen=True)
class PinholeCamera:
    """A pinhole camera whose principal point is the centre of the image, and the head's positions in its frame.

    Attributes:
        focal_px: Focal length in pixels.
        translation_m: (T, 3) metres, origin of the head in the camera frame.
    """

    focal_px: float
    translation_m: np.ndarray


@dataclass(frozen=True, eq=False)
class TrackAnimation:
    """The animation of a track, independent of the file format: K key frames of T morph targets and three rotations.

    Attributes:
        face: The person with a neutral face, in the pose of the first key.
        time_s: (K,) float64, increasing, in seconds from the first frame of the clip.
        weights: (K, T) float32 weights of the targets of `morph_targets`.
        rotation: (K, 4) float64 unit quaternions x, y, z, w, head frame to camera frame.
        translation_m: (K, 3) metres, origin of the head in the camera frame.
        eyes: (K, 4) float64 unit quaternions of the left and of the right eye, rotations in the head frame.
        eye_centers_m: (2, 3) metres, rotation centres of the two eyes in the head frame.
        focal_px: Focal length of the camera in pixels, see `PinholeCamera`.
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

    There are no keys in frames where the face is lost: the head keeps its last state until the face is found again. One
    more key at the last lost frame keeps importers from interpolating across the gap. On heads with `RESIDUAL_TARGET`
    the weight of that target is 0. The camera is that of `clip_camera`.

    Args:
        track: One person; the identity is the same in all frames.
        path: Target, ending in .glb or .gltf.
        texture: Skin texture; by default that of the face's appearance, without which the skin has vertex colours.

    Raises:
        Smirk3dError: The face was lost in all frames, or writing failed.
    """
    document = build_animation(track, texture)
    content = (glb_bytes if path.suffix.lower() == ".glb" else gltf_bytes)(document)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def build_animation(track: Track, texture: Texture | None = None) -> gl.GLTF2:
    """Build the document that `save_animation` writes; arguments as there.

    Raises:
        Smirk3dError: The face was lost in all frames.
    """
    animation = track_animation(track)
    builder = BufferBuilder()
    document = build_character(builder, animation.face, texture)
    _add_nodes(document, track.image_size, animation)
    head, first_eye = document.nodes[_HEAD_NODE], len(document.nodes) - 2
    head.rotation, head.translation = animation.rotation[0].tolist(), animation.translation_m[0].tolist()
    extras: Any = head.extras
    extras.update(fps=track.rate_fps, track=track.number)
    document.meshes[0].weights = animation.weights[0].tolist()
    channels = _Channels(builder, animation.time_s)
    channels.add(_HEAD_NODE, "weights", animation.weights.reshape(-1, 1))
    channels.add(_HEAD_NODE, "rotation", animation.rotation)
    channels.add(_HEAD_NODE, "translation", animation.translation_m)
    for index, rotations in enumerate(animation.eyes):
        document.nodes[first_eye + index].rotation = rotations[0].tolist()
        channels.add(first_eye + index, "rotation", rotations)
    document.animations = [channels.build(track.rate_fps)]
    builder.attach_to(document)
    return document


def track_animation(track: Track) -> TrackAnimation:
    """Return the animation of a track, see `save_animation`.

    Raises:
        Smirk3dError: The face was lost in all frames.
    """
    keys, camera = key_frames(track), clip_camera(track)
    left, right = (_quaternions_of_rotvec(eye[keys.row]) for eye in np.split(track.eyes, 2, axis=1))
    return TrackAnimation(
        face=_neutral_face(track.face(int(keys.row[0]))),
        time_s=keys.time_s,
        weights=target_weights(track)[keys.row],
        rotation=_quaternions(track.rotation_rotmat[keys.row]),
        translation_m=camera.translation_m[keys.row],
        eyes=(left, right),
        eye_centers_m=_eye_centers_m(track),
        focal_px=camera.focal_px,
    )


def key_frames(track: Track) -> KeyFrames:
    """Return a key for each frame with values, and one that repeats the last values at the end of each gap.

    Raises:
        Smirk3dError: The face was lost in all frames.
    """
    known, rows = track.known, np.flatnonzero(track.known)
    if not len(rows):
        raise Smirk3dError(f"track {track.number}: the face was lost in all its frames; there is nothing to animate")
    # Lost frames whose next frame has values again.
    gap_ends = rows[0] + np.flatnonzero(~known[rows[0] : -1] & known[rows[0] + 1 :])
    last_known = rows[np.searchsorted(rows, gap_ends) - 1]
    key_rows = np.concatenate([rows, gap_ends])
    order = np.argsort(key_rows)
    return KeyFrames(np.concatenate([rows, last_known])[order], track.time_s[key_rows[order]])


def clip_camera(track: Track) -> PinholeCamera:
    """Return the camera of a clip, one for all frames.

    It is the track's own where that has a focal length; a principal point off the centre is ignored, which
    glTF cannot represent. A scaled orthographic track gets the focal length that `default_focal_px` assumes for its
    median scale, and in each frame the distance at which the scale at the head's origin is that of the track.
    """
    if track.focal_px is not None:
        return PinholeCamera(track.focal_px, track.translation_m)
    width, height = track.image_size
    focal_px = default_focal_px(width, height, float(np.median(track.scale_px_per_m[track.known])))
    # The camera axis meets the image centre, so a shifted principal point becomes a shift of the head.
    shift_px = (track.center_px - np.array([width, height]) / 2) * (1, -1)
    across_m = track.translation_m[:, :2] + shift_px / track.scale_px_per_m[:, None]
    distance_m = focal_px / track.scale_px_per_m
    return PinholeCamera(focal_px, np.column_stack([across_m, -distance_m]))


def target_weights(track: Track) -> np.ndarray:
    """Return the weights (T, targets) float32 of the targets of `morph_targets`, 0 for `RESIDUAL_TARGET`."""
    weights = track.arkit if uses_arkit_basis(track.head) else track.expression
    return np.pad(weights, ((0, 0), (0, int(has_residual_target(track.head)))))


class _Channels:
    """Collects the channels of one animation, which share their times."""

    def __init__(self, builder: BufferBuilder, time_s: np.ndarray) -> None:
        self._builder, self._time = builder, builder.add_keys(time_s[:, None], bounds=True)
        self._samplers: list[gl.AnimationSampler] = []
        self._channels: list[gl.AnimationChannel] = []

    def add(self, node: int, target_property: str, values: np.ndarray) -> None:
        output = self._builder.add_keys(values)
        self._samplers.append(gl.AnimationSampler(input=self._time, output=output, interpolation=gl.ANIM_LINEAR))
        target = gl.AnimationChannelTarget(node=node, path=target_property)
        self._channels.append(gl.AnimationChannel(sampler=len(self._samplers) - 1, target=target))

    def build(self, rate_fps: float) -> gl.Animation:
        animation = gl.Animation(name=CLIP_NAME, channels=self._channels, samplers=self._samplers)
        animation.extras = {"fps": rate_fps}
        return animation


def _neutral_face(face: Face) -> Face:
    """Return the same person with a neutral face, so that `RESIDUAL_TARGET` moves nothing."""
    return replace(
        face,
        vertices=face.neutral_vertices,
        expression=np.zeros_like(face.expression),
        arkit=dict.fromkeys(ARKIT_NAMES, 0.0),
    )


def _add_nodes(document: gl.GLTF2, image_size: tuple[int, int], animation: TrackAnimation) -> None:
    """Append the node "clip", which is the parent of the head, then its camera, then the eyes."""
    width, height = image_size
    perspective = gl.Perspective(
        aspectRatio=width / height,
        yfov=2 * float(np.arctan(height / 2 / animation.focal_px)),
        znear=NEAR_PLANE_M,
        zfar=None,
    )
    document.cameras = [gl.Camera(name="camera", type="perspective", perspective=perspective)]
    document.nodes.append(gl.Node(name=CLIP_NAME, children=[_HEAD_NODE, 2]))
    document.nodes.append(gl.Node(name="camera", camera=0))
    document.nodes[_HEAD_NODE].children = [3, 4]
    for name, center_m in zip(EYE_NODES, animation.eye_centers_m, strict=True):
        document.nodes.append(gl.Node(name=name, translation=center_m.tolist()))
    document.scenes[0].nodes = [1]


@torch.no_grad()
def _eye_centers_m(track: Track) -> np.ndarray:
    """Return the joints (2, 3) of the person's left and right eye, metres in the head frame."""
    shape = torch.from_numpy(track.shape).to(track.head.v_template)
    joints = track.head(FaceParams(shape=shape)).joints.cpu().numpy()
    return joints[[JOINT_NAMES.index("left_eye"), JOINT_NAMES.index("right_eye")]]


def _quaternions(rotmat: np.ndarray) -> np.ndarray:
    """Return unit quaternions (K, 4) x, y, z, w of rotations (K, 3, 3), without sign changes between neighbours.

    q and -q are the same rotation, but interpolation between two keys takes the long way if their signs differ.
    """
    quaternions = rotmat_to_unitquat(torch.from_numpy(rotmat.astype(np.float64))).numpy()
    # The dot product of neighbours is negative where the sign changes; the changes accumulate along the track.
    flips = np.where((quaternions[1:] * quaternions[:-1]).sum(axis=1) < 0, -1.0, 1.0)
    return quaternions * np.cumprod([1.0, *flips])[:, None]


def _quaternions_of_rotvec(rotvec: np.ndarray) -> np.ndarray:
    return _quaternions(rotvec_to_rotmat(torch.from_numpy(rotvec.astype(np.float64))).numpy())
