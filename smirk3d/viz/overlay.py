"""What was found, at a detect_fast: photo, mesh over photo, frontal mesh, strongest weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from smirk3d.assets import atomic_path
from smirk3d.face import Face
from smirk3d.viz.bars import bar_plot
from smirk3d.viz.head_image import draw_in_photo, draw_portrait

PANEL_HEIGHT_PX = 512
PANEL_RATIO = (0.6, 1.6)
"""Least and largest width of the photo's panel relative to its height."""
SHOWN_FACES = 3
OPACITY = 0.85
_MARGIN = 0.35
_PAPER = 0.93
_PNG_LEVEL = 2
"""zlib's effort: the default takes four times as long for files that are a tenth smaller."""

Box = tuple[float, float, float, float]


def overlay(faces: Face | Sequence[Face], pixels: np.ndarray) -> np.ndarray:
    """Draw one row of panels: photo | meshes over the photo | frontal mesh and bars of each of the first 3
    faces.

    Big photos are cropped to the heads with a margin. The frontal mesh has the expression but not the turn
    of the head.

    Args:
        faces: One face, or all faces of the photo.
        pixels: (H, W, 3) uint8 RGB, the photo.

    Returns:
        (H', W', 3) uint8 RGB; H' is `PANEL_HEIGHT_PX`.

    Raises:
        ValueError: No face is given, or `pixels` has not the size that the faces were found in.
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
    for face in found[:SHOWN_FACES]:
        panels += [front_view(face), weight_bars(face)]
    return np.concatenate(panels, axis=1)


def over_photo(faces: Sequence[Face], photo: np.ndarray, box_px: Box) -> np.ndarray:
    """Draw the meshes over the part `box_px` of a photo, resized to `photo` (H, W, 3) uint8."""
    picture = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255
    # The nearest face last, so that it covers the others.
    for face in sorted(faces, key=lambda face: face.camera.scale_px_per_m):
        drawing = draw_in_photo(face, box_px, photo.shape[:2])
        picture = torch.lerp(picture, drawing.over(picture), OPACITY)
    return _pixels(picture)


def front_view(face: Face, size: tuple[int, int] = (PANEL_HEIGHT_PX, PANEL_HEIGHT_PX * 3 // 4)) -> np.ndarray:
    """Draw a face's mesh from the front with its expression on paper: (H, W, 3) uint8."""
    drawing = draw_portrait(face.head, face.vertices, np.eye(3), size)
    return _pixels(drawing.over(torch.full((1, 3, 1, 1), _PAPER)))


def weight_bars(face: Face, count: int = 12) -> np.ndarray:
    """Draw a face's strongest ARKit weights and its pose: (H, W, 3) uint8."""
    yaw, pitch, roll = face.angles_deg
    title = f"yaw {yaw:.0f}°  pitch {pitch:.0f}°  roll {roll:.0f}°  confidence {face.confidence:.2f}"
    shown = [(name, weight) for name, weight in face.strongest(count) if weight >= 0.005]
    return bar_plot(shown, (PANEL_HEIGHT_PX, PANEL_HEIGHT_PX * 3 // 4), title=title, slots=count)


def save_png(path: str | Path, image: np.ndarray) -> None:
    """Write an image (H, W, 3) uint8 RGB as PNG, whole or not at all.

    Raises:
        Smirk3dError: Writing failed.
    """
    with atomic_path(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG", compress_level=_PNG_LEVEL)


def _crop_box(faces: Sequence[Face], width: int, height: int) -> Box:
    """Return the part of the photo to show: the heads with a margin, within `PANEL_RATIO` where it can be."""
    points = np.concatenate([face.project(face.vertices) for face in faces])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = _MARGIN * max(high[1] - low[1], 1.0)
    x0, y0 = np.maximum(low - margin, 0)
    x1, y1 = np.minimum(high + margin, (width, height))
    if x1 - x0 < 8 or y1 - y0 < 8:  # the mesh lies outside the photo: show all of it
        return 0.0, 0.0, float(width), float(height)
    narrowest, widest = PANEL_RATIO
    missing_x, missing_y = narrowest * (y1 - y0) - (x1 - x0), (x1 - x0) / widest - (y1 - y0)
    x0, x1 = _widen(x0, x1, missing_x, width)
    y0, y1 = _widen(y0, y1, missing_y, height)
    return float(x0), float(y0), float(x1), float(y1)


def _widen(low: float, high: float, missing: float, limit: float) -> tuple[float, float]:
    """Return the interval made longer by `missing` (if positive) within [0, limit]."""
    grow = min(max(missing, 0.0), limit - (high - low))
    length = high - low + grow
    new_low = min(max(low - grow / 2, 0.0), limit - length)
    return new_low, new_low + length


def _crop(pixels: np.ndarray, box_px: Box) -> np.ndarray:
    x0, y0, x1, y1 = box_px
    size = (max(round(PANEL_HEIGHT_PX * (x1 - x0) / (y1 - y0)), 1), PANEL_HEIGHT_PX)
    # Only what the filter reaches of a photo that may be a hundred times larger.
    reach = 4 * max((x1 - x0) / size[0], (y1 - y0) / size[1], 1.0)
    left, top = max(int(x0 - reach), 0), max(int(y0 - reach), 0)
    part = Image.fromarray(pixels[top : int(y1 + reach) + 1, left : int(x1 + reach) + 1])
    # `box` takes fractions of pixels, so that mesh and photo keep to the same place.
    box = (x0 - left, y0 - top, x1 - left, y1 - top)
    return np.asarray(part.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=2.0)).copy()


def _pixels(picture: torch.Tensor) -> np.ndarray:
    return (picture[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
