"""Draw the figure of docs/vae.md: four people of London Faces, edits of their photos, and a decoded window.

Usage: python scripts/vae_figure.py LONDON_FACES [OUT.jpg]    (docs/images/vae_edits.jpg when not given)
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from smirk3d.fer.vae.expression_vae import ExpressionVAE
from smirk3d.viz.contact_sheet import contact_sheet

PEOPLE = ("002", "022", "064", "112")
EDITS = (("smile", 1.0), ("smile", 2.0), ("smile", -1.0), ("brows_up", 1.0), ("open_mouth", 1.0))
BOX_PX = (150, 110, 490, 450)
"""Left, top, right and bottom of the faces in the photos."""
CELL_PX = 200


def _cell(pixels: np.ndarray, box_px: tuple[int, int, int, int] | None = None) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((CELL_PX, CELL_PX), Image.Resampling.LANCZOS, box=box_px))


def main(folder: Path, out: Path) -> None:
    """Edit the photos and write the sheet."""
    cells, captions = [], []
    vae = ExpressionVAE()
    for person in PEOPLE:
        edits = [vae.edit(folder / f"{person}_neutral.jpg", {name: amount}) for name, amount in EDITS]
        cells += [_cell(edits[0].original, BOX_PX), *(_cell(each.photo, BOX_PX) for each in edits)]
        cells.append(_cell(edits[0].edited))
        captions += ["photo", *(f"{name}={amount:+.0f}" for name, amount in EDITS), "decoded, smile=+1"]
    sheet = contact_sheet(cells, captions, len(EDITS) + 2)
    Image.fromarray(sheet).convert("RGB").save(out, quality=85)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "docs/images/vae_edits.jpg"))
