"""Recordings of the app Face Cap as .txt.

Lines are `info,...`, `bs,NAME,...` with the names of the weights, and one `k,...` per frame: milliseconds, position and
Euler angles of the head (3 numbers each), angles of the left and the right eye (2 each), and the weights. The angles of
head and eyes are not used: the app does not document their signs.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from smirk3d.export.tables.delimited_text import read_text
from smirk3d.export.tables.expressions import Expressions
from smirk3d.export.tables.table_times import to_seconds
from smirk3d.export.tables.weight_columns import arkit_weights, match_columns, missing_note

_FIRST_WEIGHT = 12
"""Cells of a frame before its weights, with the mark `k`."""
FACE_CAP_NAMES = (
    *("browInnerUp", "browDown_L", "browDown_R", "browOuterUp_L", "browOuterUp_R"),
    *(f"eyeLook{where}_{side}" for where in ("Up", "Down", "In", "Out") for side in "LR"),
    *(f"eye{what}_{side}" for what in ("Blink", "Squint", "Wide") for side in "LR"),
    *("cheekPuff", "cheekSquint_L", "cheekSquint_R", "noseSneer_L", "noseSneer_R"),
    *("jawOpen", "jawForward", "jawLeft", "jawRight"),
    *("mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight", "mouthRollUpper", "mouthRollLower"),
    *("mouthShrugUpper", "mouthShrugLower", "mouthClose"),
    *(
        f"mouth{what}_{side}"
        for what in ("Smile", "Frown", "Dimple", "UpperUp", "LowerDown", "Press", "Stretch")
        for side in "LR"
    ),
    "tongueOut",
)
"""The app's order, for files without a `bs` line."""


def read_face_cap(path: Path) -> Expressions:
    """Read a recording.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no such recording, or a line is damaged.
        csv.Error: A cell is too long.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""))
    names: list[str] = list(FACE_CAP_NAMES)
    frames: list[list[float]] = []
    for row in reader:
        cells = [cell.strip() for cell in row]
        if cells[:1] == ["bs"]:
            names = [cell for cell in cells[1:] if cell]
        elif cells[:1] == ["k"]:
            frames.append(_numbers(cells[1:], _FIRST_WEIGHT - 1 + len(names), reader.line_num))
    if not frames:
        raise ValueError("it has no frames of Face Cap, lines that begin with 'k'")
    values = np.array(frames)
    columns = match_columns(names)
    arkit = arkit_weights(values[:, _FIRST_WEIGHT - 1 :], columns)
    unused = ("not used: position and angles of the head, angles of the eyes",)
    return Expressions(
        tuple(map(str, range(len(values)))),
        {"arkit": arkit},
        time_s=to_seconds(values[:, 0], 1e-3),
        notes=(*missing_note(columns), *unused),
    )


def _numbers(cells: list[str], count: int, line: int) -> list[float]:
    """Return the numbers of a frame; an empty cell after them, from a comma at the end, is ignored."""
    given = cells[:-1] if cells and not cells[-1] else cells
    try:
        values = [float(cell) for cell in given]
    except ValueError as error:
        raise ValueError(f"line {line}: {error}") from error
    if len(values) != count or not np.isfinite(values).all():
        raise ValueError(f"line {line}: has {len(values)} numbers, expected {count} that are finite")
    return values
