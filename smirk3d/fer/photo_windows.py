"""Face windows of photos: placed by landmarks, or whole pictures that are face crops already."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smirk3d.detection.detector import Detector
from smirk3d.errors import NoFaceError
from smirk3d.estimation.photo_source import PhotoSource, display_name, read_photo
from smirk3d.fer.face_windows import crop_window, face_window


def window_of_photo(photo: PhotoSource, detector: Detector | None) -> np.ndarray:
    """Return the window (48, 48) uint8 of the largest face of a photo.

    Args:
        photo: As for `Reconstructor`.
        detector: Finds the face; None: the picture is a face crop framed as in FER2013.

    Raises:
        NoFaceError: No face was found.
        Smirk3dError: The photo cannot be read.
    """
    return windows_of_photo(photo, detector)[0]


def windows_of_photo(photo: PhotoSource, detector: Detector | None) -> np.ndarray:
    """Return the windows (N, 48, 48) uint8 of all faces of a photo, largest first; otherwise as `window_of_photo`."""
    pixels = read_photo(photo).pixels
    if detector is None:
        return crop_window(pixels)[None]
    found = detector.detect(pixels)
    if not found:
        raise NoFaceError(
            f"{display_name(photo)}: no face found; is a face in the picture? Face crops need --crops (crops=True)"
        )
    return np.stack([face_window(pixels, each.landmarks_px) for each in found])


def stacked_windows(photos: Sequence[PhotoSource], detector: Detector | None) -> np.ndarray:
    """Return the windows (N, 48, 48) uint8 of the largest faces of photos."""
    return np.stack([window_of_photo(photo, detector) for photo in photos])
