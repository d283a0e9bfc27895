"""Paint photos with other expressions by the neural renderer: a row for each face, a column for each expression.

python scripts/synthesise.py PHOTOS... --out expressions.png
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from smirk3d import NeuralRenderer, Reconstructor
from smirk3d.errors import NoFaceError
from smirk3d.estimation.resynthesis import resynthesise
from smirk3d.media.images import read_image
from smirk3d.networks.packaged import packaged_neural_renderer
from smirk3d.viz.contact_sheet import contact_sheet
from smirk3d.viz.overlay import save_png

EXPRESSIONS: dict[str, dict[str, float]] = {
    "neutral": {},
    "smile": {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9, "cheekSquintLeft": 0.5, "cheekSquintRight": 0.5},
    "smile, their left": {"mouthSmileLeft": 1.0},
    "jaw open": {"jawOpen": 0.7},
    "surprise": {"jawOpen": 0.4, "browInnerUp": 0.9, "browOuterUpLeft": 0.8, "browOuterUpRight": 0.8},
    "eyes closed": {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
    "wink, their right": {"eyeBlinkRight": 1.0},
    "kiss": {"mouthPucker": 0.9},
    "frown": {"mouthFrownLeft": 0.9, "mouthFrownRight": 0.9, "browDownLeft": 0.9, "browDownRight": 0.9},
    "mouth to their left": {"mouthLeft": 0.9},
}


@dataclass(frozen=True)
class Options:
    """What is painted."""

    photos: tyro.conf.Positional[tuple[Path, ...]]
    out: Path = Path("expressions.png")
    renderer: Path | None = None
    """Instead of the packaged one."""
    meshes: bool = False
    """Show the meshes, too."""


def main(options: Options) -> None:
    """Paint all expressions of all photos and write the sheet."""
    weights = options.renderer or packaged_neural_renderer()
    assert weights is not None, "name a checkpoint with --renderer"
    renderer = NeuralRenderer.from_checkpoint(weights).for_inference()
    pictures: list[np.ndarray] = []
    with Reconstructor(max_faces=1) as reconstructor:
        for path in options.photos:
            pixels = read_image(path).pixels
            try:
                face = reconstructor(path)[0]
            except NoFaceError as error:
                print(error)
                continue
            as_it_is = resynthesise(renderer, face, pixels)
            row = [as_it_is.crop_pixels, as_it_is.photo]
            meshes = [as_it_is.crop_pixels, as_it_is.mesh_image]
            for wanted in EXPRESSIONS.values():
                painted = resynthesise(renderer, face, pixels, changed=face.with_arkit(wanted))
                row.append(painted.photo)
                meshes.append(painted.mesh_image)
            pictures += row + (meshes if options.meshes else [])
    captions = ["photo", "painted", *EXPRESSIONS]
    save_png(options.out, contact_sheet(pictures, captions * (len(pictures) // len(captions)), columns=len(captions)))


if __name__ == "__main__":
    main(tyro.cli(Options))
