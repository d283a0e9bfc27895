"""Photos with known landmarks but without pixels, as if the faces in them had just been detected."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from smirk3d.assets import printable
from smirk3d.bounded_io import one_line, open_plain_text, read_npz
from smirk3d.detection.detector import Detection
from smirk3d.errors import Smirk3dError
from smirk3d.estimation.reconstructor import DetectedPhoto
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.media.images import Photo

LANDMARKS_NAME, LABELS_NAME = "landmarks.npz", "labels.csv"


class LandmarkAnnotations(NamedTuple):
    """The faces of a split.

    Attributes:
        keys: Names of the photos.
        emotions: Their labels, "" where there is none.
        photos: One detection each, with the annotated landmarks; the pixels are black.
    """

    keys: list[str]
    emotions: list[str]
    photos: list[DetectedPhoto]


def read_landmark_annotations(folder: Path, split: str) -> LandmarkAnnotations:
    """Read the annotated landmarks of a split.

    Args:
        folder: Folder with `labels.csv` (columns key, split, width, height, emotion) and `landmarks.npz` (arrays
            `lm` (N, 478, 3) pixels, `blendshapes` (N, K) in [0, 1] and `blendshape_names` (K,)), in the same order.
        split: Name of the split, for instance "train" or "val".

    Raises:
        Smirk3dError: One of the two files is missing or damaged.
    """
    for name in (LANDMARKS_NAME, LABELS_NAME):
        if not (folder / name).is_file():
            raise Smirk3dError(f"{printable(folder)}: has no {name}; name a folder of photos with landmarks")
    try:
        with open_plain_text(folder / LABELS_NAME) as file:
            table = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise Smirk3dError(f"{printable(folder / LABELS_NAME)}: unreadable ({one_line(error)}); replace it") from error
    try:
        data = read_npz(folder / LANDMARKS_NAME)
        points, scores = data["lm"].astype(np.float32), data["blendshapes"].astype(np.float32)
        names = list(data["blendshape_names"])
    except (OSError, KeyError, ValueError) as error:
        raise Smirk3dError(
            f"{printable(folder / LANDMARKS_NAME)}: unreadable ({one_line(error)}); replace it"
        ) from error
    try:
        return _annotations(table, points, scores, names, split)
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise Smirk3dError(
            f"{printable(folder)}: {LABELS_NAME} and {LANDMARKS_NAME} do not fit ({one_line(error)}); replace them"
        ) from error


def _annotations(
    table: list[dict[str, str]], points: np.ndarray, scores: np.ndarray, names: list, split: str
) -> LandmarkAnnotations:
    column = [names.index(name) if name in names else None for name in ARKIT_NAMES]
    rows = [each for each in zip(table, points, scores) if each[0]["split"] == split]
    photos = []
    for row, point, score in rows:
        known = np.array([0.0 if c is None else score[c] for c in column], dtype=np.float32)
        photos.append(_detected(point, known, (int(row["height"]), int(row["width"]))))
    return LandmarkAnnotations([row["key"] for row, _, _ in rows], [row["emotion"] for row, _, _ in rows], photos)


def _detected(point: np.ndarray, scores: np.ndarray, size: tuple[int, int]) -> DetectedPhoto:
    """Return a face whose landmarks (478, 3) and scores (52,) are known, in a black photo of a size (H, W)."""
    xy = point[:, :2]
    box_px = np.concatenate([xy.min(0), xy.max(0)])
    black = np.broadcast_to(np.uint8(0), (*size, 3))
    found = Detection(np.ascontiguousarray(xy), np.ascontiguousarray(point[:, 2]), scores, box_px, 1.0)
    return DetectedPhoto(Photo(black, None, 1.0, ()), (found,))
