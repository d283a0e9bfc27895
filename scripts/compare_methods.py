"""Lay the methods side by side: for each photo the crop, and the head in its frontal view by each method.

python scripts/compare_methods.py PHOTOS... --out methods.png --methods fit encoder refine --neural
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from PIL import Image

from smirk3d import NeuralRenderer, Reconstructor
from smirk3d.detection.crop import Crop
from smirk3d.errors import NoFaceError
from smirk3d.estimation.reconstructor import Method
from smirk3d.estimation.resynthesis import resynthesise
from smirk3d.media.images import read_image
from smirk3d.networks.packaged import packaged_neural_renderer
from smirk3d.viz.contact_sheet import contact_sheet
from smirk3d.viz.overlay import front_view, over_photo, save_png

SIDE_PX = 192
SHOWN_ACTIONS = 3


@dataclass(frozen=True)
class Options:
    """What is compared."""

    photos: tyro.conf.Positional[tuple[Path, ...]]
    out: Path = Path("methods.png")
    methods: tuple[Method, ...] = ("fit", "encoder", "refine")
    weights: Path | None = None
    """Instead of the packaged ones."""
    neural: bool = False
    """Also the photo as the neural renderer paints it from the last method's head."""
    renderer: Path | None = None
    """Checkpoint of the neural renderer, instead of the packaged one."""


def small(picture: np.ndarray) -> np.ndarray:
    """Return a picture fitted into a square of `SIDE_PX`."""
    image = Image.fromarray(picture)
    image.thumbnail((SIDE_PX, SIDE_PX))
    return np.asarray(image)


def main(options: Options) -> None:
    """Reconstruct every photo by every method and write the sheet."""
    pictures: list[np.ndarray] = []
    captions: list[str] = []
    readers = {
        method: Reconstructor(method=method, max_faces=1, weights=None if method == "fit" else options.weights)
        for method in options.methods
    }
    painter = load_painter(options)
    for path in options.photos:
        pixels = read_image(path).pixels
        try:
            faces = {method: reader(path)[0] for method, reader in readers.items()}
        except NoFaceError as error:
            print(error)
            continue
        first = next(iter(faces.values()))
        crop = Crop.from_landmarks(first.landmarks("mediapipe"), 1.4, SIDE_PX)
        photo = (crop.cut(pixels, antialias=True).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        pictures.append(photo)
        captions.append(path.stem[:24])
        box = (crop.x0, crop.y0, crop.x0 + crop.side_px, crop.y0 + crop.side_px)
        for method, face in faces.items():
            strongest = sorted(face.arkit.items(), key=lambda item: -item[1])[:SHOWN_ACTIONS]
            pictures += [over_photo([face], photo, box), small(front_view(face))]
            captions += [f"{method} {face.residual_percent:.1f} %", " ".join(f"{n[:9]}{v:.1f}" for n, v in strongest)]
        if painter is not None:
            painted = resynthesise(painter, faces[options.methods[-1]], pixels).photo
            pictures.append(np.asarray(Image.fromarray(painted).resize((SIDE_PX, SIDE_PX))))
            captions.append(f"painted ({options.methods[-1]})")
    columns = 1 + 2 * len(options.methods) + options.neural
    save_png(options.out, contact_sheet(pictures, captions, columns=columns))


def load_painter(options: Options) -> NeuralRenderer | None:
    """Return the neural renderer where one is wanted."""
    path = options.renderer or packaged_neural_renderer()
    assert path is not None or not options.neural, "name a checkpoint with --renderer"
    return NeuralRenderer.from_checkpoint(path).for_inference() if options.neural and path else None


if __name__ == "__main__":
    main(tyro.cli(Options))
