"""Readers of AffectNet: the tables of 2017 with the original pictures, and the later release of eight classes.

Source: Mollahosseini et al., "AffectNet: A Database for Facial Expression, Valence, and Arousal Computing in the Wild",
IEEE Transactions on Affective Computing 2019.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from smirk3d.assets import printable
from smirk3d.bounded_io import one_line, parse_npy, read_bytes
from smirk3d.errors import Smirk3dError
from smirk3d.fer.dataset_readers.csv_rows import rows_without_header
from smirk3d.fer.dataset_readers.labelled_face import LabelledFace, one_vote
from smirk3d.fer.emotions import emotion_index
from smirk3d.media.image_formats import IMAGE_SUFFIXES

CLASSES = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
"""Classes by number; further ones of the tables (none, uncertain, no face) are left out."""
TABLES = {"train": "training.csv", "val": "validation.csv"}
EIGHT_CLASS_FOLDERS = {"train": "train_set", "val": "val_set"}
_PICTURE_FOLDERS = ("", "Manually_Annotated_Images", "Manually_Annotated_compressed", "images")
_COLUMNS = ("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks", "expression")
_NO_PLACE = -2.0
_MAX_ARRAY_BYTES = 1 << 16


def read_tables(root: Path, split: str) -> list[LabelledFace]:
    """Read training.csv or validation.csv, with or without a header; the pictures lie below the folder.

    Args:
        root: Folder of the tables.
        split: "train" or "val".

    Raises:
        Smirk3dError: The table cannot be read, or a row has no number where one is due.
    """
    path = root / TABLES[split]
    pictures: Path | None = None
    faces = []
    for number, row in enumerate(rows_without_header(path), 1):
        if number == 1 and row[:1] == [_COLUMNS[0]]:
            continue
        face = _face_of_row(root, path, number, row)
        if face is not None:
            pictures = pictures or _picture_folder(root, row[0])
            faces.append(LabelledFace(row[0], pictures / row[0], *face))
    return faces


def _face_of_row(
    root: Path, path: Path, number: int, row: list[str]
) -> tuple[np.ndarray, None, tuple[float, float, float, float], tuple[float, float] | None] | None:
    """Return votes, person, box and place of a row; None where it shows none of the classes."""
    if len(row) < len(_COLUMNS) + 2:
        raise Smirk3dError(f"{printable(path)}: row {number} is too short; fetch the file again")
    try:
        x, y, width, height = (float(cell) for cell in row[1:5])
        expression, valence, arousal = int(row[6]), float(row[7]), float(row[8])
    except ValueError as error:
        raise Smirk3dError(f"{printable(path)}: row {number}: {one_line(error)}; fetch the file again") from error
    if not 0 <= expression < len(CLASSES):
        return None
    place = None if _NO_PLACE in (valence, arousal) else (valence, arousal)
    return one_vote(emotion_index(CLASSES[expression])), None, (x, y, x + width, y + height), place


def _picture_folder(root: Path, name: str) -> Path:
    """Return the folder to which the paths of a table are relative; the root where a picture is nowhere."""
    return next((root / folder for folder in _PICTURE_FOLDERS if (root / folder / name).is_file()), root)


def read_eight_classes(root: Path, split: str) -> list[LabelledFace]:
    """Read `train_set` or `val_set`: pictures in `images`, labels as .npy in `annotations`.

    Args:
        root: Folder of both sets.
        split: "train" or "val".

    Raises:
        Smirk3dError: A label is missing or cannot be read.
    """
    folder = root / EIGHT_CLASS_FOLDERS[split]
    try:
        pictures = [each for each in (folder / "images").iterdir() if each.suffix.lower() in IMAGE_SUFFIXES]
    except OSError as error:
        raise Smirk3dError(f"{printable(folder / 'images')}: unreadable ({one_line(error)}); check the path") from error
    faces = []
    for picture in sorted(pictures, key=lambda path: (len(path.stem), path.stem)):
        expression = _number(folder / "annotations" / f"{picture.stem}_exp.npy")
        if 0 <= expression < len(CLASSES):
            votes = one_vote(emotion_index(CLASSES[int(expression)]))
            faces.append(LabelledFace(picture.name, picture, votes, place=_place(folder / "annotations", picture.stem)))
    return faces


def _place(folder: Path, stem: str) -> tuple[float, float] | None:
    paths = [folder / f"{stem}_{name}.npy" for name in ("val", "aro")]
    if not all(path.is_file() for path in paths):
        return None
    valence, arousal = (_number(path) for path in paths)
    return None if _NO_PLACE in (valence, arousal) else (valence, arousal)


def _number(path: Path) -> float:
    """Return the one number of a file; some copies of the set hold it as text."""
    try:
        return float(parse_npy(read_bytes(path, _MAX_ARRAY_BYTES)).reshape(()))
    except (OSError, ValueError) as error:
        raise Smirk3dError(f"{printable(path)}: holds no label ({one_line(error)}); fetch it again") from error
