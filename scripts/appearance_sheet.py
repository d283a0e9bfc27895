"""Make a sheet of people: photo, overlay, neutral head in its appearance from two sides, then with the photo's texture.

Usage: python scripts/appearance_sheet.py OUT.jpg PHOTO...
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from smirk3d import Face, Reconstructor
from smirk3d.export.texture import sample_texture
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.media.images import read_image
from smirk3d.render.appearance.appearance_model import HeadTextures
from smirk3d.render.appearance.materials import iris_colors
from smirk3d.viz.head_image import draw_portrait, face_textures
from smirk3d.viz.overlay import over_photo

PANEL_PX = (240, 186)
"""Height and width of a panel."""
COLUMNS = 2
YAW_DEG = 38.0
MARGIN = 0.62
"""Half the height of the part of the photo, relative to the head."""


def main(target: Path, photos: Sequence[str]) -> None:
    """Write the sheet as JPEG."""
    with Reconstructor() as reconstructor:
        rows = [person(reconstructor, path) for path in photos]
    rows += [np.full_like(rows[0], 255)] * (-len(rows) % COLUMNS)
    lines = [np.concatenate(rows[k : k + COLUMNS], axis=1) for k in range(0, len(rows), COLUMNS)]
    Image.fromarray(np.concatenate(lines)).save(target, quality=86, optimize=True)


def person(reconstructor: Reconstructor, path: str) -> np.ndarray:
    """Return the panels of the largest face of a photo side by side, (H, W, 3) uint8."""
    pixels = read_image(path).pixels
    face = reconstructor(path)[0]
    box = crop_box(face)
    photo = np.array(Image.fromarray(pixels).resize(PANEL_PX[::-1], Image.Resampling.LANCZOS, box=box))
    plain = face_textures(face)
    assert face.appearance is not None
    own = HeadTextures(sample_texture(face, pixels).image, iris_colors(face.appearance.iris))
    heads = [neutral(face, yaw_deg, textures) for textures in (plain, own) for yaw_deg in (0.0, YAW_DEG)]
    return np.concatenate([photo, over_photo([face], photo, box), *heads], axis=1)


def crop_box(face: Face) -> tuple[float, float, float, float]:
    """Return the part x0, y0, x1, y1 of the photo around the head, within the photo as far as it can be."""
    points = face.project(face.vertices)
    center, height = (points.min(0) + points.max(0)) / 2, np.ptp(points[:, 1])
    half = MARGIN * height * np.array([PANEL_PX[1] / PANEL_PX[0], 1.0])
    size = np.array(face.image_size)
    half *= min(1.0, (size / (2 * half)).min())
    center = center.clip(half, size - half)
    return tuple(np.concatenate([center - half, center + half]).tolist())


def neutral(face: Face, yaw_deg: float, textures: HeadTextures | None) -> np.ndarray:
    """Return the neutral head on light grey, (H, W, 3) uint8."""
    rotation = rotation_from_angles(yaw_deg, 0, 0)
    drawing = draw_portrait(face.head, face.neutral_vertices, rotation, PANEL_PX, textures)
    image = drawing.over(torch.full((1, 3, 1, 1), 0.93))[0].clamp(0, 1)
    return (image * 255).round().byte().permute(1, 2, 0).numpy()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
