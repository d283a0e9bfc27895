"""Make the figure of the README: photo, overlay, head, and the same head with other ARKit expressions.

The photo is scikit-image's portrait of Eileen Collins (NASA, public domain).

Usage: python scripts/readme_figure.py [OUT.jpg]    (docs/images/overview.jpg when not given)
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from skimage.data import astronaut

from smirk3d import Face, Reconstructor
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.viz.head_image import draw_portrait, face_textures
from smirk3d.viz.overlay import over_photo

BOX_PX = (104.0, 0.0, 344.0, 240.0)
"""x0, y0, x1, y1 of the part of the photo that is shown."""
PANEL_PX = 400
HEAD_PX = (388, 320)
"""Height and width of the heads of the second row before they are cut to the face."""
FACE_PX = (slice(50, 366), slice(52, 288))
"""Rows and columns of the face in these."""
GAP_PX = 10
CAPTION_PX = 30
PAPER = 0.93
YAW_DEG = 14.0
BROW_UP = {"browInnerUp": 0.9, "browOuterUpLeft": 0.8, "browOuterUpRight": 0.8}
EXPRESSIONS: dict[str, dict[str, float]] = {
    "neutral": {},
    "surprise": {**BROW_UP, "jawOpen": 0.4, "mouthFunnel": 0.4, "eyeWideLeft": 0.7, "eyeWideRight": 0.7},
    "pucker": {"mouthPucker": 0.95, "browInnerUp": 0.3},
    "smirk": {"mouthSmileRight": 0.9, "mouthDimpleRight": 0.5, "mouthRight": 0.5, "browOuterUpRight": 0.8},
    "frown": {
        **{f"{name}{side}": 0.9 for name in ("browDown", "mouthFrown", "noseSneer") for side in ("Left", "Right")},
    },
}


def main(target: Path) -> None:
    """Write the figure as JPEG."""
    photo = astronaut()
    face = Reconstructor()(photo)[0]
    crop = np.array(Image.fromarray(photo).resize((PANEL_PX, PANEL_PX), Image.Resampling.LANCZOS, box=BOX_PX))
    top = [crop, over_photo([face], crop, BOX_PX), portrait(face, YAW_DEG, (PANEL_PX, PANEL_PX))]
    bottom = [portrait(face.with_arkit(weights), YAW_DEG, HEAD_PX)[FACE_PX] for weights in EXPRESSIONS.values()]
    rows = [row(top, ("photo", "overlay", "head")), row(bottom, tuple(EXPRESSIONS))]
    width = max(each.shape[1] for each in rows)
    figure = np.concatenate([centered(each, width) for each in rows])
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(figure).save(target, quality=88, optimize=True)
    print(f"{target}: {figure.shape[1]} x {figure.shape[0]} pixels, {target.stat().st_size / 1000:.0f} kB")


def portrait(face: Face, yaw_deg: float, size: tuple[int, int]) -> np.ndarray:
    """Return a head of `size` (height, width) on light grey: (H, W, 3) uint8."""
    rotation = rotation_from_angles(yaw_deg, 0, 0)
    drawing = draw_portrait(face.head, face.vertices, rotation, size, face_textures(face))
    picture = drawing.over(torch.full((1, 3, 1, 1), PAPER))[0].clamp(0, 1)
    return (picture * 255).round().byte().permute(1, 2, 0).numpy()


def row(panels: Sequence[np.ndarray], captions: Sequence[str]) -> np.ndarray:
    """Return panels (H, W, 3) uint8 of one height side by side, each with its caption below."""
    parts: list[np.ndarray] = []
    for panel, caption in zip(panels, captions):
        line = Image.new("RGB", (panel.shape[1], CAPTION_PX), "white")
        font = ImageFont.load_default(17)
        ImageDraw.Draw(line).text((panel.shape[1] / 2, CAPTION_PX / 2), caption, fill="#444", font=font, anchor="mm")
        gap = np.full((panel.shape[0] + CAPTION_PX, GAP_PX, 3), 255, dtype=np.uint8)
        parts += [np.concatenate([panel, np.asarray(line)]), gap]
    return np.concatenate(parts[:-1], axis=1)


def centered(image: np.ndarray, width: int) -> np.ndarray:
    """Return an image (H, W, 3) with white at both sides up to `width` pixels."""
    missing = width - image.shape[1]
    return np.pad(image, ((0, 0), (missing // 2, missing - missing // 2), (0, 0)), constant_values=255)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/overview.jpg"))
