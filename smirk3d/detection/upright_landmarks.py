"""Whether landmarks look like those of an upright face, by their arrangement alone.

On faces that are upside down or on their side the landmarker also finds landmarks that lie level, but their arrangement
differs from that of any upright face. A linear score of a few coordinates tells them apart in microseconds;
`smirk3d.detection.orientation`, which runs a network, decides where the score is in doubt.
"""

from __future__ import annotations

import numpy as np

_RIGHT_EYE, _LEFT_EYE = 33, 263  # outer corners in MediaPipe's mesh
_COORDINATES = (
    (348, "y", -2.195),
    (1, "z", 5.531),
    (119, "x", -10.050),
    (337, "y", 1.592),
    (27, "x", 3.693),
    (181, "y", -17.666),
    (180, "y", 13.511),
    (18, "y", 2.594),
    (211, "x", 1.711),
    (292, "x", -1.995),
    (162, "y", -1.880),
    (267, "y", -3.011),
)
"""Landmark, coordinate and weight in the score, which is near 1 for landmarks on a face that is not upright and near -1
for others: least squares on 4,400 detections in turned photos of faces, by `scripts/fit_orientation.py`."""
_OFFSET = 4.256
_MAX_SCORE = -0.5
"""Higher scores are in doubt: a fifth of those of upright faces, and all of the others on photos held out."""
_ROWS = np.array([landmark for landmark, _, _ in _COORDINATES])
_COLUMNS = np.array(["xyz".index(axis) for _, axis, _ in _COORDINATES])
_WEIGHTS = np.array([weight for _, _, weight in _COORDINATES])


def are_upright(landmarks_px: np.ndarray, depth: np.ndarray) -> bool:
    """Return whether landmarks are without doubt those of an upright face, relative to their eye line.

    Args:
        landmarks_px: (478, 2) pixels, x right, y down.
        depth: (478,) pixels, smaller is nearer.
    """
    points = normalized(landmarks_px, depth)
    return bool(points[_ROWS, _COLUMNS] @ _WEIGHTS + _OFFSET <= _MAX_SCORE)


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
