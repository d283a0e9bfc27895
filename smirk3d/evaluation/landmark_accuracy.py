"""Measure how closely fitted heads follow known landmarks, on a folder with `landmarks.npz` and `labels.csv`.

    python smirk3d/evaluation/landmark_accuracy.py ../shared/data/faces --split val

Prints the mean distance between fitted and given landmarks over the 468 points of the skin, divided by the distance
of the outer eye corners, the size of the shape coefficients, and the worst faces. Columns of `labels.csv` used: key,
split, width, height, emotion; arrays of `landmarks.npz`: lm (N, 478, 3), blendshapes, blendshape_names.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from smirk3d import Reconstructor
from smirk3d.detection.detector import Detection
from smirk3d.estimation.reconstructor import DetectedPhoto
from smirk3d.evaluation.landmarks import error_figures, landmark_error_percent
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.media.images import Photo

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


def read(folder: Path, split: str) -> tuple[list[str], list[str], list[DetectedPhoto]]:
    """Return keys, emotions and the given landmarks of a split, as if they had just been detected."""
    table = list(csv.DictReader((folder / "labels.csv").open(encoding="utf-8")))
    with np.load(folder / "landmarks.npz") as data:
        points, scores = data["lm"].astype(np.float32), data["blendshapes"].astype(np.float32)
        names = list(data["blendshape_names"])
    column = [names.index(name) if name in names else None for name in ARKIT_NAMES]
    keys, emotions, prepared = [], [], []
    for row, point, score in zip(table, points, scores):
        if row["split"] == split:
            xy = point[:, :2]
            box = np.concatenate([xy.min(0), xy.max(0)])
            known = np.array([0.0 if c is None else score[c] for c in column], dtype=np.float32)
            blank = np.broadcast_to(np.uint8(0), (int(row["height"]), int(row["width"]), 3))
            found = Detection(np.ascontiguousarray(xy), np.ascontiguousarray(point[:, 2]), known, box, 1.0)
            prepared.append(DetectedPhoto(Photo(blank, None, 1.0, ()), (found,)))
            keys.append(row["key"])
            emotions.append(row["emotion"])
    return keys, emotions, prepared


def main(options: Options) -> None:
    """Fit everything and print the figures."""
    keys, emotions, prepared = read(options.folder, options.split)
    fit = {"focal": options.focal, "use_scores": options.scores}
    with Reconstructor(options.head, "fit", **fit) as reconstructor:  # type: ignore[arg-type]
        faces = []
        for start in range(0, len(prepared), BATCH):
            faces += [found[0] for found in reconstructor.solve(prepared[start : start + BATCH])]
    given = np.stack([item.detections[0].landmarks_px for item in prepared])
    error = landmark_error_percent(np.stack([face.landmarks("mediapipe") for face in faces]), given)
    figures = error_figures(error)
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
