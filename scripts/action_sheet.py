"""Draw every ARKit blendshape of the open head at full weight, from the front and from three quarters.

mouthClose brings the lips together on an open jaw and is drawn with jawOpen.

Usage: python scripts/action_sheet.py [OUT.jpg]    (docs/images/actions.jpg when not given)
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from smirk3d.authoring.load import load_head
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams
from smirk3d.viz.contact_sheet import contact_sheet
from smirk3d.viz.head_image import draw_portrait

HEAD_PX = (300, 240)
FACE_ROWS = slice(75, 265)
"""Rows of the rendered head that the sheet shows."""
COLUMNS = 7
VIEWS_YAW_DEG = (0.0, 40.0)
BACKGROUND = 0.93


def main(target: Path) -> None:
    """Write the sheet as JPEG."""
    head = load_head("open")
    images, captions = [], []
    for index, name in enumerate(("neutral", *head.expression_names)):
        weights = torch.zeros(head.n_expression)
        if index:
            weights[index - 1] = 1.0
        if name == "mouthClose":
            weights[head.expression_names.index("jawOpen")] = 1.0
        vertices = head(FaceParams(expression=weights)).vertices.numpy()
        images.append(np.concatenate([render_view(head, vertices, yaw) for yaw in VIEWS_YAW_DEG], axis=1))
        captions.append(f"{name} + jawOpen" if name == "mouthClose" else name)
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(contact_sheet(images, captions, COLUMNS)).save(target, quality=82, optimize=True)
    print(f"{target}: {len(images)} pictures, {target.stat().st_size / 1000:.0f} kB")


def render_view(head: HeadModel, vertices: np.ndarray, yaw_deg: float) -> np.ndarray:
    """Render the face of vertices (V, 3) at a yaw: (H, W, 3) uint8."""
    layer = draw_portrait(head, vertices, rotation_from_angles(yaw_deg, 0, 0), HEAD_PX)
    image = layer.over(torch.full((1, 3, 1, 1), BACKGROUND))[0]
    return (image * 255).round().byte().permute(1, 2, 0).numpy()[FACE_ROWS]


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/actions.jpg"))
