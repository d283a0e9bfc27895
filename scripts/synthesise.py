"""Neurally render photos with other expressions: a row for each face, a column for each expression.

python scripts/synthesise.py PHOTOS... --out expressions.png    (or .jpg)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from smirk3d import Face, NeuralRenderer, Reconstructor
from smirk3d.errors import NoFaceError
from smirk3d.estimation.resynthesis import resynthesise
from smirk3d.media.images import read_image
from smirk3d.networks.packaged import packaged_neural_renderer
from smirk3d.reenactment.pictures import save_picture
from smirk3d.viz.contact_sheet import contact_sheet

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
CAPTIONS = ("photo", "neural rendering", *EXPRESSIONS)


@dataclass(frozen=True)
class Options:
    """What is rendered."""

    photos: tyro.conf.Positional[tuple[Path, ...]]
    out: Path = Path("expressions.png")
    renderer: Path | None = None
    """Checkpoint of the neural renderer, instead of the packaged one."""
    meshes: bool = False
    """Show the meshes, too."""


def main(options: Options) -> None:
    """Render all expressions of all photos and write the sheet."""
    path = options.renderer or packaged_neural_renderer()
    if path is None:
        raise SystemExit("this installation has no neural renderer; name a checkpoint with --renderer")
    renderer = NeuralRenderer.from_checkpoint(path).for_inference()
    pictures: list[np.ndarray] = []
    with Reconstructor(max_faces=1) as reconstructor:
        for photo in options.photos:
            try:
                face = reconstructor(photo)[0]
            except NoFaceError as error:
                print(error)
                continue
            photos, meshes = rows_of_face(renderer, face, read_image(photo).pixels)
            pictures += photos + (meshes if options.meshes else [])
    captions = list(CAPTIONS) * (len(pictures) // len(CAPTIONS))
    save_picture(contact_sheet(pictures, captions, columns=len(CAPTIONS)), options.out)


def rows_of_face(renderer: NeuralRenderer, face: Face, pixels: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the rendered photos of a face and their meshes, each behind the photo; pixels (H, W, 3) uint8."""
    unchanged = resynthesise(renderer, face, pixels)
    photos, meshes = [unchanged.crop_pixels, unchanged.photo], [unchanged.crop_pixels, unchanged.mesh_image]
    for weights in EXPRESSIONS.values():
        rendered = resynthesise(renderer, face, pixels, changed=face.with_arkit(weights))
        photos.append(rendered.photo)
        meshes.append(rendered.mesh_image)
    return photos, meshes


if __name__ == "__main__":
    main(tyro.cli(Options))
