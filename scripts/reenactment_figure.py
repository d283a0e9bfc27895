"""Draw the figure of docs/reenactment.md: four people of London Faces with other expressions by the mesh engine.

Usage: python scripts/reenactment_figure.py LONDON_FACES [OUT.jpg]    (docs/images/reenactment.jpg when not given)
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from smirk3d import Reconstructor
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.reenactment.expression_text import parse_expression
from smirk3d.reenactment.reenactor import Reenactor
from smirk3d.viz.contact_sheet import contact_sheet

PEOPLE = ("010", "042", "030", "140")
EXPRESSIONS = ("smile=.9", "open=.8", "blink", "pucker", "browsUp,wide=.6", "browsDown=.8,frown=.6")
TURN_DEG = (9.0, 4.0, 6.0)
"""Yaw, pitch and roll of the last column."""
BOX_PX = (130, 105, 510, 548)
"""Left, top, right and bottom of the faces in the photos."""
CELL_PX = (168, 196)


def main(folder: Path, out: Path) -> None:
    """Move the photos and write the sheet."""
    cells: list[np.ndarray] = []
    captions: list[str] = []
    with Reconstructor() as reconstructor:
        for person in PEOPLE:
            reenactor = Reenactor(folder / f"{person}_neutral.jpg", reconstructor)
            face = reenactor.source.face
            changed = [reenactor({**face.arkit, **parse_expression(text)}) for text in EXPRESSIONS]
            turned = reenactor({**face.arkit, **parse_expression("smile=.4")}, _turned(face.rotation))
            cells += [_cell(each) for each in (reenactor.source.pixels, *changed, turned)]
            captions += ["photo", *EXPRESSIONS, "smile=.4, turned"]
    sheet = contact_sheet(cells, captions, len(EXPRESSIONS) + 2)
    Image.fromarray(sheet).save(out, quality=85, optimize=True)
    print(f"{out}: {len(cells)} pictures, {out.stat().st_size / 1000:.0f} kB")


def _turned(rotation: np.ndarray) -> np.ndarray:
    return rotation_from_angles(*TURN_DEG) @ rotation


def _cell(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize(CELL_PX, Image.Resampling.LANCZOS, box=BOX_PX))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "docs/images/reenactment.jpg"))
