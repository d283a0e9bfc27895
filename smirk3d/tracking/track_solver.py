"""From the records of one person to identity and motion, with any estimator.

When all frames of a clip have been observed, the identity is estimated from the neutral frames of all views; then
every frame is solved with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from smirk3d.estimation.estimator import Estimator, HeadEstimates, Intrinsics, params_from_arkit
from smirk3d.head.model import HeadModel
from smirk3d.head.retargeting.explicit_joints import resolve_explicit_joints
from smirk3d.head.retargeting.retargeter import find_retargeter
from smirk3d.params import FaceParams
from smirk3d.tracking.motion import HeadMotion

MAX_BATCH = 256
"""Frames that are solved together, which bounds the memory."""
NATIVE_FIELDS = ("expression", "jaw", "eyelids", "eyes")


@dataclass(frozen=True)
class ClipCamera:
    """The camera of all frames of a clip.

    Attributes:
        size: (width, height) of the frames in pixels.
        focal_px: Focal length in pixels; None for a scaled orthographic camera.
    """

    size: tuple[int, int]
    focal_px: float | None

    def intrinsics(self, count: int) -> Intrinsics:
        """Return the camera for each of `count` frames; the principal point is the middle of the frame."""
        focal_px = np.inf if self.focal_px is None else self.focal_px
        return Intrinsics(np.tile(np.array(self.size) / 2, (count, 1)), np.full(count, focal_px))


def clip_camera(estimator: Estimator, records: np.ndarray, size: tuple[int, int]) -> ClipCamera:
    """Return the camera of a clip.

    Args:
        estimator: The method.
        records: (N,) of all faces of the clip; at least one.
        size: (width, height) of the frames in pixels.
    """
    focal_px = float(estimator.intrinsics(records, shared=True).focal_px[0])
    return ClipCamera(size, None if np.isinf(focal_px) else focal_px)


def solve_identity(estimator: Estimator, records: np.ndarray, camera: ClipCamera) -> np.ndarray:
    """Return the identity coefficients (S,) float32 of the person in records (N,)."""
    return estimator.identity(records, camera.intrinsics(len(records)))


def solve_motion(estimator: Estimator, records: np.ndarray, shape: np.ndarray, camera: ClipCamera) -> HeadMotion:
    """Return the motion of a person.

    Args:
        estimator: The method.
        records: (N,) of the person, in the order of the frames.
        shape: (S,) identity coefficients.
        camera: Of the clip.
    """
    parts = []
    for start in range(0, len(records), MAX_BATCH):
        batch = records[start : start + MAX_BATCH]
        intrinsics = camera.intrinsics(len(batch))
        estimates = estimator.solve(batch, intrinsics, identity=shape)
        parts.append(_motion(estimator.head, estimates, intrinsics.center_px))
    return HeadMotion.concatenate(parts)


def _motion(head: HeadModel, estimates: HeadEstimates, center_px: np.ndarray) -> HeadMotion:
    """Return estimates as a motion, with the head's origin relative to the middle of the frames."""
    pose = estimates.pose
    values = (estimates.arkit, pose.rotmat, pose.offset_px, pose.center_px, pose.scale, estimates.residual)
    arkit, rotmat, offset_px, own_center_px, scale, residual = (each.double().cpu().numpy() for each in values)
    params = {} if estimates.params is None or find_retargeter(head) is None else dict(estimates.params.items())
    native = {name: params[name].double().cpu().numpy() for name in NATIVE_FIELDS if name in params}
    return HeadMotion(arkit, rotmat, offset_px + (own_center_px - center_px), scale, residual, native)


@torch.no_grad()
def coefficients(head: HeadModel, motion: HeadMotion, shape: np.ndarray) -> dict[str, np.ndarray]:
    """Return a motion as coefficients of the head.

    Args:
        head: The head model.
        motion: T frames.
        shape: (S,) identity coefficients.

    Returns:
        Float32 arrays: "expression" (T, E), "jaw" (T, 3), "eyelids" (T, 2) and "eyes" (T, 6).
    """
    weights = torch.from_numpy(motion.arkit).to(head.v_template)
    if motion.native:
        params = FaceParams(**{name: torch.from_numpy(value).to(weights) for name, value in motion.native.items()})
    else:
        params = params_from_arkit(head, weights, torch.from_numpy(shape).to(weights)).replace(shape=None)
    assert params.expression is not None
    found = {"expression": params.expression} | resolve_explicit_joints(head, params, weights)
    return {name: value.float().cpu().numpy() for name, value in found.items()}
