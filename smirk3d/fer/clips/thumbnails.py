"""Thumbnails of a clip's whole frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from smirk3d.errors import Smirk3dError
from smirk3d.fer.clips.strip import N_THUMBNAILS
from smirk3d.fer.detected_faces import THUMBNAIL_PX
from smirk3d.media.video import open_source

MAX_FRAMES = 300
"""Frames after which no more are read."""


def clip_thumbnails(path: Path) -> np.ndarray:
    """Return the central squares of evenly spaced frames, (K, 72, 72, 3) uint8 RGB.

    Args:
        path: A video file or a folder of frames.

    Raises:
        Smirk3dError: It cannot be read.
    """
    pictures: list[np.ndarray] = []
    for frame in open_source(str(path)).frames():
        height, width = frame.pixels.shape[:2]
        side = min(height, width)
        left, top = (width - side) // 2, (height - side) // 2
        picture = Image.fromarray(frame.pixels).crop((left, top, left + side, top + side))
        pictures.append(np.asarray(picture.resize((THUMBNAIL_PX, THUMBNAIL_PX))))
        if len(pictures) >= MAX_FRAMES:
            break
    if not pictures:
        raise Smirk3dError(f"{path}: has no frames")
    chosen = np.linspace(0, len(pictures) - 1, min(N_THUMBNAILS, len(pictures))).round().astype(int)
    return np.stack([pictures[k] for k in chosen])
