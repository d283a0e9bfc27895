"""The regions of a face whose visibility is estimated, as points among its landmarks."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from smirk3d.face import Visibility
from smirk3d.head.landmark_indices import (
    EYE_LEFT,
    EYE_RIGHT,
    LIPS_INNER,
    LIPS_OUTER,
    MIRROR,
    SKIN_COUNT,
)

REGIONS: tuple[str, ...] = tuple(each.name for each in fields(Visibility))
"""Names of the regions in the order of every array of visibilities; left and right are the subject's."""
RING_SCALES = (0.5, 1.0, 1.3)
"""Sizes, over that of the ring of landmarks, of the rings of points that stand for an eye or the mouth."""
_FOREHEAD = frozenset(
    (338, 297, 332, 284, 251, 301, 298, 333, 299, 337, 109, 67, 103, 54, 21, 71, 68, 104, 69, 108)
)  # under hair and hats, where nothing moves but the brows


def _side(of_left: bool) -> list[int]:
    """Return the landmarks of one side of the face below the forehead; the left are the partners in `MIRROR`."""
    left = _left_landmarks()
    return [k for k in range(SKIN_COUNT) if MIRROR[k] != k and k not in _FOREHEAD and (k in left) == of_left]


def _left_landmarks() -> frozenset[int]:
    """Return the landmarks on the subject's left: in a pair of mirrored ones that of the higher index."""
    return frozenset(max(k, MIRROR[k]) for k in range(SKIN_COUNT) if MIRROR[k] != k)


_SIDES = {"left": _side(True), "right": _side(False)}


def region_points(landmarks_px: np.ndarray) -> dict[str, np.ndarray]:
    """Return the points that stand for each of `REGIONS`.

    Args:
        landmarks_px: (478, 2) float, pixels.

    Returns:
        Region -> (P, 2) float, pixels.
    """
    eyes = [_rings(landmarks_px[list(ring)]) for ring in (EYE_RIGHT, EYE_LEFT)]
    return {
        "eyes": np.concatenate(eyes),
        "mouth": np.concatenate([_rings(landmarks_px[list(LIPS_OUTER)]), landmarks_px[list(LIPS_INNER)]]),
        "left": landmarks_px[_SIDES["left"]],
        "right": landmarks_px[_SIDES["right"]],
    }


def share_inside(landmarks_px: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Return which share of each region lies inside the photo, (4,) float32 in [0, 1].

    Args:
        landmarks_px: (478, 2) float, pixels.
        image_size: Width and height of the photo in pixels.
    """
    points = region_points(landmarks_px)
    inside = [((points[name] >= 0) & (points[name] < image_size)).all(axis=1).mean() for name in REGIONS]
    return np.array(inside, dtype=np.float32)


def _rings(ring: np.ndarray) -> np.ndarray:
    """Return rings of the sizes `RING_SCALES` about the centre of a ring (K, 2), as (3 K, 2)."""
    center = ring.mean(axis=0)
    return np.concatenate([center + scale * (ring - center) for scale in RING_SCALES])
