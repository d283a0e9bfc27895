"""Whether landmarks look like those of an upright face, by their arrangement alone.

On faces that are upside down or on their side the landmarker also finds landmarks that lie level, but their arrangement
differs from that of any upright face. A linear score of a few coordinates tells them apart in microseconds;
`smirk3d.detection.orientation`, which runs a network, decides where the score is in doubt.
"""

from __future__ import annotations

import numpy as np

_RIGHT_EYE, _LEFT_EYE = 33, 263  # outer corners in MediaPipe's mesh
_COORDINATES = (
    (348, "y", 54.524),
    (1, "z", -2.572),
    (119, "x", -2.009),
    (9, "y", 2.080),
    (308, "x", 23.222),
    (160, "x", 0.060),
    (181, "y", -7.699),
    (18, "y", -2.215),
    (88, "y", 5.150),
    (347, "y", -21.789),
    (375, "x", 11.380),
    (309, "y", 41.352),
    (267, "y", -8.838),
    (312, "y", 29.881),
    (324, "x", -10.065),
    (429, "y", 4.385),
    (268, "y", -49.450),
    (302, "y", 28.868),
    (354, "y", -54.421),
    (392, "y", -26.454),
    (326, "y", 8.301),
    (349, "y", -36.477),
    (19, "y", 31.311),
    (22, "y", 7.220),
    (4, "z", 9.022),
    (37, "z", 61.444),
    (285, "z", 17.138),
    (182, "y", 9.283),
    (72, "z", -48.642),
    (419, "z", -19.537),
    (278, "x", 1.853),
    (21, "x", 0.768),
    (159, "y", 4.966),
    (470, "y", -2.995),
    (179, "z", -3.533),
    (292, "x", -24.751),
    (351, "z", -11.077),
    (205, "y", -4.233),
    (143, "y", 2.036),
    (466, "y", -3.665),
)
"""Landmark, coordinate and weight in the score, which is near 1 for landmarks on a face that is not upright and near -1
for others: least squares on 2,100 detections in turned photos of faces, by `scripts/fit_orientation.py`."""
_OFFSET = 0.196
_MAX_SCORE = -0.5
"""Higher scores are in doubt: one in 25 of those of upright faces, and nearly all of the others, on photos held out."""
_MIN_WRONG_SCORE = 0.1
"""Higher scores are those of faces that are not upright, but for one in two hundred of the others."""
_ROWS = np.array([landmark for landmark, _, _ in _COORDINATES])
_COLUMNS = np.array(["xyz".index(axis) for _, axis, _ in _COORDINATES])
_WEIGHTS = np.array([weight for _, _, weight in _COORDINATES])


def are_upright(landmarks_px: np.ndarray, depth: np.ndarray) -> bool:
    """Return whether landmarks are without doubt those of an upright face, relative to their eye line.

    Args:
        landmarks_px: (478, 2) pixels, x right, y down.
        depth: (478,) pixels, smaller is nearer.
    """
    return _score(landmarks_px, depth) <= _MAX_SCORE


def are_not_upright(landmarks_px: np.ndarray, depth: np.ndarray) -> bool:
    """Return whether landmarks are hardly those of an upright face; arguments as for `are_upright`."""
    return _score(landmarks_px, depth) > _MIN_WRONG_SCORE


def _score(landmarks_px: np.ndarray, depth: np.ndarray) -> float:
    points = normalized(landmarks_px, depth)
    return float(points[_ROWS, _COLUMNS] @ _WEIGHTS + _OFFSET)


def normalized(landmarks_px: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Return landmarks relative to their mean, with a level eye line, in units of their spread in the photo.

    Args:
        landmarks_px: (478, 2) pixels, x right, y down.
        depth: (478,) pixels, smaller is nearer.

    Returns:
        (478, 3) float64 x, y, depth.
    """
    points = landmarks_px.astype(np.float64)
    across = points[_LEFT_EYE] - points[_RIGHT_EYE]
    x_axis = across / max(float(np.linalg.norm(across)), 1e-9)
    centered = (points - points.mean(0)) @ np.array([x_axis, [-x_axis[1], x_axis[0]]]).T
    spread = max(float(np.sqrt((centered**2).sum(1).mean())), 1e-9)
    return np.column_stack([centered, depth - depth.mean()]) / spread


def angle_deg(a: np.ndarray, b: np.ndarray) -> float:
    """Return the angle from one vector (2,) to another, degrees in (-180, 180]."""
    return float(np.rad2deg(np.arctan2(a[0] * b[1] - a[1] * b[0], a @ b)))
