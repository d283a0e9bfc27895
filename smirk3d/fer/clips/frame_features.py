"""The numbers of a frame that the clip network reads, and their resampling in time."""

from __future__ import annotations

import numpy as np

from smirk3d.fer.network import N_FEATURES
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES

RATE_FPS = 8.0
"""Frames a second that the clip network reads."""
WEIGHTS = slice(N_FEATURES, N_FEATURES + len(ARKIT_NAMES))
ANGLES = slice(WEIGHTS.stop, WEIGHTS.stop + 3)
N_FRAME_FEATURES = ANGLES.stop
"""Length: expression vector (256), ARKit weights (52), yaw, pitch and roll over `ANGLE_UNIT_DEG`."""
ANGLE_UNIT_DEG = 30.0
MAX_GAP_S = 1.0
"""Longer stretches without a face are left out, as if the clip were cut there."""


def frame_features(vectors: np.ndarray, arkit: np.ndarray, angles_deg: np.ndarray) -> np.ndarray:
    """Return the features of frames.

    Args:
        vectors: (..., 256) expression vectors.
        arkit: (..., 52) ARKit weights.
        angles_deg: (..., 3) yaw, pitch and roll in degrees.

    Returns:
        (..., 311) float32.
    """
    return np.concatenate([vectors, arkit, angles_deg / ANGLE_UNIT_DEG], axis=-1).astype(np.float32)


def resampled(features: np.ndarray, times_s: np.ndarray, rate_fps: float = RATE_FPS) -> tuple[np.ndarray, np.ndarray]:
    """Resample frames linearly to a constant rate; rows that are not finite count as missing.

    Args:
        features: (T, D).
        times_s: (T,) increasing.
        rate_fps: Frames a second of the result.

    Returns:
        (S, D) float32, at least one row, and their times (S,) in seconds.

    Raises:
        ValueError: No row is finite.
    """
    is_known = np.isfinite(features).all(axis=1)
    if not is_known.any():
        raise ValueError("no frame has finite features")
    rows, known_s = features[is_known], times_s[is_known]
    count = max(1, round(float(known_s[-1] - known_s[0]) * rate_fps) + 1)
    wanted_s = known_s[0] + np.arange(count) / rate_fps
    after = np.searchsorted(known_s, wanted_s).clip(1, max(1, len(known_s) - 1))
    if len(known_s) == 1:
        return rows.astype(np.float32), known_s
    before = after - 1
    gap_s = known_s[after] - known_s[before]
    share = ((wanted_s - known_s[before]) / gap_s).clip(0, 1)
    is_near = np.minimum(share, 1 - share) * gap_s <= MAX_GAP_S / 2
    mixed = rows[before] + share[:, None] * (rows[after] - rows[before])
    return mixed[is_near].astype(np.float32), wanted_s[is_near]


def mirrored(features: np.ndarray) -> np.ndarray:
    """Return the features (..., 311) of mirrored frames; expression vectors do not change under reflection."""
    result = features.copy()
    result[..., WEIGHTS] = features[..., WEIGHTS][..., list(ARKIT_MIRROR)]
    result[..., ANGLES] *= np.array([-1, 1, -1], dtype=features.dtype)
    return result
