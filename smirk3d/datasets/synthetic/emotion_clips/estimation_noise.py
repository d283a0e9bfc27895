"""ARKit weights and head angles of synthetic clips as tracking would estimate them.

The errors of the weights are those of the packaged encoder on rendered faces, which its file states. Here half of an
error's variance belongs to the clip (the person's own face), half to the frame, with a correlation in time. The
split, the gains and what hidden regions lose are assumptions, not measurements.
"""

from __future__ import annotations

import numpy as np

from smirk3d.datasets.synthetic.emotion_clips.clip_set import ClipTruth
from smirk3d.datasets.synthetic.emotion_clips.motion import HARDNESS
from smirk3d.detection.face_regions import REGIONS
from smirk3d.estimation.fusion import expression_std
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.zoo.registry import find

CORRELATION = 0.5
"""Of the error of a frame with that of the next."""
GAIN = (0.9, 0.1)
"""Mean and standard deviation of the factor by which a person's weight is estimated."""
BLURRED_FACTOR = 1.5
"""Errors in blurred clips over those in others."""
ANGLE_STD_DEG = (2.0, 0.7)
"""Standard deviations of the error of an angle: of a clip, and of a frame."""


def estimated_weights(truth: ClipTruth, rng: np.random.Generator) -> np.ndarray:
    """Return the weights (N, T, 52) float32 in [0, 1] that tracking would estimate.

    Args:
        truth: N clips.
        rng: Of the errors.
    """
    n_clips, n_frames, n_weights = truth.weights.shape
    std = expression_std(find("encoder")).numpy() / np.sqrt(2)
    std = std * np.where(truth.hardness == HARDNESS.index("blurred"), BLURRED_FACTOR, 1.0)[:, None, None]
    gain = rng.normal(*GAIN, (n_clips, 1, n_weights)) * _visible_shares(truth.visible)[:, None]
    error = rng.normal(0, 1, (n_clips, 1, n_weights)) + correlated(n_clips, n_frames, n_weights, rng)
    return (truth.weights * gain + std * error).clip(0, 1).astype(np.float32)


def estimated_angles(truth: ClipTruth, rng: np.random.Generator) -> np.ndarray:
    """Return the angles (N, T, 3) float32 in degrees that tracking would estimate."""
    n_clips, n_frames, n_angles = truth.angles_deg.shape
    of_clip, of_frame = ANGLE_STD_DEG
    error = rng.normal(0, of_clip, (n_clips, 1, n_angles)) + of_frame * correlated(n_clips, n_frames, n_angles, rng)
    return (truth.angles_deg + error).astype(np.float32)


def correlated(n_clips: int, n_frames: int, n_values: int, rng: np.random.Generator) -> np.ndarray:
    """Return noise (N, T, K) with variance 1 and `CORRELATION` between successive frames."""
    white = rng.normal(0, 1, (n_frames, n_clips, n_values))
    rest = np.sqrt(1 - CORRELATION**2)
    for k in range(1, n_frames):
        white[k] = CORRELATION * white[k - 1] + rest * white[k]
    return white.transpose(1, 0, 2)


def _visible_shares(visible: np.ndarray) -> np.ndarray:
    """Return the factors (N, 52) in [0, 1] of weights of regions with visible shares (N, 4)."""
    eyes, mouth = (visible[:, REGIONS.index(name)] for name in ("eyes", "mouth"))
    columns = [eyes if name.startswith(("eye", "brow")) else mouth for name in ARKIT_NAMES]
    return np.stack(columns, axis=1).clip(0, 1)
