"""Overlay images that show a result: photo, mesh over photo, frontal mesh, strongest weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from smirk3d.assets import atomic_path
from smirk3d.face import Face
from smirk3d.viz.bars import bar_plot
from smirk3d.viz.head_image import draw_in_photo, draw_portrait, face_textures

PANEL_HEIGHT_PX = 512
PANEL_RATIO = (0.6, 1.6)
"""Minimum and maximum width of the photo's panel relative to its height."""
MAX_SHOWN_FACES = 3
OPACITY = 0.85
_MARGIN = 0.35
_BACKGROUND_GREY = 0.93
_GREY_RANGE = 2.0
"""Mean difference between the channels of a photo below which it is grey, in levels of 255."""
_PNG_LEVEL = 2
"""Compression level of zlib; the default takes four times as long for files a tenth smaller."""

Box = tuple[float, float, float, float]


def overlay(faces: Face | Sequence[Face], pixels: np.ndarray) -> np.ndarray:
    """Draw one row of panels: photo | meshes over the photo | frontal mesh and weights of each of the first 3 faces.

    Large photos are cropped to the heads with a margin. The frontal mesh has the expression, but not the rotation of
    the head.

    Args:
        faces: One face, or all faces of the photo.
        pixels: (H, W, 3) uint8 RGB, the photo.

    Returns:
        (H', W', 3) uint8 RGB; H' is `PANEL_HEIGHT_PX`.

    Raises:
        ValueError: No face is given, or `pixels` does not have the size of the photo that the faces are from.
    """
    found = [faces] if isinstance(faces, Face) else list(faces)
    if not found:
        raise ValueError("an overlay needs at least one face")
    height, width = pixels.shape[:2]
    if found[0].image_size != (width, height):
        raise ValueError(f"the faces are from a photo of size {found[0].image_size}, not {(width, height)}")
    box = _crop_box(found, width, height)
    photo = _crop(pixels, box)
    panels = [photo, over_photo(found, photo, box)]
    for face in found[:MAX_SHOWN_FACES]:
        panels += [front_view(face), weight_bars(face)]
    return np.concatenate(panels, axis=1)


def over_photo(faces: Sequence[Face], photo: np.ndarray, box_px: Box) -> np.ndarray:
    """Draw meshes over a part of a photo; without colours where the photo has none.

    Args:
        faces: Faces of the photo.
        photo: (H, W, 3) uint8 RGB, the part of the photo, resized.
        box_px: x0, y0, x1, y1 of the part in pixels of the photo.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    image = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255
    # Nearest face last, so that it covers the others.
    for face in sorted(faces, key=lambda face: face.camera.scale_px_per_m):
        drawing = draw_in_photo(face, box_px, photo.shape[:2], face_textures(face))
        image = torch.lerp(image, drawing.over(image), OPACITY)
    drawn = _pixels(image)
    is_grey = np.ptp(photo, axis=2).mean() < _GREY_RANGE
    return np.asarray(Image.fromarray(drawn).convert("L").convert("RGB")) if is_grey else drawn


def front_view(face: Face, size: tuple[int, int] = (PANEL_HEIGHT_PX, PANEL_HEIGHT_PX * 3 // 4)) -> np.ndarray:
    """Draw the mesh of a face from the front, with its expression, on light grey.

    Args:
        face: The face.
        size: Height and width in pixels.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    drawing = draw_portrait(face.head, face.vertices, np.eye(3), size, face_textures(face))
    return _pixels(drawing.over(torch.full((1, 3, 1, 1), _BACKGROUND_GREY)))


def weight_bars(face: Face, count: int = 12) -> np.ndarray:
    """Draw the largest ARKit weights of a face, and its pose.

    Args:
        face: The face.
        count: Maximum number of weights.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    yaw, pitch, roll = face.angles_deg
    title = f"yaw {yaw:.0f}°  pitch {pitch:.0f}°  roll {roll:.0f}°  confidence {face.confidence:.2f}"
    shown = [(name, weight) for name, weight in face.strongest(count) if weight >= 0.005]
    return bar_plot(shown, (PANEL_HEIGHT_PX, PANEL_HEIGHT_PX * 3 // 4), title=title, slots=count)


def save_png(path: str | Path, image: np.ndarray) -> None:
    """Write an image as PNG, atomically.

    Args:
        path: The file; its folder must exist.
        image: (H, W, 3) uint8 RGB.

    Raises:
        Smirk3dError: Writing failed.
    """
    with atomic_path(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG", compress_level=_PNG_LEVEL)


def _crop_box(faces: Sequence[Face], width: int, height: int) -> Box:
    """Return the part of the photo to show: the heads with a margin, in the proportions `PANEL_RATIO` if possible."""
    points = np.concatenate([face.project(face.vertices) for face in faces])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = _MARGIN * max(high[1] - low[1], 1.0)
    x0, y0 = np.maximum(low - margin, 0)
    x1, y1 = np.minimum(high + margin, (width, height))
    if x1 - x0 < 8 or y1 - y0 < 8:  # the mesh is outside the photo: show all of it
        return 0.0, 0.0, float(width), float(height)
    min_ratio, max_ratio = PANEL_RATIO
    missing_x, missing_y = min_ratio * (y1 - y0) - (x1 - x0), (x1 - x0) / max_ratio - (y1 - y0)
    x0, x1 = _widen(x0, x1, missing_x, width)
    y0, y1 = _widen(y0, y1, missing_y, height)
    return float(x0), float(y0), float(x1), float(y1)


def _widen(low: float, high: float, missing: float, limit: float) -> tuple[float, float]:
    """Return the interval, extended by `missing` (if positive) within [0, limit]."""
    grow = min(max(missing, 0.0), limit - (high - low))
    length = high - low + grow
    new_low = min(max(low - grow / 2, 0.0), limit - length)
    return new_low, new_low + length


def _crop(pixels: np.ndarray, box_px: Box) -> np.ndarray:
    x0, y0, x1, y1 = box_px
    size = (max(round(PANEL_HEIGHT_PX * (x1 - x0) / (y1 - y0)), 1), PANEL_HEIGHT_PX)
    # Only the pixels in reach of the filter; the photo may be a hundred times larger.
    reach = 4 * max((x1 - x0) / size[0], (y1 - y0) / size[1], 1.0)
    left, top = max(int(x0 - reach), 0), max(int(y0 - reach), 0)
    part = Image.fromarray(pixels[top : int(y1 + reach) + 1, left : int(x1 + reach) + 1])
    # `box` accepts fractions of pixels, so that mesh and photo stay aligned.
    box = (x0 - left, y0 - top, x1 - left, y1 - top)
    return np.asarray(part.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=2.0)).copy()


def _pixels(image: torch.Tensor) -> np.ndarray:
    return (image[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
