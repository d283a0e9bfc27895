"""Measure expression weights against the exact truth, on rendered heads.

    python smirk3d/evaluation/expression_truth.py --count 300 --seed 7

Draws random people, expressions, looks, lights, backgrounds, poses and cameras (`smirk3d.datasets.synthetic.scene_sampling`), and
compares with the truth: (a) MediaPipe's own scores, (b) the fit without them, (c) the fit with them. The pictures are
kept in the user's cache. `smirk3d evaluate CHECKPOINT --only truth` measures networks on the same pictures.
`--out DIR` writes a contact sheet of the first pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from smirk3d import Reconstructor
from smirk3d.authoring.load import load_head
from smirk3d.estimation.reconstructor import DetectedPhoto
from smirk3d.evaluation.synthetic_set import SyntheticTestSet, synthetic_test_set
from smirk3d.face import Face
from smirk3d.geometry.euler import angles_from_rotation
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.metrics.expression import expression_metrics
from smirk3d.progress import progress

BATCH = 64


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


def report(title: str, guess: np.ndarray, pictures: SyntheticTestSet, actions: bool) -> None:
    """Print the figures of one method."""
    found = expression_metrics(guess, pictures.expression, pictures.kind == "neutral", ARKIT_NAMES)
    print(
        f"{title}: mean correlation {np.nanmean(found.correlation):.3f}, mean error {found.error.mean():.4f}, "
        f"asymmetry gain {found.asymmetry_slope:.2f} (smile {found.smile_asymmetry_slope:.2f}), neutral faces mean "
        f"{found.neutral_mean:.4f}, strongest {found.neutral_max:.3f}"
    )
    if actions:
        for name, correlation, error in zip(ARKIT_NAMES, found.correlation, found.error):
            print(f"    {name:20s} correlation {correlation:5.2f}  error {error:.3f}")


def solve(reconstructor: Reconstructor, pictures: SyntheticTestSet) -> list[Face]:
    """Fit a head to each picture."""
    faces = []
    for start in range(0, len(pictures), BATCH):
        face_observations = pictures.face_observations(start, min(start + BATCH, len(pictures)))
        faces += [
            found[0]
            for found in reconstructor.solve(
                [DetectedPhoto(each.photo, (each.detection,)) for each in face_observations]
            )
        ]
    return faces


def main(options: Options) -> None:
    """Draw, detect, fit, compare."""
    with Reconstructor(method="fit", focal=options.focal, max_faces=1) as with_scores:  # type: ignore[arg-type]
        with progress(options.count) as display:
            chosen = {"count": options.count, "seed": options.seed, "size": options.size}
            pictures = synthetic_test_set(load_head(), with_scores.detect, display, **chosen)
        faces = solve(with_scores, pictures)
    plain_fit = {"focal": options.focal, "max_faces": 1, "use_scores": False}
    with Reconstructor(method="fit", **plain_fit) as without:  # type: ignore[arg-type]
        plain = solve(without, pictures)
    print(f"{len(pictures)} pictures, {pictures.missed} without a face found")
    report("(a) MediaPipe's scores", pictures.scores, pictures, options.actions)
    report("(b) fit without scores", np.stack([face.expression for face in plain]), pictures, options.actions)
    report("(c) fit with scores   ", np.stack([face.expression for face in faces]), pictures, options.actions)
    turns = [face.rotation @ truth.T for face, truth in zip(faces, pictures.rotmat)]
    angle = np.degrees([np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)) for turn in turns])
    yaw = [
        abs(angles_from_rotation(face.rotation)[0] - angles_from_rotation(truth)[0])
        for face, truth in zip(faces, pictures.rotmat)
    ]
    print(f"rotation off by {np.mean(angle):.2f}° on average, yaw by {np.mean(yaw):.2f}°; ", end="")
    print(f"residual {np.mean([face.residual_percent for face in faces]):.2f} %")
    if options.out:
        save_sheet(options.out, pictures)


def save_sheet(folder: Path, pictures: SyntheticTestSet) -> None:
    """Write the first 36 pictures as one."""
    from smirk3d.viz.contact_sheet import contact_sheet
    from smirk3d.viz.overlay import save_png

    folder.mkdir(parents=True, exist_ok=True)
    sheet = contact_sheet(list(pictures.pixels[:36]), [str(kind) for kind in pictures.kind[:36]], columns=9)
    save_png(folder / "truth_set.png", sheet)


if __name__ == "__main__":
    main(tyro.cli(Options))
