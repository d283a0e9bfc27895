"""Processor time of runs over many photos, in alternating rounds; on a machine that others load it hardly changes.

    python benchmarks/photos.py [PHOTOS] [--engine torch|onnx] [--rounds 3]

Prints milliseconds of processor time a photo, of all threads of this process together, of `smirk3d features` and
`smirk3d fer predict` without the loading of the models, and what a million photos take in core-hours. Without PHOTOS,
the photos are 48 rotated ones of 256 and of 1024 pixels that are made of scikit-image's.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import skimage.data
import torch
from peers import MEDIAPIPE, mediapipe_alone
from PIL import Image
from timing import Action, Row, alternate, rows

from smirk3d import Reconstructor
from smirk3d.batch.naming import Job, plan_outputs
from smirk3d.batch.photo_rows import ReconstructionRows, RowSource
from smirk3d.batch.prefetch import blocks_to_run
from smirk3d.export.tables.features import feature_row
from smirk3d.fer.emotion_rows import EmotionRows
from smirk3d.media.images import read_image

PHOTO_COUNT = 48


def make_photos(folder: Path, side: int, count: int = PHOTO_COUNT) -> None:
    """Write rotated copies of scikit-image's photo."""
    picture = Image.fromarray(skimage.data.astronaut())
    for k in range(count):
        turned = picture.rotate(16 * k / count - 8, Image.Resampling.BILINEAR)
        turned.resize((side, side)).save(folder / f"{k:03d}.jpg", quality=88)


def exhaust(source: RowSource, jobs: list[Job]) -> None:
    """Compute all photos in the blocks of the local run."""
    for _ in source.batches(blocks_to_run(jobs, set(jobs))):
        pass


def measure(folder: Path, name: str, sources: dict[str, RowSource], rounds: int) -> None:
    """Print the processor times of a folder of photos."""
    jobs = plan_outputs([folder])
    costs = alternate({key: lambda each=source: exhaust(each, jobs) for key, source in sources.items()}, rounds)
    for row in rows(costs, None, len(jobs)):
        cpu_ms = row.cost.cpu_ms
        print(f"{row.what:12} {name:16} {cpu_ms:6.1f} ms a photo, {cpu_ms / 3.6:5.1f} core-hours a million", flush=True)


def compare(count: int) -> list[Row]:
    """Return rows for runs over `count` photos of 256 pixels, beside MediaPipe's landmarker alone on the same ones."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        reconstructor = stack.enter_context(Reconstructor())
        alone = stack.enter_context(mediapipe_alone())
        make_photos(folder, 256, count)
        jobs = plan_outputs([folder])
        actions: dict[str, Action] = {
            "`features`": lambda: exhaust(ReconstructionRows(reconstructor, feature_row), jobs),
            "`fer predict`": lambda: exhaust(EmotionRows(reconstructor), jobs),
            MEDIAPIPE: lambda: [alone(read_image(job.path).pixels) for job in jobs],
        }
        table = rows(alternate(actions, rounds=3), MEDIAPIPE, count)
    return [replace(row, what=f"{row.what}, {count} photos of 256 px") for row in table]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="?")
    parser.add_argument("--engine", choices=("torch", "onnx"), default="torch")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with Reconstructor(engine=options.engine) as reconstructor, tempfile.TemporaryDirectory() as temporary:
        print(f"torch {torch.__version__}, threads: {torch.get_num_threads()}, engine: {options.engine}")
        sources = {
            "features": ReconstructionRows(reconstructor, feature_row),
            "fer predict": EmotionRows(reconstructor),
        }
        if options.photos:
            measure(Path(options.photos), options.photos, sources, options.rounds)
            return
        for side in (256, 1024):
            folder = Path(temporary) / str(side)
            folder.mkdir()
            make_photos(folder, side)
            measure(folder, f"{side} x {side} px", sources, options.rounds)


if __name__ == "__main__":
    main()
