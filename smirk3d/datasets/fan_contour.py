"""Face contours by FAN: reading of files with its landmarks, and their assignment to detected faces.

FAN, the face alignment network (Bulat and Tzimiropoulos, ICCV 2017), predicts the 68 iBUG landmarks; the first 17 lie
on the visible contour, which no MediaPipe landmark follows. For the photo `STEM.jpg`, STEM being its path below the
input folder, FAN's landmarks are in `STEM.npy` below the folder of contours; where two photos share a stem, in
`STEM.jpg.npy` and `STEM.png.npy`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smirk3d.assets import printable
from smirk3d.bounded_io import one_line, parse_npy, read_bytes
from smirk3d.datasets.quality import face_size_px
from smirk3d.head.landmark_indices import IBUG68

CONTOUR_COUNT = 17
"""From the subject's right ear over the chin to the left one."""
KNOWN, NO_FILE, UNUSABLE, OTHER_FACE = "known", "without a file", "with an unusable file", "not the face in the file"
MAX_FILE_BYTES = 1 << 20
"""Largest file of one photo's contours."""
MAX_DISTANCE = 0.2
"""Mean distance between FAN's inner landmarks and MediaPipe's, in face sizes, above which the faces differ."""


@dataclass(frozen=True, eq=False)
class FanLandmarks:
    """FAN's landmarks in one photo.

    Attributes:
        points_px: (N, 68, 2) float32, iBUG landmarks of N faces in pixels of the upright photo.
        missing: `NO_FILE` or `UNUSABLE` where N is 0 for that reason, else "".
    """

    points_px: np.ndarray
    missing: str = ""

    def contour(self, landmarks_px: np.ndarray) -> tuple[np.ndarray | None, str]:
        """Return the contour (17, 2) of a face, if there is one, and its state.

        It is taken from the face whose other 51 landmarks are nearest to the corresponding ones of MediaPipe.

        Args:
            landmarks_px: (478, 2) MediaPipe's landmarks of the face, pixels.
        """
        if self.missing:
            return None, self.missing
        inner = landmarks_px[list(IBUG68[CONTOUR_COUNT:])]
        distance = np.linalg.norm(self.points_px[:, CONTOUR_COUNT:] - inner, axis=-1).mean(axis=-1)
        if len(distance) == 0 or distance.min() > MAX_DISTANCE * face_size_px(landmarks_px):
            return None, OTHER_FACE
        return self.points_px[distance.argmin(), :CONTOUR_COUNT], KNOWN


def read_fan(folder: Path, stem: str, report: Callable[[str], None]) -> FanLandmarks:
    """Read FAN's landmarks of a photo.

    Args:
        folder: Folder of contours.
        stem: Stem of the photo, may contain folders.
        report: Receives a line about a file that cannot be used.
    """
    path, nothing = folder / f"{stem}.npy", np.zeros((0, 68, 2), np.float32)
    if not path.is_file():
        return FanLandmarks(nothing, NO_FILE)
    try:
        return FanLandmarks(_points(path))
    except (OSError, ValueError) as error:
        reason = one_line(error)
        report(f"{printable(path)}: no contour ({printable(reason)}); give a .npy of (68, 2) or (N, 68, 2) pixels")
        return FanLandmarks(nothing, UNUSABLE)


def _points(path: Path) -> np.ndarray:
    array = parse_npy(read_bytes(path, MAX_FILE_BYTES))
    if array.size == 0:  # FAN detected no face
        return np.zeros((0, 68, 2), np.float32)
    if array.shape[-2:] != (68, 2) or array.ndim > 3 or array.dtype.kind not in "fiu":
        raise ValueError(f"shape {array.shape} of {array.dtype}")
    if not np.isfinite(array).all():
        raise ValueError("numbers that are not finite")
    return array.reshape(-1, 68, 2).astype(np.float32)
