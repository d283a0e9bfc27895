"""Readers of labelled faces on disk: FERPlus, fer2013.csv, a folder for each class, a table of paths.

Nothing is downloaded. A face has votes: the shares of the eight emotions. A single label is one vote.
"""

from __future__ import annotations

import csv
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smirk3d.assets import printable
from smirk3d.bounded_io import one_line, open_plain, open_plain_text
from smirk3d.errors import Smirk3dError
from smirk3d.fer.emotions import EMOTIONS, emotion_index
from smirk3d.media.image_formats import IMAGE_SUFFIXES

UNUSABLE = ("unknown", "not_a_face")
"""Columns of FERPlus' votes besides `EMOTIONS`; a face for which one of them wins is left out."""
FER2013_EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
"""Classes of the column `emotion` of fer2013.csv, by number."""
FER2013_PX = 48
_SPLITS = {"train": "Training", "val": "PublicTest", "test": "PrivateTest"}
_PLUS_FOLDERS = {"train": "FER2013Train", "val": "FER2013Valid", "test": "FER2013Test"}
_MAX_PICTURE_BYTES = 1 << 22


@dataclass(frozen=True, eq=False)
class LabelledFace:
    """A picture of a face and what it expresses.

    Attributes:
        key: Name within the data set.
        source: File, encoded bytes or pixels, for `smirk3d.media.images.read_image`.
        votes: (8,) float32 shares of `EMOTIONS`; their sum is 1.
    """

    key: str
    source: Path | bytes | np.ndarray
    votes: np.ndarray

    @property
    def label(self) -> int:
        """Index of the emotion with most votes; of equal ones the first."""
        return int(self.votes.argmax())


def read_labelled(path: Path, split: str = "train") -> list[LabelledFace]:
    """Read labelled faces, whatever the layout.

    Args:
        path: Folder of FERPlus (`labels.csv` with `SPLIT.tar`, or `fer2013new.csv` with `FER2013Train` and so on, or
            that table beside `fer2013.csv`), the file fer2013.csv, a folder with a folder for each class, or a table
            with the columns `path` and `label`.
        split: "train", "val" or "test"; counts for FERPlus and fer2013.csv only.

    Raises:
        Smirk3dError: There is no such data, or it cannot be read.
    """
    path = Path(path)
    if split not in _SPLITS:
        raise Smirk3dError(f"{printable(split)}: is no split; choose from {', '.join(_SPLITS)}")
    if path.is_dir():
        faces = _read_folder(path, split)
    elif path.suffix.lower() == ".csv":
        columns = _columns(path)
        faces = _read_fer2013(path, split, None) if "pixels" in columns else read_table(path)
    else:
        raise Smirk3dError(f"{printable(path)}: no folder and no .csv; name the folder or the table of a data set")
    if not faces:
        raise Smirk3dError(f"{printable(path)}: no labelled faces of the split {split}; check path and layout")
    return faces


def _read_folder(path: Path, split: str) -> list[LabelledFace]:
    if (path / "labels.csv").is_file() and (path / f"{split}.tar").is_file():
        return _read_vote_archive(path, split)
    if (path / "fer2013new.csv").is_file():
        plus = path / "fer2013new.csv"
        if (path / "fer2013.csv").is_file():
            return _read_fer2013(path / "fer2013.csv", split, plus)
        return _read_plus_pictures(path, split)
    if (path / "fer2013.csv").is_file():
        return _read_fer2013(path / "fer2013.csv", split, None)
    return read_class_folders(path)


def shares_of_votes(votes: Sequence[float]) -> np.ndarray | None:
    """Return the shares of the emotions (8,) float32, or None where the face is to be left out.

    Args:
        votes: Ten counts: `EMOTIONS`, then `UNUSABLE`.
    """
    counts = np.asarray(votes, dtype=np.float32)
    n_emotions = len(EMOTIONS)
    if counts[:n_emotions].max() <= counts[n_emotions:].max():
        return None
    return counts[:n_emotions] / counts[:n_emotions].sum()


