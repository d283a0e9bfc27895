"""Reader of a table of pictures with labels."""

from __future__ import annotations

from pathlib import Path

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.fer.dataset_readers.csv_rows import numbered_rows
from smirk3d.fer.dataset_readers.labelled_face import SPLITS, LabelledFace, one_vote
from smirk3d.fer.emotions import emotion_index


def table_splits(path: Path) -> tuple[str, ...]:
    """Return the splits that a table names; none where it has no such column."""
    named = {row.get("split") for _, row in numbered_rows(path, ("path", "label"))}
    return tuple(split for split in SPLITS if split in named)


def read_table(path: Path, split: str | None = None) -> list[LabelledFace]:
    """Read a table with the columns `path` and `label`; relative paths count from the table's folder.

    Further columns are read where they are there: `split`, and `person`.

    Args:
        path: The table.
        split: The split that is read; None: all, and so for a table without splits.

    Raises:
        Smirk3dError: A column is missing, or a label is no emotion.
    """
    faces = []
    for number, row in numbered_rows(path, ("path", "label")):
        if split is not None and (row.get("split") or split) != split:
            continue
        try:
            votes = one_vote(emotion_index(row["label"]))
        except ValueError as error:
            raise Smirk3dError(f"{printable(path)}: row {number}: {printable(str(error))}; correct it") from error
        faces.append(LabelledFace(row["path"], path.parent / row["path"], votes, row.get("person") or None))
    return faces
