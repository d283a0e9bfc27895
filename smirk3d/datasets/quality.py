"""Whether a detected face is good enough to learn from, in numbers and, where not, in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from smirk3d.detection.detector import Detection
from smirk3d.head.landmark_indices import MIRROR, OUTER_EYE_CORNERS

SHARPNESS_SIDE_PX = 128
"""Faces are brought to this size before their sharpness is measured, so that it does not depend on theirs."""


@dataclass(frozen=True)
class QualityLimits:
    """Which faces are kept.

    Attributes:
        min_face_px: Smallest mean of width and height of the landmarks' box in pixels of the photo.
        min_sharpness: Smallest variance of the Laplacian, see `sharpness`.
        min_inside: Smallest share of landmarks that lie in the photo.
        max_roll_deg: Largest turn of the line of the eyes in the picture.
        max_mirror_error: Largest disagreement with the mirrored photo, see `mirror_error`; None does not look.
    """

    min_face_px: float = 64.0
    min_sharpness: float = 5.0
    min_inside: float = 0.9
    max_roll_deg: float = 60.0
    max_mirror_error: float | None = None


@dataclass(frozen=True)
class Quality:
    """What was measured of a face; the limits of `QualityLimits` are about these. NaN where not looked at."""

    face_px: float
    sharpness: float
    inside: float
    roll_deg: float
    mirror_error: float = float("nan")

    def defect(self, limits: QualityLimits) -> str | None:
        """Say why the face is not good enough, kind first and numbers in parentheses; None where it is."""
        checks = (
            (self.face_px < limits.min_face_px, f"too small ({self.face_px:.0f} px)"),
            (self.inside < limits.min_inside, f"partly outside (only {self.inside:.0%} of the landmarks inside)"),
            (abs(self.roll_deg) > limits.max_roll_deg, f"lies sideways ({self.roll_deg:.0f}°)"),
            (self.sharpness < limits.min_sharpness, f"blurred (sharpness {self.sharpness:.1f})"),
            (
                limits.max_mirror_error is not None and self.mirror_error > limits.max_mirror_error,
                f"landmarks unsure (mirror error {self.mirror_error:.3f})",
            ),
        )
        return next((text for bad, text in checks if bad), None)


def measure(
    pixels: np.ndarray, face: Detection, detect: Callable[[np.ndarray], Sequence[Detection]] | None = None
) -> Quality:
    """Measure a face.

    Args:
        pixels: (H, W, 3) uint8 RGB photo. face: What was found in it.
        detect: Finds faces in the mirrored picture; without it there is no mirror error.
    """
    x, y = face.landmarks_px.T
    height, width = pixels.shape[:2]
    right, left = face.landmarks_px[list(OUTER_EYE_CORNERS)]
    return Quality(
        face_px=face_size_px(face.landmarks_px),
        sharpness=sharpness(pixels, face.box_px),
        inside=float(((x >= 0) & (x <= width) & (y >= 0) & (y <= height)).mean()),
        roll_deg=float(np.rad2deg(np.arctan2(left[1] - right[1], left[0] - right[0]))),
        mirror_error=float("nan") if detect is None else mirror_error(pixels, face, detect),
    )


def face_size_px(landmarks_px: np.ndarray) -> float:
    """Return the mean of width and height of the box of landmarks (L, 2)."""
    return float(np.ptp(landmarks_px, axis=0).mean())


def sharpness(pixels: np.ndarray, box_px: np.ndarray) -> float:
    """Return the variance of the Laplacian (four neighbours) of the grey face at 128 × 128, values in [0, 255].

    Args:
        pixels: (H, W, 3) uint8 RGB. box_px: (4,) x0, y0, x1, y1; what lies outside the photo is left out.

    Source: Pertuz et al., "Analysis of focus measure operators for shape-from-focus", 2013, LAPV.
    """
    from PIL import Image

    height, width = pixels.shape[:2]
    x0, y0 = (int(max(np.floor(low), 0)) for low in box_px[:2])
    x1, y1 = (int(min(np.ceil(high), side)) for high, side in zip(box_px[2:], (width, height)))
    if x0 >= x1 or y0 >= y1:
        return 0.0
    face = Image.fromarray(pixels[y0:y1, x0:x1]).convert("L")
    grey = np.asarray(face.resize((SHARPNESS_SIDE_PX, SHARPNESS_SIDE_PX), Image.Resampling.BILINEAR), dtype=np.float32)
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * grey[1:-1, 1:-1]).var())


def mirror_error(pixels: np.ndarray, face: Detection, detect: Callable[[np.ndarray], Sequence[Detection]]) -> float:
    """Return how far the landmarks move when the photo is mirrored, in face sizes; infinite where none is found.

    Landmarks that do not agree with their own mirror image are guesses.
    """
    mirrored = [found.landmarks_px[list(MIRROR)] for found in detect(np.ascontiguousarray(pixels[:, ::-1]))]
    flip, width = np.array([-1, 1]), np.array([pixels.shape[1], 0])
    misses = [np.linalg.norm(flip * points + width - face.landmarks_px, axis=1).mean() for points in mirrored]
    return float(min(misses, default=float("inf"))) / face_size_px(face.landmarks_px)
