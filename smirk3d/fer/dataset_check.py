"""What is in a data set of labelled faces, and what would flatter or spoil a measurement on it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.fer.dataset_readers.labelled_face import LabelledFace
from smirk3d.fer.datasets import layout_of
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.fer.near_duplicates import near_duplicates, thumbnail

WHOLE = "all"
"""Name of the one split of layouts without splits."""
UNREADABLE, NEAR_DUPLICATE, SHARED_PERSON = "unreadable", "near-duplicate", "person"
"""Kinds of problems."""


@dataclass(frozen=True, eq=False)
class CheckedSplit:
    """The faces of a split that can be read.

    Attributes:
        name: Name of the split.
        keys: N names of pictures.
        label: (N,) index of the emotion.
        persons: N names, None where the data set does not state them.
        thumbnails: (N, 32, 32), see `smirk3d.fer.near_duplicates`.
        unreadable: Names of the pictures that cannot be read, with the reasons.
    """

    name: str
    keys: tuple[str, ...]
    label: np.ndarray
    persons: tuple[str | None, ...]
    thumbnails: np.ndarray
    unreadable: tuple[tuple[str, str], ...]

    @property
    def counts(self) -> dict[str, int]:
        """Number of faces of each emotion."""
        return dict(zip(EMOTIONS, np.bincount(self.label, minlength=len(EMOTIONS)).tolist()))


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a data set.

    Attributes:
        kind: `UNREADABLE`, `NEAR_DUPLICATE` or `SHARED_PERSON`.
        split: Where it is.
        key: Name of the picture, or of the person.
        other_split: The other split, of near-duplicates and persons.
        other_key: The other picture, or the reason why one cannot be read.
    """

    kind: str
    split: str
    key: str
    other_split: str = ""
    other_key: str = ""


@dataclass(frozen=True)
class DatasetReport:
    """Result of a check.

    Attributes:
        layout: Name of the layout.
        splits: The splits.
        problems: What is wrong; near-duplicates and persons count only across splits.
    """

    layout: str
    splits: tuple[CheckedSplit, ...]
    problems: tuple[Problem, ...]


def check_dataset(root: Path, advance: Callable[[], None] = lambda: None) -> DatasetReport:
    """Read all faces of a data set.

    Args:
        root: As for `smirk3d.fer.datasets.layout_of`.
        advance: Called after each face.

    Raises:
        Smirk3dError: There is no such data set, or its labels cannot be read.
    """
    layout = layout_of(root)
    splits = tuple(_checked(name, layout.read(name), advance) for name in layout.splits or (WHOLE,))
    if not any(len(split.keys) + len(split.unreadable) for split in splits):
        raise Smirk3dError(f"{printable(root)}: no labelled faces ({layout.name}); check the path")
    problems = [Problem(UNREADABLE, split.name, key, "", why) for split in splits for key, why in split.unreadable]
    for one, other in itertools.combinations(splits, 2):
        problems += _shared(one, other)
    return DatasetReport(layout.name, splits, tuple(problems))


def _checked(name: str, faces: Sequence[LabelledFace], advance: Callable[[], None]) -> CheckedSplit:
    read: list[LabelledFace] = []
    thumbnails: list[np.ndarray] = []
    unreadable: list[tuple[str, str]] = []
    for face in faces:
        try:
            thumbnails.append(thumbnail(face.window()))
            read.append(face)
        except Smirk3dError as error:
            unreadable.append((face.key, str(error)))
        advance()
    return CheckedSplit(
        name=name,
        keys=tuple(face.key for face in read),
        label=np.array([face.label for face in read], dtype=np.int64),
        persons=tuple(face.person for face in read),
        thumbnails=np.array(thumbnails, dtype=np.float32).reshape(-1, 32, 32),
        unreadable=tuple(unreadable),
    )


def _shared(one: CheckedSplit, other: CheckedSplit) -> list[Problem]:
    """Return the near-duplicates and the persons that two splits share."""
    found = [
        Problem(NEAR_DUPLICATE, one.name, one.keys[row], other.name, other.keys[column])
        for row, column in near_duplicates(one.thumbnails, other.thumbnails)
    ]
    persons = sorted((set(one.persons) & set(other.persons)) - {None}, key=str)
    return found + [Problem(SHARED_PERSON, one.name, str(name), other.name, str(name)) for name in persons]
