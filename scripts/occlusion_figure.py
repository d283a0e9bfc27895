"""Make the figure of docs/occlusion.md: a face, things drawn before it, what is found, and the repaired face.

The photo is scikit-image's portrait of Eileen Collins (NASA, public domain), unless photos are named.

Usage: python scripts/occlusion_figure.py [OUT.jpg [PHOTO...]]    (docs/images/occlusion.jpg when not given)
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.data import astronaut

from smirk3d.detection.detector import Detector
from smirk3d.estimation.photo_source import PhotoSource, read_photo
from smirk3d.evaluation.occluded_windows import draw_condition
from smirk3d.fer.face_windows import face_window
from smirk3d.fer.occlusion.patches import SIDE_PX
from smirk3d.fer.occlusion.repair import repair_windows
from smirk3d.fer.occlusion.sheet import tinted
from smirk3d.viz.contact_sheet import contact_sheet

DRAWN = ("block of 25 %", "mask", "sunglasses", "hand", "scarf", "page")
"""What is drawn before each face, in turn."""
PANEL_PX = 168
SEED = 4
CAPTIONS = ("drawn", "found", "repaired", "the face")


def main(target: Path, photos: Sequence[PhotoSource]) -> None:
    """Write the figure as JPEG: two drawings a row, four panels each."""
    panels: list[np.ndarray] = []
    for number, name in enumerate(DRAWN):
        photo = photos[number % len(photos)]
        pixels = read_photo(photo).pixels
        with Detector() as detector:
            window = face_window(pixels, detector.detect(pixels)[0].landmarks_px, SIDE_PX)
        drawn = draw_condition(window[None], name, SEED).windows
        repaired = repair_windows(drawn)
        grey = [np.repeat(each[..., None], 3, axis=2) for each in (drawn[0], repaired.windows[0], window)]
        panels += [grey[0], tinted(drawn[0], repaired.hidden[0]), *grey[1:]]
    large = [np.asarray(Image.fromarray(each).resize((PANEL_PX,) * 2, Image.Resampling.BICUBIC)) for each in panels]
    figure = contact_sheet(large, CAPTIONS * len(DRAWN), 2 * len(CAPTIONS))
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(figure).save(target, quality=88, optimize=True)
    print(f"{target}: {figure.shape[1]} x {figure.shape[0]} pixels, {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/occlusion.jpg"), sys.argv[2:] or [astronaut()])
