"""Fit the weights of `smirk3d.detection.upright_landmarks`: which landmark patterns come from an upright face.

    python scripts/fit_orientation.py photos/ [--count 12]

Photos of upright faces are turned by multiples of 15° and detected. Landmarks that lie level although the face does not
are the ones to find; the others are the ones to pass. Prints the table of the module, from four fifths of the photos,
and how it does on the rest.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from smirk3d.batch.naming import plan_outputs
from smirk3d.detection.detector import Detection, Detector
from smirk3d.detection.upright_landmarks import normalized
from smirk3d.errors import Smirk3dError
from smirk3d.media.images import read_image

ANGLES_DEG = (0, -15, 15, *range(75, 300, 15))
MAX_LEVEL_DEG, MIN_WRONG_DEG = 20.0, 30.0
MIN_RESIDUAL = 1e-3
"""Coordinates that others determine are left out of the selection."""
RIDGE = 1e-7


def main() -> None:
    """Fit, print the table and the errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+")
    parser.add_argument("--count", type=int, default=40, help="coordinates of the table")
    arguments = parser.parse_args()
    paths = [job.path for job in plan_outputs(arguments.photos)]
    with Detector(max_faces=1) as detector:
        samples = [(k % 5, *sample) for k, path in enumerate(paths) for sample in _samples(path, detector)]
    fold, points, is_wrong = (np.array(column) for column in zip(*samples, strict=True))
    values = points.reshape(len(points), -1)
    columns, weights = fit(values[fold > 0], is_wrong[fold > 0], arguments.count)
    for column, weight in zip(columns, weights[:-1], strict=True):
        print(f'    ({column // 3}, "{"xyz"[column % 3]}", {weight:.3f}),')
    print(f"offset {weights[-1]:.3f}; {is_wrong.sum()} wrong of {len(is_wrong)}")
    score = values[fold == 0][:, columns] @ weights[:-1] + weights[-1]
    wrong = is_wrong[fold == 0]
    for doubt in (-0.8, -0.7, -0.6, -0.5, -0.4, -0.3, -0.2, 0.0):
        in_doubt = score > doubt
        right = in_doubt[~wrong].mean()
        print(f"score > {doubt}: {right:.3f} of the right ones, {in_doubt[wrong].mean():.4f} of the wrong ones")


def fit(values: np.ndarray, is_wrong: np.ndarray, count: int) -> tuple[list[int], np.ndarray]:
    """Choose coordinates one by one, and fit a linear score by weighted least squares.

    Args:
        values: (N, D) normalized coordinates.
        is_wrong: (N,) bool.
        count: Coordinates to choose.

    Returns:
        The chosen columns, and their weights with the offset last; the score is 1 for wrong and -1 for right.
    """
    share = np.sqrt(np.where(is_wrong, 0.5 / is_wrong.sum(), 0.5 / (~is_wrong).sum()))
    target = np.where(is_wrong, 1.0, -1.0) * share
    base = share[:, None] / np.linalg.norm(share)
    weighted = values * share[:, None]
    sizes = np.linalg.norm(weighted, axis=0)
    rest, error = weighted - base @ (base.T @ weighted), target - base[:, 0] * (base[:, 0] @ target)
    columns: list[int] = []
    for _ in range(count):
        norms = np.linalg.norm(rest, axis=0)
        gain = np.where(norms > MIN_RESIDUAL * sizes, np.abs(error @ rest) / np.maximum(norms, 1e-12), 0.0)
        columns.append(int(gain.argmax()))
        axis = rest[:, columns[-1]] / norms[columns[-1]]
        rest, error = rest - np.outer(axis, axis @ rest), error - axis * (axis @ error)
    design = np.column_stack([weighted[:, columns], share])
    return columns, np.linalg.solve(design.T @ design + RIDGE * np.eye(count + 1), design.T @ target)


def _samples(path: Path, detector: Detector) -> Iterator[tuple[np.ndarray, bool]]:
    """Yield the normalized landmarks of level detections of a photo in all rotations, and whether they are wrong."""
    try:
        image = Image.fromarray(read_image(path).pixels)
    except Smirk3dError as error:
        print(error)
        return
    side = int(np.ceil(np.hypot(*image.size)))
    square = Image.new("RGB", (side, side), (128, 128, 128))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    upright_deg = None
    for angle_deg in ANGLES_DEG:
        turned = square.rotate(-angle_deg, Image.Resampling.BICUBIC, fillcolor=(128, 128, 128))
        found = detector.detect_fast(np.array(turned))
        if not found:
            if angle_deg == 0:
                return
            continue
        roll_deg = _roll_deg(found[0])
        upright_deg = roll_deg if upright_deg is None else upright_deg
        error_deg = (roll_deg - upright_deg - angle_deg + 180) % 360 - 180
        if abs(roll_deg) <= MAX_LEVEL_DEG:
            yield normalized(found[0].landmarks_px, found[0].depth), abs(error_deg) > MIN_WRONG_DEG


def _roll_deg(face: Detection) -> float:
    right, left = face.landmarks_px[[33, 263]]
    return float(np.degrees(np.arctan2(*(left - right)[::-1])))


if __name__ == "__main__":
    main()