def read_class_folders(root: Path) -> list[LabelledFace]:
    """Read the pictures of folders that are named after emotions.

    Raises:
        Smirk3dError: No folder is named after an emotion, or cannot be read.
    """
    faces: list[LabelledFace] = []
    try:
        folders = sorted(each for each in root.iterdir() if each.is_dir())
        for folder in folders:
            try:
                votes = one_vote(emotion_index(folder.name))
            except ValueError:
                continue
            files = sorted(each for each in folder.rglob("*") if each.suffix.lower() in IMAGE_SUFFIXES)
            faces += [LabelledFace(str(each.relative_to(root)), each, votes) for each in files]
    except OSError as error:
        raise Smirk3dError(f"{printable(root)}: unreadable ({one_line(error)}); check the folder") from error
    if not faces:
        raise Smirk3dError(
            f"{printable(root)}: no known layout; it needs FERPlus' labels.csv, or folders of pictures that are named "
            f"{', '.join(EMOTIONS)}"
        )
    return faces


def read_table(path: Path) -> list[LabelledFace]:
    """Read a table with the columns `path` and `label`; relative paths count from the table's folder.

    Raises:
        Smirk3dError: A column is missing, or a label is no emotion.
    """
    faces = []
    for number, row in _rows(path, ("path", "label")):
        try:
            votes = one_vote(emotion_index(row["label"]))
        except ValueError as error:
            raise Smirk3dError(f"{printable(path)}: row {number}: {printable(str(error))}; correct it") from error
        faces.append(LabelledFace(row["path"], path.parent / row["path"], votes))
    return faces


def one_vote(index: int) -> np.ndarray:
    """Return the shares (8,) float32 of a single label."""
    votes = np.zeros(len(EMOTIONS), dtype=np.float32)
    votes[index] = 1
    return votes


def _read_vote_archive(folder: Path, split: str) -> list[LabelledFace]:
    """Read `labels.csv` (key, split and ten votes) and the pictures `KEY.*` in `SPLIT.tar`."""
    columns = (*EMOTIONS, *UNUSABLE)
    shares = {}
    for number, row in _rows(folder / "labels.csv", ("key", "split", *columns)):
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


def _read_fer2013(path: Path, split: str, plus: Path | None) -> list[LabelledFace]:
    """Read fer2013.csv (emotion, pixels, Usage), with the votes of fer2013new.csv where there are some."""
    votes = None if plus is None else list(_plus_rows(plus))
    faces = []
    for index, (number, row) in enumerate(_rows(path, ("emotion", "pixels", "Usage"))):
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


def _read_plus_pictures(folder: Path, split: str) -> list[LabelledFace]:
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
    for number, row in _rows(path, ("Usage", "Image name", *columns)):
        votes = _checked_shares([row[name] for name in columns], path, number)
        yield row["Image name"], votes, split_of.get(row["Usage"], "")


def _checked_shares(texts: Sequence[str], path: Path, number: int) -> np.ndarray | None:
    try:
        counts = [int(text) for text in texts]
    except ValueError as error:
        raise Smirk3dError(f"{printable(path)}: row {number}: votes must be whole numbers; correct it") from error
    return shares_of_votes(counts)


def _columns(path: Path) -> list[str]:
    try:
        with open_plain_text(path) as file:
            return next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Smirk3dError(f"{printable(path)}: unreadable ({one_line(error)}); give a table in UTF-8") from error


def _rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number of each row, from 2, and its values by column."""
    missing = [name for name in needed if name not in _columns(path)]
    if missing:
        raise Smirk3dError(f"{printable(path)}: lacks the column {missing[0]!r}; needed are {', '.join(needed)}")
    try:
        with open_plain_text(path) as file:
            for number, row in enumerate(csv.DictReader(file), 2):
                if any(row[name] is None for name in needed):
                    raise Smirk3dError(f"{printable(path)}: row {number} is too short; correct it")
                yield number, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Smirk3dError(f"{printable(path)}: unreadable ({one_line(error)}); give a table in UTF-8") from error
