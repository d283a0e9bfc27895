"""Detect the 68 landmarks of faces with FAN, for `smirk3d data prepare PHOTOS --out SHARDS --contour FOLDER`.

    pip install face-alignment
    python scripts/fan_contours.py photos/ --out contours/

FAN, the face alignment network, and its face detector are downloaded by the package `face-alignment` on first use.
For the photo `photos/A/B.jpg` its landmarks are written to `contours/A/B.npy`: (faces, 68, 2) float32, pixels of the
upright photo; (0, 68, 2) where it detects no face. Existing files are not written again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from tyro.conf import Positional

from smirk3d.assets import atomic_path
from smirk3d.batch.runner import plan_jobs
from smirk3d.cli.console import print_message, print_result
from smirk3d.errors import Smirk3dError
from smirk3d.media.images import read_image
from smirk3d.progress import progress

Finder = Callable[[np.ndarray], list[np.ndarray] | None]
"""Maps a photo (H, W, 3) uint8 RGB to the landmarks (68, 2) of each face; None where there is none."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Photos, and the folder of the landmarks."""

    inputs: Positional[tuple[str, ...]]
    """The same INPUTs as for `smirk3d data prepare`."""
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """Folder for the landmarks; made where missing."""
    device: str = "cpu"
    """Device of FAN: cpu or cuda."""


def fan(device: str) -> Finder:
    """Load FAN.

    Raises:
        Smirk3dError: The package `face-alignment` is not installed.
    """
    try:
        import face_alignment  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise Smirk3dError(f"FAN needs the package face-alignment ({error}); pip install face-alignment") from error
    return face_alignment.FaceAlignment(face_alignment.LandmarksType.TWO_D, device=device).get_landmarks


def find_points(inputs: tuple[str, ...], folder: Path, find: Finder) -> tuple[int, int]:
    """Write the landmarks of all photos; returns the numbers of photos done and of unreadable ones."""
    todo = [(job, folder / f"{job.stem}.npy") for job in plan_jobs(inputs)]
    todo = [(job, path) for job, path in todo if not path.exists()]
    failed = 0
    with progress(len(todo)) as display:
        for job, path in todo:
            try:
                faces = find(read_image(job.path).pixels) or []
            except Smirk3dError as error:
                display.note(str(error))
                failed += 1
                continue
            finally:
                display.advance()
            path.parent.mkdir(parents=True, exist_ok=True)
            points = np.array([face[:, :2] for face in faces], dtype=np.float32).reshape(-1, 68, 2)
            with atomic_path(path) as temporary, open(temporary, "wb") as file:
                np.save(file, points, allow_pickle=False)
    return len(todo) - failed, failed


def main(options: Options) -> int:
    """Run; returns 1 when something failed."""
    try:
        done, failed = find_points(options.inputs, options.out, fan(options.device))
    except Smirk3dError as error:
        print_message(str(error))
        return 1
    print_result(f"photos: {done} done, {failed} unreadable; points: {options.out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
