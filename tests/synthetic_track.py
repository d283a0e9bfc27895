"""A track with known curves, without a video: a smile, a blink of the left eye, a turn of the head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from smirk3d.clip import FRAME_FIELDS, Status, Track
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel
from smirk3d.pipeline.detect import Detection
from smirk3d.types import FaceParams


def synthetic_track(
    head: HeadModel, n_frames: int = 40, rate_fps: float = 25.0, lost: slice | None = None, first_frame: int = 3
) -> Track:
    """Return a track of the open head that starts with frame `first_frame`.

    mouthSmileLeft rises evenly from 0 to 1, eyeBlinkLeft is 1 in one frame in the middle, eyeLookOutRight is 0.5
    throughout; yaw goes from -20° to 20°; the head is a metre away. Frames in `lost` have no values.
    """
    phase = np.linspace(0, 1, n_frames, dtype=np.float32)
    arkit = np.zeros((n_frames, 52), dtype=np.float32)
    arkit[:, ARKIT_NAMES.index("mouthSmileLeft")] = phase
    arkit[n_frames // 2, ARKIT_NAMES.index("eyeBlinkLeft")] = 1
    arkit[:, ARKIT_NAMES.index("eyeLookOutRight")] = 0.5
    params = FaceParams(expression=torch.from_numpy(arkit))
    turned = head.joint_rotvec(torch.from_numpy(arkit), params).detach().numpy()
    rotmat = np.stack([rotation_from_angles(-20 + 40 * float(p), 5, 0) for p in phase]).astype(np.float32)
    columns = {
        "expression": arkit,
        "arkit": arkit.copy(),
        "jaw": turned[:, 2],
        "eyelids": arkit[:, [ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight")]],
        "eyes": turned[:, 3:].reshape(n_frames, 6),
        "rotation_rotmat": rotmat,
        "translation_m": np.stack([0.1 * phase, np.zeros_like(phase), np.full_like(phase, -1)], axis=1),
        "scale_px_per_m": np.full(n_frames, 600, dtype=np.float32),
        "confidence": np.full(n_frames, 0.9, dtype=np.float32),
        "residual_percent": np.full(n_frames, 1.5, dtype=np.float32),
        "box_px": np.tile(np.array([200, 150, 400, 350], dtype=np.float32), (n_frames, 1)),
    }
    assert set(columns) == set(FRAME_FIELDS)
    columns = {name: np.asarray(value, dtype=np.float32).copy() for name, value in columns.items()}
    status = np.zeros(n_frames, dtype=np.uint8)
    if lost is not None:
        status[lost] = Status.LOST
        for value in columns.values():
            value[lost] = np.nan
    return Track(
        number=0,
        frame=np.arange(first_frame, first_frame + n_frames),
        time_s=np.arange(first_frame, first_frame + n_frames) / rate_fps,
        status=status,
        shape=np.linspace(-1, 1, head.n_shape, dtype=np.float32),
        center_px=np.array([320, 240], dtype=np.float32),
        focal_px=600.0,
        image_size=(640, 480),
        rate_fps=rate_fps,
        method="refine",
        head=head,
        **columns,
    )


def with_other_head(track: Track, head: HeadModel) -> Track:
    """Return a track of as many frames on a head with parameters of its own, shape and expression at random."""
    random = np.random.default_rng(0)
    return replace(
        track,
        head=head,
        shape=random.normal(size=head.n_shape).astype(np.float32),
        expression=random.normal(size=(len(track.frame), head.n_expression)).astype(np.float32),
        jaw=random.normal(size=(len(track.frame), 3)).astype(np.float32),
    )


def nearest(face: Detection, found: list[Detection]) -> Detection | None:
    """Return what a detector that looks closer would find of a face: the nearest, unless it is a face's size away."""
    apart = [float(np.abs(other.box_px - face.box_px).max()) for other in found]
    size = float((face.box_px[2:] - face.box_px[:2]).max())
    return found[int(np.argmin(apart))] if apart and min(apart) < size else None
