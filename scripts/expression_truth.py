"""Measure expression weights against the exact truth, on rendered heads.

    python scripts/expression_truth.py --count 300 --seed 7

Draws random people, expressions, looks, lights, backgrounds, poses and cameras (`smirk3d.render.samples`), and
compares with the truth: (a) MediaPipe's own scores, (b) the fit without them, (c) the fit with them, the default.
`--out DIR` writes a contact sheet of the first pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from rich.progress import track

from smirk3d import Reconstructor
from smirk3d.geometry.euler import angles_from_rotation
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES, GAZE_NAMES
from smirk3d.head.load import load_head
from smirk3d.pipeline.images import Photo
from smirk3d.pipeline.reconstruct import Prepared
from smirk3d.render.portrait import PortraitPainter
from smirk3d.render.samples import KIND_SHARES, Sample, random_sample


@dataclass(frozen=True)
class Options:
    """The set of pictures."""

    count: int = 300
    seed: int = 7
    size: int = 384
    """Side of a picture in pixels."""
    focal: str = "auto"
    actions: bool = False
    """Print every action."""
    out: Path | None = None


def pairs() -> list[tuple[int, int]]:
    """Return (left, right) indices of the actions that have two sides, gaze aside."""
    return [
        (k, ARKIT_MIRROR[k])
        for k, name in enumerate(ARKIT_NAMES)
        if name.endswith("Left") and name not in GAZE_NAMES and ARKIT_MIRROR[k] != k
    ]


def correlation(guess: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the correlation (52,) of each action over the pictures; 0 where the guess never changes."""
    a, b = guess - guess.mean(0), truth - truth.mean(0)
    return (a * b).sum(0) / np.maximum(np.sqrt((a**2).sum(0) * (b**2).sum(0)), 1e-9)


def report(title: str, guess: np.ndarray, truth: np.ndarray, kinds: np.ndarray, actions: bool) -> None:
    """Print the figures of one method."""
    each = correlation(guess, truth)
    left, right = (np.array(side) for side in zip(*pairs()))
    d_truth, d_guess = truth[:, left] - truth[:, right], guess[:, left] - guess[:, right]
    smile = next(k for k, i in enumerate(left) if ARKIT_NAMES[i] == "mouthSmileLeft")
    gain = (d_truth * d_guess).sum() / (d_truth**2).sum()
    smile_gain = (d_truth[:, smile] * d_guess[:, smile]).sum() / (d_truth[:, smile] ** 2).sum()
    calm = guess[kinds == "neutral"]
    print(
        f"{title}: mean correlation {each.mean():.3f}, mean error {np.abs(guess - truth).mean():.4f}, "
        f"asymmetry gain {gain:.2f} (smile {smile_gain:.2f}), neutral faces mean {calm.mean():.4f}, "
        f"strongest {calm.max(1).mean():.3f}"
    )
    if actions:
        error = np.abs(guess - truth).mean(0)
        for k, name in enumerate(ARKIT_NAMES):
            print(f"    {name:20s} correlation {each[k]:5.2f}  error {error[k]:.3f}")


def main(options: Options) -> None:
    """Draw, detect, fit, compare."""
    generator = torch.Generator().manual_seed(options.seed)
    kinds = [kind for kind, share in KIND_SHARES for _ in range(share)]
    painter = PortraitPainter(load_head())
    samples: list[Sample] = []
    prepared: list[Prepared] = []
    missed = 0
    with Reconstructor(focal=options.focal, max_faces=1) as with_scores:  # type: ignore[arg-type]
        for index in track(range(options.count), description="pictures"):
            sample = random_sample(painter, kinds[index % len(kinds)], options.size, generator)
            pixels = (sample.image.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
            found = with_scores.detect(pixels)
            missed += not found
            if found:
                samples.append(sample)
                prepared.append(Prepared(Photo(pixels, None, 1.0, ()), (found[0],)))
        faces = [found[0] for found in with_scores.solve(prepared)]
    with Reconstructor(focal=options.focal, max_faces=1, use_scores=False) as without:  # type: ignore[arg-type]
        plain = [found[0] for found in without.solve(prepared)]
    truth = np.stack([sample.expression.numpy() for sample in samples])
    kind = np.array([sample.kind for sample in samples])
    print(f"{len(samples)} pictures, {missed} without a face found")
    scores = np.stack([item.detections[0].blendshape_scores for item in prepared])
    report("(a) MediaPipe's scores", scores, truth, kind, options.actions)
    report("(b) fit without scores", np.stack([f.expression for f in plain]), truth, kind, options.actions)
    report("(c) fit with scores   ", np.stack([f.expression for f in faces]), truth, kind, options.actions)
    turn = [np.degrees(np.arccos(np.clip((np.trace(f.rotation @ s.rotmat.numpy().T) - 1) / 2, -1, 1)))
            for f, s in zip(faces, samples)]  # fmt: skip
    yaw = [abs(angles_from_rotation(f.rotation)[0] - angles_from_rotation(s.rotmat.numpy())[0])
           for f, s in zip(faces, samples)]  # fmt: skip
    print(f"rotation off by {np.mean(turn):.2f}° on average, yaw by {np.mean(yaw):.2f}°; ", end="")
    print(f"residual {np.mean([f.residual_percent for f in faces]):.2f} %")
    if options.out:
        save_sheet(options.out, samples)


def save_sheet(folder: Path, samples: list[Sample]) -> None:
    """Write the first 36 pictures as one."""
    from smirk3d.viz.overlay import save_png
    from smirk3d.viz.sheet import contact_sheet

    images = [(s.image.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy() for s in samples[:36]]
    folder.mkdir(parents=True, exist_ok=True)
    save_png(folder / "truth_set.png", contact_sheet(images, [s.kind for s in samples[:36]], columns=9))


if __name__ == "__main__":
    main(tyro.cli(Options))
