"""Quality measures of detected faces, and the limits below which a face is not used for training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from smirk3d.detection.detector import Detection
from smirk3d.head.landmark_indices import MIRROR, OUTER_EYE_CORNERS

SHARPNESS_SIDE_PX = 128
"""Faces are resized to this side before the sharpness is measured, so that it does not depend on their size."""


@dataclass(frozen=True)
class QualityLimits:
    """Which faces are kept.

    Attributes:
        min_face_px: Smallest mean of width and height of the landmark box in pixels of the photo; 48 to 128.
        min_sharpness: Smallest variance of the Laplacian, see `sharpness`; 0: no limit.
        min_inside: Smallest share of landmarks in the photo, in [0, 1].
        max_roll_deg: Largest angle of the eye line to the horizontal, degrees.
        max_mirror_error: Largest disagreement with the mirrored photo, see `mirror_error`; 0.05 is usual, None: not
            measured.
    """

    min_face_px: float = 64.0
    min_sharpness: float = 5.0
    min_inside: float = 0.9
    max_roll_deg: float = 60.0
    max_mirror_error: float | None = None


@dataclass(frozen=True)
class Quality:
    """Quality measures of a face, see `QualityLimits`.

    Attributes:
        face_px: Mean of width and height of the landmark box, pixels.
        sharpness: Variance of the Laplacian.
        inside: Share of the landmarks in the photo.
        roll_deg: Angle of the eye line to the horizontal, degrees.
        mirror_error: Disagreement with the mirrored photo, in face sizes; NaN where not measured.
    """

    face_px: float
    sharpness: float
    inside: float
    roll_deg: float
    mirror_error: float = float("nan")

    def defect(self, limits: QualityLimits) -> str | None:
        """Return the first limit that the face violates, with numbers in parentheses; None where there is none."""
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
        pixels: (H, W, 3) uint8 RGB photo.
        face: Detection in it.
        detect: Detects faces in the mirrored photo; without it there is no mirror error.
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
    """Return the mean of width and height of the box of landmarks (L, 2), pixels."""
    return float(np.ptp(landmarks_px, axis=0).mean())


def sharpness(pixels: np.ndarray, box_px: np.ndarray) -> float:
    """Return the variance of the Laplacian (four neighbours) of the grey face at 128 × 128, values in [0, 255].

    Source: Pertuz et al., "Analysis of focus measure operators for shape-from-focus", Pattern Recognition 2013, LAPV.

    Args:
        pixels: (H, W, 3) uint8 RGB photo.
        box_px: (4,) x0, y0, x1, y1; clipped to the photo.
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
    """Return the mean landmark distance to the detection in the mirrored photo, in face sizes; infinite without one.

    Landmarks that change under mirroring are unreliable.

    Args:
        pixels: (H, W, 3) uint8 RGB photo.
        face: Detection in it.
        detect: Detects faces in the mirrored photo.
    """
    mirrored = [found.landmarks_px[list(MIRROR)] for found in detect(np.ascontiguousarray(pixels[:, ::-1]))]
    flip, width = np.array([-1, 1]), np.array([pixels.shape[1], 0])
    errors = [np.linalg.norm(flip * points + width - face.landmarks_px, axis=1).mean() for points in mirrored]
    return float(min(errors, default=float("inf"))) / face_size_px(face.landmarks_px)
