"""The outline of faces as FAN sees it: files that a user made, and which face of them is meant.

FAN, the face alignment network, gives the 68 iBUG points; their first 17 lie on the visible outline, which no point
of MediaPipe's follows. For the photo `STEM.jpg`, STEM being its path below the folder that was given, FAN's points
are in `STEM.npy` below the folder of contours; where two photos share a stem, in `STEM.jpg.npy` and `STEM.png.npy`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smirk3d.assets import printable
from smirk3d.datasets.quality import face_size_px
from smirk3d.head.landmark_indices import IBUG68

CONTOUR_COUNT = 17
"""From the subject's right ear over the chin to the left one."""
KNOWN, NO_FILE, UNUSABLE, OTHER_FACE = "known", "without a file", "with an unusable file", "not the face in the file"
MOST_APART = 0.2
"""Mean distance of the inner points from MediaPipe's, in face sizes, above which they are those of another face."""


@dataclass(frozen=True, eq=False)
class FanLandmarks:
    """What is known of one photo.

    Attributes:
        points_px: (N, 68, 2) float32, the iBUG points of N faces in pixels of the upright photo.
        lack: `NO_FILE` or `UNUSABLE` where N is 0 for that reason.
    """

    points_px: np.ndarray
    lack: str = ""

    def contour(self, landmarks_px: np.ndarray) -> tuple[np.ndarray | None, str]:
        """Return the contour (17, 2) of the face with MediaPipe's landmarks (478, 2), if there is one, and the state.

        It is taken from the face whose other 51 points lie nearest to MediaPipe's that stand for them.
        """
        if self.lack:
            return None, self.lack
        inner = landmarks_px[list(IBUG68[CONTOUR_COUNT:])]
        apart = np.linalg.norm(self.points_px[:, CONTOUR_COUNT:] - inner, axis=-1).mean(axis=-1)
        if len(apart) == 0 or apart.min() > MOST_APART * face_size_px(landmarks_px):
            return None, OTHER_FACE
        return self.points_px[apart.argmin(), :CONTOUR_COUNT], KNOWN


def read_fan(folder: Path, stem: str, complain: Callable[[str], None]) -> FanLandmarks:
    """Read FAN's points of a photo.

    Args:
        folder: Of the contours. stem: Of the photo, may contain folders. complain: Told of a file without use.
    """
    path, nothing = folder / f"{stem}.npy", np.zeros((0, 68, 2), np.float32)
    if not path.is_file():
        return FanLandmarks(nothing, NO_FILE)
    try:
        return FanLandmarks(_points(path))
    except (OSError, ValueError, EOFError, MemoryError, SyntaxError) as error:  # np.load's, on bytes of any kind
        reason = " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())[:200]
        complain(f"{printable(path)}: no contour ({printable(reason)}); give a .npy of (68, 2) or (N, 68, 2) pixels")
        return FanLandmarks(nothing, UNUSABLE)


def _points(path: Path) -> np.ndarray:
    with warnings.catch_warnings():  # numpy's, about headers that are refused anyway
        warnings.simplefilter("ignore")
        array = np.load(path, allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise ValueError("an archive of arrays")
    if array.size == 0:  # FAN found nobody
        return np.zeros((0, 68, 2), np.float32)
    if array.shape[-2:] != (68, 2) or array.ndim > 3 or array.dtype.kind not in "fiu":
        raise ValueError(f"shape {array.shape} of {array.dtype}")
    if not np.isfinite(array).all():
        raise ValueError("numbers that are not finite")
    return array.reshape(-1, 68, 2).astype(np.float32)
