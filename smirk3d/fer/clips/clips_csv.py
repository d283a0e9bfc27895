"""The table of clips, `clips.csv`: one row per clip."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from smirk3d.assets import atomic_path, printable
from smirk3d.bounded_io import one_line, open_plain_text
from smirk3d.errors import Smirk3dError
from smirk3d.export.tables.expressions_csv import STATUS_OK
from smirk3d.fer.clips.recognizer import ClipEmotion
from smirk3d.fer.emotions import EMOTIONS

TABLE_NAME, STRIPS_NAME = "clips.csv", "clips.png"
CLIP_COLUMNS: tuple[str, ...] = (
    *("clip", "emotion"),
    *EMOTIONS,
    *("key_start_s", "key_middle_s", "key_end_s", "agreement", "status"),
)
"""Columns in order: probabilities and agreement in [0, 1], times in seconds from the first frame; the key expression is
empty in neutral clips."""


def clip_row(name: str, found: ClipEmotion) -> list[str]:
    """Return the cells of a clip in the order of `CLIP_COLUMNS`."""
    key = [""] * 3 if found.key_s is None else [f"{time_s:.3f}" for time_s in found.key_s]
    probabilities = [f"{found.probabilities[emotion]:.5f}" for emotion in EMOTIONS]
    return [name, found.emotion, *probabilities, *key, f"{found.agreement:.4f}", STATUS_OK]


def failed_row(name: str, reason: str) -> list[str]:
    """Return the cells of a clip that could not be read, all empty but name and status."""
    return [name, *[""] * (len(CLIP_COLUMNS) - 2), reason]


def read_done_rows(path: Path) -> dict[str, list[str]]:
    """Return the rows of the clips that an earlier run could read, by name; empty where there is no table.

    Raises:
        Smirk3dError: The table cannot be read, or has other columns.
    """
    if not path.is_file():
        return {}
    try:
        with open_plain_text(path) as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Smirk3dError(f"{printable(path)}: unreadable ({one_line(error)}); remove it") from error
    if tuple(header) != CLIP_COLUMNS:
        raise Smirk3dError(f"{printable(path)}: has other columns than this version writes; remove it")
    return {row[0]: row for row in rows if len(row) == len(CLIP_COLUMNS) and row[-1] == STATUS_OK}


def write_clip_table(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Write the table, all at once.

    Raises:
        Smirk3dError: It cannot be written.
    """
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CLIP_COLUMNS)
        writer.writerows(rows)
