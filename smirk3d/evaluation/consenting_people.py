"""Neutral and smiling faces of people with known sex, age and ethnicity: what recognition makes of each group.

Layout of the folder: `people.csv` with id, age, gender and ethnicity, and `ID_neutral.jpg` and `ID_smiling.jpg`, as in
the Face Research Lab London Set (DeBruine and Jones, 2017).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smirk3d.assets import printable
from smirk3d.detection.detector import Detector
from smirk3d.errors import Smirk3dError
from smirk3d.fer.dataset_readers.csv_rows import numbered_rows
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.fer.photo_windows import window_of_photo
from smirk3d.fer.vectors import expressions_of

EXPRESSIONS = {"neutral": "neutral", "smiling": "happiness"}
"""End of the file's name -> the emotion that it shows."""
_AGE_LIMITS = (25, 35)


@dataclass(frozen=True)
class Person:
    """One person.

    Attributes:
        groups: Name of an attribute -> the person's group.
        is_right: End of the file's name -> whether the emotion was recognised.
    """

    groups: dict[str, str]
    is_right: dict[str, bool]


@dataclass(frozen=True)
class GroupRow:
    """How often the faces of a group were recognised.

    Attributes:
        attribute: "all", "sex", "age" or "ethnicity".
        group: Name of the group.
        people: Number of people.
        right: End of the file's name -> number of faces that were recognised.
    """

    attribute: str
    group: str
    people: int
    right: dict[str, int]


def recognized_people(
    weights: Path | None, folder: Path, advance: Callable[[], None] = lambda: None
) -> tuple[Person, ...]:
    """Recognise the two faces of each person.

    Args:
        weights: File of `smirk3d fer train`; None: the packaged network.
        folder: The folder.
        advance: Called after each person.

    Raises:
        Smirk3dError: The table or a photo cannot be read, or shows no face.
    """
    table = folder / "people.csv"
    people: list[dict[str, str]] = []
    windows: list[np.ndarray] = []
    with Detector() as detector:
        for _, row in numbered_rows(table, ("id", "age", "gender", "ethnicity")):
            people.append(_groups(row, table))
            windows += [window_of_photo(folder / f"{row['id']}_{name}.jpg", detector) for name in EXPRESSIONS]
            advance()
    if not people:
        raise Smirk3dError(f"{printable(table)}: names no people; check the file")
    predicted = expressions_of(np.stack(windows), weights).probabilities.argmax(axis=1).reshape(len(people), -1)
    shown = [EMOTIONS.index(emotion) for emotion in EXPRESSIONS.values()]
    return tuple(
        Person(groups, dict(zip(EXPRESSIONS, (row == shown).tolist()))) for groups, row in zip(people, predicted)
    )


def group_rows(people: tuple[Person, ...]) -> list[GroupRow]:
    """Return the counts of all people, and of each group of each attribute, the groups in alphabetical order."""
    chosen = [("all", "", people)]
    for attribute in people[0].groups:
        for group in sorted({person.groups[attribute] for person in people}):
            chosen.append((attribute, group, tuple(each for each in people if each.groups[attribute] == group)))
    return [GroupRow(attribute, group, len(found), _counts(found)) for attribute, group, found in chosen]


def _counts(people: tuple[Person, ...]) -> dict[str, int]:
    return {name: sum(each.is_right[name] for each in people) for name in EXPRESSIONS}


def _groups(row: dict[str, str], table: Path) -> dict[str, str]:
    try:
        age = float(row["age"])
    except ValueError as error:
        raise Smirk3dError(f"{printable(table)}: the age of {printable(row['id'])} is no number; correct it") from error
    low, high = _AGE_LIMITS
    years = f"under {low}" if age < low else f"{low} to {high - 1}" if age < high else f"{high} and more"
    return {"sex": row["gender"], "age": years, "ethnicity": row["ethnicity"].replace("_", " ")}
