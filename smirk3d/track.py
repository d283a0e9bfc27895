"""The result for one person in a video."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from smirk3d.equality import EqualByContents
from smirk3d.face import Face, ImageFit, Visibility, assemble_face
from smirk3d.geometry.camera import Camera
from smirk3d.geometry.euler import angles_from_rotation
from smirk3d.head import registry
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.render.appearance.face_appearance import FaceAppearance

Array: TypeAlias = NDArray[Any]


class Status(IntEnum):
    """How the values of a frame were obtained."""

    SEEN = 0
    """The face was detected."""
    FILLED = 1
    """The face was not detected for a short time; the values are interpolated between the frames around the gap."""
    LOST = 2
    """The face was not detected for a longer time; the values are NaN."""


@dataclass(frozen=True, eq=False)
class Track(EqualByContents):
    """One person in T consecutive frames of a clip.

    A plain value, as `Face`: it can be compared, copied and pickled, and `head` finds the head model by `head_id`.
    Coordinate frames as in `smirk3d.geometry.camera`. Floating-point arrays are float32, except the times, and NaN
    where `status` is LOST.

    Attributes:
        number: Index among the tracks of the clip, from 0.
        frame: (T,) int64 indices among all frames of the clip, from 0, without gaps.
        time_s: (T,) float64 presentation time of each frame, in seconds from the first frame of the clip.
        status: (T,) uint8, see `Status`.
        shape: (S,) identity coefficients, the same in all frames.
        expression: (T, E) expression coefficients.
        arkit: (T, 52) ARKit weights in [0, 1] in Apple's order.
        jaw: (T, 3) rotation vectors in radians.
        eyelids: (T, 2) closing of the left and the right eyelid in [0, 1].
        eyes: (T, 6) rotation vectors of the left and the right eyeball in radians.
        rotation_rotmat: (T, 3, 3) rotation matrices, head frame to camera frame.
        translation_m: (T, 3) metres, see `Camera`.
        scale_px_per_m: (T,), see `Camera`.
        center_px: (2,) principal point in pixels.
        focal_px: Focal length in pixels; None for a scaled orthographic camera.
        confidence: (T,) in [0, 1].
        residual_percent: (T,) as in `Face`.
        box_px: (T, 4) x0, y0, x1, y1 of the detected landmarks in pixels.
        image_size: (width, height) of the frames in pixels.
        rate_fps: Nominal frame rate of the clip.
        method: What estimated the frames: "fit", "encoder" or "refine".
        head_id: Identifier of the head model, see `HeadModel.id`.
        visibility: (T, 4) visible shares of the regions of `Visibility`, in their order, smoothed over time.
        appearance: What the person looks like; None where the head has no appearance model.
    """

    number: int
    frame: Array = field(repr=False)
    time_s: Array = field(repr=False)
    status: Array = field(repr=False)
    shape: Array = field(repr=False)
    expression: Array = field(repr=False)
    arkit: Array = field(repr=False)
    jaw: Array = field(repr=False)
    eyelids: Array = field(repr=False)
    eyes: Array = field(repr=False)
    rotation_rotmat: Array = field(repr=False)
    translation_m: Array = field(repr=False)
    scale_px_per_m: Array = field(repr=False)
    center_px: Array = field(repr=False)
    focal_px: float | None
    confidence: Array = field(repr=False)
    residual_percent: Array = field(repr=False)
    box_px: Array = field(repr=False)
    image_size: tuple[int, int]
    rate_fps: float
    method: str
    head_id: str
    visibility: Array = field(repr=False)
    appearance: FaceAppearance | None = field(repr=False, default=None)

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def head(self) -> HeadModel:
        """The head model.

        Raises:
            Smirk3dError: It is neither loaded nor packaged nor cached; load it with `load_head(path)` first.
        """
        return registry.find(self.head_id)

    @property
    def known(self) -> Array:
        """(T,) bool, true for frames that have values: all that are not LOST."""
        return self.status != Status.LOST

    @property
    def angles_deg(self) -> Array:
        """(T, 3) float32 yaw, pitch and roll in degrees, as in `smirk3d.geometry.euler`; NaN where the face is lost."""
        angles = [angles_from_rotation(rotmat) for rotmat in self.rotation_rotmat.astype(np.float64)]
        return np.reshape(np.array(angles, dtype=np.float32), (-1, 3))

    def replace(self, **changes: Array) -> Track:
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    def frames(self, rows: slice) -> Track:
        """Return a part of the track; `rows` is a slice of its frames with step 1."""
        per_frame = ("frame", "time_s", "status", *FRAME_FIELDS)
        return replace(self, **{name: getattr(self, name)[rows] for name in per_frame})

    def camera(self, row: int) -> Camera:
        """Return pose and camera in one frame, by its index in the track."""
        return Camera(
            self.rotation_rotmat[row].astype(np.float64),
            self.translation_m[row].astype(np.float64),
            self.center_px.astype(np.float64),
            float(self.scale_px_per_m[row]),
            self.focal_px,
        )

    @torch.no_grad()
    def face(self, row: int) -> Face:
        """Return one frame as the result for an image.

        Args:
            row: Index of the frame in the track.

        Raises:
            ValueError: The face was lost there.
            Smirk3dError: The head is not known, see `head`.
        """
        if not self.known[row]:
            raise ValueError(f"frame {int(self.frame[row])}: the face was lost there")
        head, per_frame = self.head, ("expression", "jaw", "eyelids", "eyes")
        coefficients = {"shape": self.shape} | {name: getattr(self, name)[row] for name in per_frame}
        own = {name: value for name, value in coefficients.items() if name in {*head.spec.names, "shape", "expression"}}
        params = FaceParams(**{name: torch.as_tensor(value)[None] for name, value in own.items()})
        params = params.to(head.v_template.device)
        fit = ImageFit(
            camera=self.camera(row),
            confidence=float(self.confidence[row]),
            method=self.method,
            image_size=self.image_size,
            box_px=self.box_px[row],
            residual_percent=float(self.residual_percent[row]),
            visibility=Visibility(*self.visibility[row].tolist()),
        )
        vertices = head(params).vertices[0].cpu().numpy()
        neutral_vertices = head.shaped(params.shape).vertices[0].cpu().numpy()
        face = assemble_face(head, vertices, neutral_vertices, coefficients, self.arkit[row], fit)
        return face.with_appearance(self.appearance)


FRAME_FIELDS: tuple[str, ...] = (
    "expression",
    "arkit",
    "jaw",
    "eyelids",
    "eyes",
    "rotation_rotmat",
    "translation_m",
    "scale_px_per_m",
    "confidence",
    "residual_percent",
    "box_px",
    "visibility",
)
"""Fields of `Track` with one row per frame that are NaN where the face is lost."""


@dataclass(frozen=True, eq=False)
class Clip(EqualByContents):
    """A video and the people in it.

    Attributes:
        source: Name of the video, as it was given.
        rate_fps: Nominal frame rate.
        image_size: (width, height) of the frames in pixels.
        n_frames: Number of frames read.
        tracks: Longest first; a track ends at a shot boundary, or where the face is lost for long.
        notes: Remarks about the result for the user, one line each.
        losses: Parts of the video that could not be read, one line each; the rest was processed.
    """

    source: str
    rate_fps: float
    image_size: tuple[int, int]
    n_frames: int
    tracks: tuple[Track, ...]
    notes: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
