"""The result for one person in a video."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from enum import IntEnum

import numpy as np
import torch

from smirk3d.face import Face
from smirk3d.geometry.camera import Camera
from smirk3d.geometry.euler import angles_from_rotation
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams


class Status(IntEnum):
    """What the values of a frame rest on."""

    SEEN = 0
    FILLED = 1
    """The face was not found for a moment; the values lie between those before and after."""
    LOST = 2
    """The face was not found for longer; the values are not a number."""


@dataclass(frozen=True, eq=False)
class Track:
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
        head: The model.
    """

    number: int
    frame: np.ndarray = field(repr=False)
    time_s: np.ndarray = field(repr=False)
    status: np.ndarray = field(repr=False)
    shape: np.ndarray = field(repr=False)
    expression: np.ndarray = field(repr=False)
    arkit: np.ndarray = field(repr=False)
    jaw: np.ndarray = field(repr=False)
    eyelids: np.ndarray = field(repr=False)
    eyes: np.ndarray = field(repr=False)
    rotation_rotmat: np.ndarray = field(repr=False)
    translation_m: np.ndarray = field(repr=False)
    scale_px_per_m: np.ndarray = field(repr=False)
    center_px: np.ndarray = field(repr=False)
    focal_px: float | None
    confidence: np.ndarray = field(repr=False)
    residual_percent: np.ndarray = field(repr=False)
    box_px: np.ndarray = field(repr=False)
    image_size: tuple[int, int]
    rate_fps: float
    method: str
    head: HeadModel = field(repr=False)

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def known(self) -> np.ndarray:
        """Which frames (T,) bool have values: all that are not LOST."""
        return self.status != Status.LOST

    @property
    def angles_deg(self) -> np.ndarray:
        """Yaw, pitch and roll (T, 3) in degrees, as in `smirk3d.geometry.euler`; NaN where the face was lost."""
        angles = [angles_from_rotation(rotmat) for rotmat in self.rotation_rotmat.astype(np.float64)]
        return np.array(angles, dtype=np.float32).reshape(-1, 3)

    def replace(self, **changes: np.ndarray) -> Track:
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
        """Return one row as the result for a photo.

        Raises:
            ValueError: The face was lost there.
        """
        if not self.known[row]:
            raise ValueError(f"frame {int(self.frame[row])}: the face was lost there")
        head, given = self.head, {"shape", "expression", *self.head.spec.names} & {f.name for f in fields(FaceParams)}
        own = {name: getattr(self, name)[row] for name in ("expression", "jaw", "eyelids", "eyes") if name in given}
        shape = torch.from_numpy(self.shape)[None]
        params = FaceParams(shape=shape, **{name: torch.from_numpy(value)[None] for name, value in own.items()})
        return Face(
            vertices=head(params.to(head.v_template.device)).vertices[0].cpu().numpy(),
            neutral_vertices=head.shaped(shape.to(head.v_template.device)).vertices[0].cpu().numpy(),
            triangles=head.data.faces.cpu().numpy(),
            shape=self.shape,
            expression=self.expression[row],
            expression_names=head.expression_names,
            arkit=dict(zip(ARKIT_NAMES, self.arkit[row].tolist())),
            jaw=self.jaw[row],
            eyelids=self.eyelids[row],
            camera=self.camera(row),
            confidence=float(self.confidence[row]),
            method=self.method,
            image_size=self.image_size,
            box_px=self.box_px[row],
            residual_percent=float(self.residual_percent[row]),
            head=head,
            eyes=self.eyes[row],
        )


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
class Clip:
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
