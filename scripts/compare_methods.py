"""Compare methods on photos: a row a photo with its crop, and overlay and frontal view of the head by each method.

python scripts/compare_methods.py PHOTOS... --out methods.png --methods fit encoder refine --neural
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from PIL import Image

from smirk3d import Face, NeuralRenderer, Reconstructor
from smirk3d.detection.crop import Crop
from smirk3d.errors import NoFaceError
from smirk3d.estimation.estimator_settings import Method
from smirk3d.estimation.resynthesis import resynthesise
from smirk3d.media.images import read_image
from smirk3d.networks.packaged import packaged_neural_renderer
from smirk3d.viz.contact_sheet import contact_sheet
from smirk3d.viz.overlay import front_view, over_photo, save_png

SIDE_PX = 192
CROP_SCALE = 1.4
N_STRONGEST, NAME_LENGTH, CAPTION_LENGTH = 3, 9, 24


@dataclass(frozen=True)
class Options:
    """What is compared."""

    photos: tyro.conf.Positional[tuple[Path, ...]]
    out: Path = Path("methods.png")
    methods: tuple[Method, ...] = ("fit", "encoder", "refine")
    weights: Path | None = None
    """Checkpoint of an encoder, instead of the packaged one."""
    neural: bool = False
    """Also the photo neurally rendered from the last method's head."""
    renderer: Path | None = None
    """Checkpoint of the neural renderer, instead of the packaged one."""


@dataclass(frozen=True)
class Cell:
    """A picture (H, W, 3) uint8 and its caption."""

    picture: np.ndarray
    caption: str


def main(options: Options) -> None:
    """Reconstruct every photo by every method and write the sheet."""
    reconstructors = {
        method: Reconstructor(method=method, max_faces=1, weights=None if method == "fit" else options.weights)
        for method in options.methods
    }
    renderer = load_renderer(options)
    cells: list[Cell] = []
    for path in options.photos:
        try:
            faces = {method: reconstructor(path)[0] for method, reconstructor in reconstructors.items()}
        except NoFaceError as error:
            print(error)
            continue
        cells += row_of_photo(path, faces, renderer)
    columns = 1 + 2 * len(options.methods) + (renderer is not None)
    sheet = contact_sheet([cell.picture for cell in cells], [cell.caption for cell in cells], columns=columns)
    save_png(options.out, sheet)


def row_of_photo(path: Path, faces: dict[Method, Face], renderer: NeuralRenderer | None) -> list[Cell]:
    """Return the cells of a photo: the crop, two a method, and the photo neurally rendered."""
    pixels = read_image(path).pixels
    first = next(iter(faces.values()))
    crop = Crop.from_landmarks(first.landmarks("mediapipe"), CROP_SCALE, SIDE_PX)
    photo = (crop.cut(pixels, antialias=True).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    box = (crop.x0, crop.y0, crop.x0 + crop.side_px, crop.y0 + crop.side_px)
    cells = [Cell(photo, path.stem[:CAPTION_LENGTH])]
    for method, face in faces.items():
        strongest = sorted(face.arkit.items(), key=lambda item: -item[1])[:N_STRONGEST]
        weights = " ".join(f"{name[:NAME_LENGTH]}{weight:.1f}" for name, weight in strongest)
        cells.append(Cell(over_photo([face], photo, box), f"{method} {face.residual_percent:.1f} %"))
        cells.append(Cell(thumbnail(front_view(face)), weights))
    if renderer is not None:
        method, face = list(faces.items())[-1]
        image = Image.fromarray(resynthesise(renderer, face, pixels).photo).resize((SIDE_PX, SIDE_PX))
        cells.append(Cell(np.asarray(image), f"neural rendering ({method})"))
    return cells


def thumbnail(picture: np.ndarray) -> np.ndarray:
    """Return a picture (H, W, 3) uint8 fitted into a square of `SIDE_PX`."""
    image = Image.fromarray(picture)
    image.thumbnail((SIDE_PX, SIDE_PX))
    return np.asarray(image)


def load_renderer(options: Options) -> NeuralRenderer | None:
    """Return the neural renderer where one is wanted."""
    if not options.neural:
        return None
    path = options.renderer or packaged_neural_renderer()
    if path is None:
        raise SystemExit("this installation has no neural renderer; name a checkpoint with --renderer")
    return NeuralRenderer.from_checkpoint(path).for_inference()


if __name__ == "__main__":
    main(tyro.cli(Options))
