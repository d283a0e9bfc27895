"""The generous cut about a face that a shard keeps, from which all training crops are taken."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from smirk3d.datasets.quality import face_size_px

CUT_SCALE = 2.5
"""Side of the cut over that of the face: a crop of scale 1.8, moved by 5 %, enlarged by 10 % and turned by 10° fits."""
JPEG_QUALITY = 95


@dataclass(frozen=True, eq=False)
class Cutout:
    """A picture of one face.

    Attributes:
        jpeg: Encoded RGB. size_px: Its width and height. landmarks_px: (478, 2) float32, pixels of it.
        corner_px: (2,) its top-left corner, pixels of the photo. scale_xy: (2,) pixels of it over those of the photo.
    """

    jpeg: bytes
    size_px: tuple[int, int]
    landmarks_px: np.ndarray
    corner_px: np.ndarray
    scale_xy: np.ndarray

    @property
    def scale(self) -> float:
        """Pixels of it over those of the photo, across."""
        return float(self.scale_xy[0])

    def from_photo(self, points_px: np.ndarray) -> np.ndarray:
        """Return pixels of it (..., 2) float32 of pixels of the photo (..., 2)."""
        return _shown(points_px, self.corner_px, self.scale_xy)


def crop_padded(pixels: np.ndarray, landmarks_px: np.ndarray, max_side_px: int = 512) -> Cutout:
    """Cut a photo generously about a face.

    The cut ends where the photo ends: what nobody saw is not made up here.

    Args:
        pixels: (H, W, 3) uint8 RGB. landmarks_px: (478, 2) pixels of the photo.
        max_side_px: The picture is made smaller where its longer side is longer.

    Raises:
        ValueError: The face lies outside the photo.
    """
    from PIL import Image

    center = (landmarks_px.min(axis=0) + landmarks_px.max(axis=0)) / 2
    half = CUT_SCALE * face_size_px(landmarks_px) / 2
    limits = np.array([pixels.shape[1], pixels.shape[0]])
    low = np.floor(np.clip(center - half, 0, limits)).astype(int)
    high = np.ceil(np.clip(center + half, 0, limits)).astype(int)
    if (low >= high).any():
        raise ValueError("the face lies outside the photo")
    picture = Image.fromarray(pixels[low[1] : high[1], low[0] : high[0]])
    factor = min(1.0, max_side_px / max(picture.size))
    width, height = (max(1, round(side * factor)) for side in picture.size)
    if factor < 1.0:
        picture = picture.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=JPEG_QUALITY)
    scale = np.array([width, height]) / (high - low)
    return Cutout(file.getvalue(), (width, height), _shown(landmarks_px, low, scale), low, scale)


def _shown(points_px: np.ndarray, corner_px: np.ndarray, scale_xy: np.ndarray) -> np.ndarray:
    return ((points_px - corner_px) * scale_xy).astype(np.float32)
