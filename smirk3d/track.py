"""The result for one person in a video."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from smirk3d.equality import EqualByContents
from smirk3d.face import Face, ImageFit, assemble_face
from smirk3d.geometry.camera import Camera
from smirk3d.geometry.euler import angles_from_rotation
from smirk3d.head import registry
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams

Array: TypeAlias = NDArray[Any]


class Status(IntEnum):
    """What the values of a frame rest on."""

    SEEN = 0
    FILLED = 1
    """The face was not found for a moment; the values lie between those before and after."""
    LOST = 2
    """The face was not found for longer; the values are not a number."""


@dataclass(frozen=True, eq=False)
class Track(EqualByContents):
    """One person in T consecutive frames of a clip, from the first in which the face was found to the last.

    Frames as in `smirk3d.geometry.camera`; floats are float32 but for the times, and NaN where `status` is LOST.

    Attributes:
        number: Of the tracks of a clip, from 0.
        frame: (T,) int64, places among all frames of the clip, from 0, without gaps.
        time_s: (T,) float64, when each frame is shown, in seconds from the first frame of the clip.
        status: (T,) uint8, see `Status`.
        shape: (S,) identity coefficients, the same in all frames.
        expression: (T, E) coefficients of the head.
        arkit: (T, 52) ARKit weights in [0, 1] in Apple's order.
        jaw: (T, 3) rotation vectors. eyelids: (T, 2) in [0, 1], left and right. eyes: (T, 6) rotation vectors.
        rotation_rotmat: (T, 3, 3) head frame to camera frame. translation_m: (T, 3), see `Camera`.
        scale_px_per_m: (T,), see `Camera`.
        center_px: (2,) principal point. focal_px: Focal length in pixels; None for a scaled orthographic camera.
        confidence: (T,) in [0, 1]. residual_percent: (T,) as in `Face`. box_px: (T, 4) x0, y0, x1, y1.
        image_size: (width, height) of the frames in pixels.
        rate_fps: Nominal frames a second of the clip.
        method: What estimated the frames: "fit", "encoder" or "refine".
        head_id: Identifier of the head model, see `HeadModel.id`.
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
        """Which frames (T,) bool have values: all that are not LOST."""
        return self.status != Status.LOST

    @property
    def angles_deg(self) -> Array:
        """Yaw, pitch and roll (T, 3) in degrees, as in `smirk3d.geometry.euler`; NaN where the face was lost."""
        angles = [angles_from_rotation(rotmat) for rotmat in self.rotation_rotmat.astype(np.float64)]
        return np.reshape(np.array(angles, dtype=np.float32), (-1, 3))

    def replace(self, **changes: Array) -> Track:
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    def frames(self, rows: slice) -> Track:
        """Return the track cut to some of its frames (step 1)."""
        per_frame = ("frame", "time_s", "status", *FRAME_FIELDS)
        return replace(self, **{name: getattr(self, name)[rows] for name in per_frame})

    def camera(self, row: int) -> Camera:
        """Return the pose and camera of one row."""
        return Camera(
            self.rotation_rotmat[row].astype(np.float64),
            self.translation_m[row].astype(np.float64),
            self.center_px.astype(np.float64),
            float(self.scale_px_per_m[row]),
            self.focal_px,
        )

    @torch.no_grad()
    def face(self, row: int) -> Face:
        """Return one row as the result for an image.

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
        )
        vertices = head(params).vertices[0].cpu().numpy()
        neutral_vertices = head.shaped(params.shape).vertices[0].cpu().numpy()
        return assemble_face(head, vertices, neutral_vertices, coefficients, self.arkit[row], fit)


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
)
"""Fields of `Track` with a value for each frame that is not known where the face is lost."""


@dataclass(frozen=True, eq=False)
class Clip(EqualByContents):
    """A video and the people in it.

    Attributes:
        source: What was read, as it was named.
        rate_fps: Nominal frames a second.
        image_size: (width, height) of the frames in pixels.
        n_frames: How many were read.
        tracks: Longest first; a track ends where the face is lost for long, or the scene changes.
        notes: What a person should know of the result, one line each.
        losses: What of the source could not be read, one line each; the rest is there.
    """

    source: str
    rate_fps: float
    image_size: tuple[int, int]
    n_frames: int
    tracks: tuple[Track, ...]
    notes: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
