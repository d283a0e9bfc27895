"""Measure whether mirrored photos give mirrored expressions.

    python smirk3d/evaluation/image_mirror.py photos/ --count 200          (a folder, or a .tar with .jpg members)

Prints the mean absolute difference between the weights of a photo and those of its mirror image with left and right
exchanged, over photos and actions, and the actions that differ most.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from PIL import Image
from rich.progress import track

from smirk3d import Reconstructor
from smirk3d.evaluation.mirror import mirror_result
from smirk3d.media.images import iter_inputs, read_image


@dataclass(frozen=True)
class Options:
    """What is measured."""

    photos: Annotated[Path, tyro.conf.Positional]
    count: int = 200


def read_photos(source: Path) -> Iterator[np.ndarray]:
    """Yield the pixels (H, W, 3) of the photos of a folder or an archive."""
    if source.suffix == ".tar":
        with tarfile.open(source) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.name.endswith(".jpg") else None
                if file:
                    yield read_image(Image.open(io.BytesIO(file.read()))).pixels
    else:
        for path in iter_inputs([source]):
            yield read_image(path).pixels


def main(options: Options) -> None:
    """Compare and print."""
    weights = []
    with Reconstructor(max_faces=1) as reconstructor:
        for _, pixels in zip(track(range(options.count), description="photos"), read_photos(options.photos)):
            both = (pixels, np.ascontiguousarray(pixels[:, ::-1]))
            if all(reconstructor.detect(each) for each in both):
                weights.append([reconstructor(each)[0].expression for each in both])
    own, other = np.array(weights).swapaxes(0, 1)
    found = mirror_result("auto", own, other)
    print(f"{found.faces} photos: mean difference {found.figures['mean_difference']:.4f}")
    print("largest:", found.worst_actions())


if __name__ == "__main__":
    main(tyro.cli(Options))
