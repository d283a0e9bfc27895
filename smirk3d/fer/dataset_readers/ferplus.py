"""Readers of FERPlus and FER2013.

Source of the votes: Barsoum et al., "Training Deep Networks for Facial Expression Recognition with Crowd-Sourced Label
Distribution", ICMI 2016; of the pictures: Goodfellow et al., "Challenges in Representation Learning", ICONIP 2013.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from smirk3d.assets import printable
from smirk3d.bounded_io import one_line, open_plain
from smirk3d.errors import Smirk3dError
from smirk3d.fer.dataset_readers.csv_rows import numbered_rows, rows_without_header
from smirk3d.fer.dataset_readers.labelled_face import UNUSABLE, LabelledFace, one_vote, shares_of_votes
from smirk3d.fer.emotions import EMOTIONS, emotion_index

FER2013_EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
"""Classes of the column `emotion` of fer2013.csv, by number."""
FER2013_PX = 48
_SPLITS = {"train": "Training", "val": "PublicTest", "test": "PrivateTest"}
_PLUS_FOLDERS = {"train": "FER2013Train", "val": "FER2013Valid", "test": "FER2013Test"}
_MAX_PICTURE_BYTES = 1 << 22


def read_vote_archive(folder: Path, split: str) -> list[LabelledFace]:
    """Read `labels.csv` (key, split and ten votes) and the pictures `KEY.*` in `SPLIT.tar`."""
    columns = (*EMOTIONS, *UNUSABLE)
    shares = {}
    for number, row in numbered_rows(folder / "labels.csv", ("key", "split", *columns)):
        if row["split"] == split:
            shares[row["key"]] = _checked_shares([row[name] for name in columns], folder / "labels.csv", number)
    faces = []
    for name, content in _archive_members(folder / f"{split}.tar"):
        votes = shares.get(key := Path(name).stem)
        if votes is not None:
            faces.append(LabelledFace(key, content, votes))
    return faces


def _archive_members(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with open_plain(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                if member.isreg() and member.size <= _MAX_PICTURE_BYTES:
                    picture = archive.extractfile(member)
                    assert picture is not None  # it is a regular file
                    yield member.name, picture.read()
    except (OSError, tarfile.TarError) as error:
        raise Smirk3dError(f"{printable(path)}: unreadable ({one_line(error)}); fetch it again") from error


def read_fer2013(path: Path, split: str, plus: Path | None) -> list[LabelledFace]:
    """Read fer2013.csv (emotion, pixels, Usage), with the votes of fer2013new.csv where there are some."""
    votes = None if plus is None else list(_plus_rows(plus))
    faces = []
    for index, (number, row) in enumerate(numbered_rows(path, ("emotion", "pixels", "Usage"))):
        if row["Usage"] != _SPLITS[split]:
            continue
        if votes is not None and index >= len(votes):
            raise Smirk3dError(f"{printable(plus or path)}: has fewer rows than {path.name}; fetch both again")
        shares = _fer2013_vote(row["emotion"], path, number) if votes is None else votes[index][1]
        if shares is not None:
            faces.append(LabelledFace(f"fer{index:07d}", _pixels(row["pixels"], path, number), shares))
    return faces


def _fer2013_vote(text: str, path: Path, number: int) -> np.ndarray:
    if not text.isdigit() or int(text) >= len(FER2013_EMOTIONS):
        raise Smirk3dError(f"{printable(path)}: row {number}: emotion {printable(text)} is not 0 to 6; correct it")
    return one_vote(emotion_index(FER2013_EMOTIONS[int(text)]))


def _pixels(text: str, path: Path, number: int) -> np.ndarray:
    try:
        return np.array(text.split(), dtype=np.uint8).reshape(FER2013_PX, FER2013_PX)
    except (ValueError, OverflowError) as error:
        raise Smirk3dError(f"{printable(path)}: row {number}: no 48 × 48 pixels; fetch the file again") from error


def read_plus_pictures(folder: Path, split: str) -> list[LabelledFace]:
    """Read fer2013new.csv and the pictures that its column `Image name` names, in `FER2013Train` and so on."""
    place = folder / _PLUS_FOLDERS[split]
    named = [(name, votes) for name, votes, usage in _plus_rows_with_usage(folder / "fer2013new.csv") if usage == split]
    return [LabelledFace(Path(name).stem, place / name, votes) for name, votes in named if name and votes is not None]


def _plus_rows(path: Path) -> Iterator[tuple[str, np.ndarray | None]]:
    for name, votes, _ in _plus_rows_with_usage(path):
        yield name, votes


def _plus_rows_with_usage(path: Path) -> Iterator[tuple[str, np.ndarray | None, str]]:
    """Yield picture, shares and split of each row of fer2013new.csv."""
    split_of = {usage: split for split, usage in _SPLITS.items()}
    columns = (*EMOTIONS, "unknown", "NF")
    for number, row in numbered_rows(path, ("Usage", "Image name", *columns)):
        votes = _checked_shares([row[name] for name in columns], path, number)
        yield row["Image name"], votes, split_of.get(row["Usage"], "")


def _checked_shares(texts: Sequence[str], path: Path, number: int) -> np.ndarray | None:
    try:
        counts = [int(text) for text in texts]
    except ValueError as error:
        raise Smirk3dError(f"{printable(path)}: row {number}: votes must be whole numbers; correct it") from error
    return shares_of_votes(counts)


def read_plus_label_files(folder: Path, split: str) -> list[LabelledFace]:
    """Read `FER2013Train/label.csv` and so on, without header: name, box as text, ten votes; the pictures beside it."""
    path = folder / _PLUS_FOLDERS[split] / "label.csv"
    faces = []
    for number, row in enumerate(rows_without_header(path), 1):
        if len(row) < 2 + len(EMOTIONS) + len(UNUSABLE):
            raise Smirk3dError(f"{printable(path)}: row {number} is too short; fetch the file again")
        votes = _checked_shares(row[2 : 2 + len(EMOTIONS) + len(UNUSABLE)], path, number)
        if votes is not None:
            faces.append(LabelledFace(Path(row[0]).stem, path.parent / row[0], votes))
    return faces


def plus_splits(folder: Path) -> tuple[str, ...]:
    """Return the splits of which a folder has `label.csv`."""
    return tuple(split for split, name in _PLUS_FOLDERS.items() if (folder / name / "label.csv").is_file())
