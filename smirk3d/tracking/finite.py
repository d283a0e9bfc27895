"""Numbers that are not finite are never results: such frames are left out, and a track without others is a failure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from smirk3d.errors import Smirk3dError
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.track import FRAME_FIELDS, Track
from smirk3d.tracking.motion import HeadMotion

REASON = (
    "numbers that are not finite (NaN or infinite); the weights or the head are damaged: replace them, or use "
    "--method fit"
)


def finite_frames(motion: HeadMotion) -> np.ndarray:
    """Return which frames (T,) of a motion are finite in all numbers: weights, pose, camera, residual."""
    arrays = [motion.arkit, motion.rotmat, motion.offset_px, motion.scale_px_per_m, motion.residual]
    columns = [np.isfinite(values).reshape(len(motion), -1).all(1) for values in (*arrays, *motion.native.values())]
    return np.asarray(np.stack(columns).all(0))


def check_tracks(tracks: Sequence[Track], name: str) -> None:
    """Check the tracks of a clip before they are written: their numbers, their cameras and their meshes.

    Args:
        tracks: The tracks.
        name: Of the source, for the message.

    Raises:
        Smirk3dError: A number of a frame that is not lost, or of a mesh, is not finite.
    """
    for track in tracks:
        fields = [getattr(track, field)[track.known] for field in FRAME_FIELDS]
        values = [*fields, track.shape, track.center_px, 0.0 if track.focal_px is None else track.focal_px]
        if not all(bool(np.isfinite(value).all()) for value in values) or not _has_finite_mesh(track):
            raise Smirk3dError(f"{name}: method {track.method!r} gives {REASON}")


@torch.no_grad()
def _has_finite_mesh(track: Track) -> bool:
    """Return whether the meshes are finite: that of the neutral face, and that of the strongest expression."""
    if not track.known.any():
        return True
    strength = np.where(track.known, np.abs(track.expression).sum(1), -1.0)
    return bool(_mesh(track.head, track.shape, track.expression[int(strength.argmax())]).isfinite().all())


def _mesh(head: HeadModel, shape: np.ndarray, expression: np.ndarray) -> torch.Tensor:
    """Return the neutral vertices and those of an expression, (2, V, 3)."""
    both = np.stack([np.zeros_like(expression), expression])
    params = FaceParams(
        shape=torch.from_numpy(np.stack([shape, shape])).to(head.v_template),
        expression=torch.from_numpy(both).to(head.v_template),
    )
    return head(params).vertices
