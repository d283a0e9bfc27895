"""One picture of all 52 actions of a person."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.reenactment.reenactor import Reenactor
from smirk3d.viz.contact_sheet import contact_sheet

COLUMNS = 9
CELL_PX = 256
"""Height of a cell."""
MARGIN = 0.66
"""Side of the shown square over that of the region that may change."""
_WITH = {"mouthClose": {"jawOpen": 1.0}}


def action_sheet(
    reenactor: Reenactor, cell_px: int = CELL_PX, advance: Callable[[], None] = lambda: None
) -> np.ndarray:
    """Return the person with each action added to the photo's expression, after the photo itself.

    Args:
        reenactor: The person.
        cell_px: Side of each picture.
        advance: Called after each action.

    Returns:
        (H, W, 3) uint8.
    """
    source = reenactor.source
    pictures = [_face_square(reenactor, source.pixels, cell_px)]
    for name in ARKIT_NAMES:
        pictures.append(
            _face_square(reenactor, reenactor({**source.face.arkit, **_WITH.get(name, {}), name: 1.0}), cell_px)
        )
        advance()
    return contact_sheet(pictures, ["photo", *ARKIT_NAMES], COLUMNS)


def _face_square(reenactor: Reenactor, pixels: np.ndarray, side_px: int) -> np.ndarray:
    """Return the square around the face, as far as the photo (H, W, 3) has it."""
    region, (height, width) = reenactor.source.region, pixels.shape[:2]
    margin = round(region.side_px * (1 - MARGIN) / 2)
    x0, y0 = max(region.x0 + margin, 0), max(region.y0 + margin, 0)
    x1, y1 = min(region.x0 + region.side_px - margin, width), min(region.y0 + region.side_px - margin, height)
    part = Image.fromarray(np.ascontiguousarray(pixels[y0:y1, x0:x1]))
    factor = side_px / max(part.size)
    size = (max(1, round(part.width * factor)), max(1, round(part.height * factor)))
    return np.asarray(part.resize(size, Image.Resampling.LANCZOS))
