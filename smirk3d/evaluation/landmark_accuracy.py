"""Measure how closely fitted heads follow known landmarks, on a folder with `landmarks.npz` and `labels.csv`.

    python smirk3d/evaluation/landmark_accuracy.py ../shared/data/faces --split val

Prints the mean distance between fitted and given landmarks over the 468 points of the skin, divided by the distance
of the outer eye corners, the size of the shape coefficients, and the worst faces. Columns of `labels.csv` used: key,
split, width, height, emotion; arrays of `landmarks.npz`: lm (N, 478, 3), blendshapes, blendshape_names.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from smirk3d import Reconstructor
from smirk3d.datasets.landmark_annotations import read_landmark_annotations
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.landmark_indices import OUTER_EYE_CORNERS, SKIN_COUNT
from smirk3d.metrics.landmark import error_summary, landmark_error_percent

BATCH = 64


@dataclass(frozen=True)
class Options:
    """What is measured."""

    folder: Annotated[Path, tyro.conf.Positional]
    split: str = "val"
    head: str = "open"
    """The open head, or a head file."""
    focal: str = "auto"
    """auto or orthographic."""
    scores: bool = True
    """Let the given scores guide the expression."""
    worst: int = 10


def main(options: Options) -> None:
    """Fit everything and print the figures."""
    keys, emotions, prepared = read_landmark_annotations(options.folder, options.split)
    fit = {"focal": options.focal, "use_scores": options.scores}
    with Reconstructor(options.head, "fit", **fit) as reconstructor:  # type: ignore[arg-type]
        faces = []
        for start in range(0, len(prepared), BATCH):
            faces += [found[0] for found in reconstructor.solve(prepared[start : start + BATCH])]
    given = np.stack([item.detections[0].landmarks_px for item in prepared])
    points = np.stack([face.landmarks("mediapipe") for face in faces])
    error = landmark_error_percent(points, given, eye_corners=OUTER_EYE_CORNERS, count=SKIN_COUNT)
    figures = error_summary(error)
    shape = np.abs(np.stack([face.shape for face in faces]))
    weights = np.stack([list(face.arkit.values()) for face in faces])
    print(f"{len(faces)} faces: mean error {figures['mean_percent']:.3f} %, ", end="")
    print(f"median {figures['median_percent']:.3f} %, 95th percentile {figures['p95_percent']:.2f} %")
    print(
        f"mean |shape| {shape.mean():.3f}, largest mean of a face {shape.mean(1).max():.2f}, largest {shape.max():.2f}"
    )
    print(f"weights within [{weights.min():.3f}, {weights.max():.3f}], mean {weights.mean():.3f}")
    for emotion in sorted(set(emotions) - {""}):
        mean = weights[[e == emotion for e in emotions]].mean(0)
        strongest = ", ".join(f"{ARKIT_NAMES[k]} {mean[k]:.2f}" for k in np.argsort(-mean)[:6])
        print(f"  {emotion}: {strongest}")
    print(f"worst {options.worst}:")
    for index in np.argsort(-error)[: options.worst]:
        yaw, pitch, roll = faces[index].angles_deg
        print(f"  {keys[index]}: {error[index]:.2f} %, yaw {yaw:.0f}, pitch {pitch:.0f}, roll {roll:.0f}")


if __name__ == "__main__":
    main(tyro.cli(Options))
