"""Face windows with something drawn before the face, without landmarks of their own.

The drawings are those of `smirk3d.datasets.synthetic.occluders`, placed where the features of a typical face lie. The
kinds are divided anew: what repair is judged by, `UNSEEN_KINDS`, holds the ones that hide the most in daily life.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from smirk3d.datasets.synthetic.decoys import DECOYS
from smirk3d.datasets.synthetic.occluder_shapes import FacePlace
from smirk3d.datasets.synthetic.occluders import HELD_OUT_KINDS, TRAINING_KINDS, Kind, occlude
from smirk3d.detection.face_patch import PATCH_SIZE
from smirk3d.fer.face_windows import window_frame
from smirk3d.head.load import load_open_head
from smirk3d.params import FaceParams

_ALL: Mapping[str, Kind] = {**TRAINING_KINDS, **HELD_OUT_KINDS}
LEARNED_KINDS: Mapping[str, Kind] = {
    name: _ALL[name] for name in ("block", "blob", "strands", "wall", "eye_patches", "cup", "microphone", "curtain")
}
"""Kinds from which the occlusion network learns."""
UNSEEN_KINDS: Mapping[str, Kind] = {name: _ALL[name] for name in ("hand", "face_mask", "sunglasses", "scarf", "page")}
"""Kinds that it never meets."""
SHIFT, LOG_SCALE, TURN_RAD = 0.025, 0.05, 0.06
"""Deviations by which the place of the face is uncertain: sides of the window, logarithm, radians."""


@lru_cache(maxsize=4)
def typical_landmarks(side_px: int) -> np.ndarray:
    """Return where the landmarks of the mean open head lie in a window of a side in pixels, (478, 2) float64."""
    points = load_open_head()(FaceParams()).landmarks("mediapipe").reshape(-1, 3).numpy().astype(np.float64)
    upright = points[:, :2] * (1.0, -1.0) * 1000.0
    frame = window_frame(upright)
    return frame.to_patch(upright) * (side_px / PATCH_SIZE)


def scattered_landmarks(side_px: int, rng: np.random.Generator) -> np.ndarray:
    """Return `typical_landmarks`, moved as faces are within their windows."""
    points = typical_landmarks(side_px)
    middle = points.mean(axis=0)
    angle, scale = rng.normal(0, TURN_RAD), np.exp(rng.normal(0, LOG_SCALE))
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return (points - middle) @ turn + middle + rng.normal(0, SHIFT * side_px, 2)


def occluded_window(
    window: np.ndarray, kind: Kind, other: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw an occluder before the face of a window.

    Args:
        window: (S, S) uint8.
        kind: See `smirk3d.datasets.synthetic.occluders`.
        other: (h, w) uint8, another picture, parts of which may be drawn.
        rng: Source of randomness.

    Returns:
        (S, S) uint8, and the coverage (S, S) float32 in [0, 1].
    """
    landmarks_px = scattered_landmarks(len(window), rng)
    drawn, coverage = occlude(np.repeat(window[..., None], 3, 2), landmarks_px, kind, other, rng)
    return drawn[..., 0], coverage


def decoy_window(window: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a window (S, S) uint8 with something that hides nothing, such as a shadow or frames of glasses."""
    place = FacePlace(scattered_landmarks(len(window), rng), (len(window), len(window)))
    return DECOYS[int(rng.integers(len(DECOYS)))](np.repeat(window[..., None], 3, 2), place, rng)[..., 0]
