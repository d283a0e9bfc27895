"""What the contents of a face in a shard must be: an intact image, landmarks of a face in it, and scores."""

from __future__ import annotations

import io
import warnings

import numpy as np

from smirk3d.bounded_io import one_line
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.landmark_indices import POINT_COUNT
from smirk3d.media.image_formats import check_scans

MAX_IMAGE_PIXELS = 64_000_000
"""Largest decoded image of a face."""
_MAX_REACH = 10.0
"""Largest coordinate of a landmark over the longer side of its picture."""
_MIN_FACE_PX = 2.0
"""Smallest width and height of a face."""
_SCORE_TOLERANCE = 1e-3


def check_landmarks(landmarks_px: np.ndarray, size: tuple[int, int]) -> None:
    """Raise `ValueError` where landmarks are not (478, 2 or 3) points of a face in an image of a width and height."""
    if landmarks_px.shape not in ((POINT_COUNT, 2), (POINT_COUNT, 3)) or not np.isfinite(landmarks_px).all():
        raise ValueError(f"its landmarks are not {POINT_COUNT} finite points")
    if np.abs(landmarks_px).max() > _MAX_REACH * max(size) or np.ptp(landmarks_px[:, :2], axis=0).min() < _MIN_FACE_PX:
        raise ValueError(f"its landmarks are not those of a face in a picture of {size[0]}x{size[1]} pixels")


def check_scores(scores: np.ndarray) -> None:
    """Raise `ValueError` where blendshape scores are not (52,) numbers within 0 and 1."""
    if scores.shape != (len(ARKIT_NAMES),):
        raise ValueError(f"it has {scores.size} blendshape scores, not {len(ARKIT_NAMES)}")
    if not (np.abs(scores - 0.5) <= 0.5 + _SCORE_TOLERANCE).all():
        raise ValueError("a blendshape score is not within 0 and 1")


def jpeg_size(jpeg: bytes) -> tuple[int, int]:
    """Return width and height of an encoded JPEG; the check takes a quarter of a millisecond.

    Raises:
        ValueError: It is too large, or cannot be decoded.
    """
    from PIL import Image

    if not jpeg.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise ValueError("its .jpg ends early")
    with warnings.catch_warnings():  # Pillow warns of large images; the limit is below
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as image:
            width, height = image.size
            if width * height > MAX_IMAGE_PIXELS:
                raise ValueError(f"its .jpg has {width}x{height} pixels, the limit is {MAX_IMAGE_PIXELS}")
            check_scans(jpeg)
            image.draft(None, (1, 1))  # an eighth of the size: all of the data is read, hardly any pixel computed
            try:
                image.load()
            except Exception as error:  # decoders raise anything
                raise ValueError(f"its .jpg cannot be decoded ({one_line(error)})") from error
    return width, height
