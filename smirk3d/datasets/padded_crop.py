"""The padded crop of a face that a shard stores; all training crops are taken from it."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from smirk3d.datasets.quality import face_size_px

PADDED_SCALE = 2.5
"""Side of the padded crop over that of the face; a crop of scale 1.8 fits, shifted by 5 %, enlarged by 10 % and rotated
by 10°."""
JPEG_QUALITY = 95


@dataclass(frozen=True, eq=False)
class PaddedCrop:
    """An image of one face.

    Attributes:
        jpeg: Encoded RGB image.
        size_px: Its width and height.
        landmarks_px: (478, 2) float32, pixels of the image.
        corner_px: (2,) its top-left corner in pixels of the photo.
        scale_xy: (2,) pixels of the image per pixel of the photo, x and y.
    """

    jpeg: bytes
    size_px: tuple[int, int]
    landmarks_px: np.ndarray
    corner_px: np.ndarray
    scale_xy: np.ndarray

    @property
    def scale(self) -> float:
        """Pixels of the image per pixel of the photo, horizontally."""
        return float(self.scale_xy[0])

    def from_photo(self, points_px: np.ndarray) -> np.ndarray:
        """Convert pixels of the photo (..., 2) to pixels of the image (..., 2) float32."""
        return _to_crop(points_px, self.corner_px, self.scale_xy)


def crop_padded(pixels: np.ndarray, landmarks_px: np.ndarray, max_side_px: int = 512) -> PaddedCrop:
    """Crop a photo around a face with a wide margin.

    The crop ends at the edge of the photo; nothing is padded with invented pixels.

    Args:
        pixels: (H, W, 3) uint8 RGB photo.
        landmarks_px: (478, 2) landmarks in pixels of the photo.
        max_side_px: Larger crops are reduced to this longer side.

    Raises:
        ValueError: The face lies outside the photo.
    """
    from PIL import Image

    center = (landmarks_px.min(axis=0) + landmarks_px.max(axis=0)) / 2
    half = PADDED_SCALE * face_size_px(landmarks_px) / 2
    limits = np.array([pixels.shape[1], pixels.shape[0]])
    low = np.floor(np.clip(center - half, 0, limits)).astype(int)
    high = np.ceil(np.clip(center + half, 0, limits)).astype(int)
    if (low >= high).any():
        raise ValueError("the face lies outside the photo")
    image = Image.fromarray(pixels[low[1] : high[1], low[0] : high[0]])
    factor = min(1.0, max_side_px / max(image.size))
    width, height = (max(1, round(side * factor)) for side in image.size)
    if factor < 1.0:
        image = image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=JPEG_QUALITY)
    scale = np.array([width, height]) / (high - low)
    return PaddedCrop(file.getvalue(), (width, height), _to_crop(landmarks_px, low, scale), low, scale)


def _to_crop(points_px: np.ndarray, corner_px: np.ndarray, scale_xy: np.ndarray) -> np.ndarray:
    return ((points_px - corner_px) * scale_xy).astype(np.float32)
