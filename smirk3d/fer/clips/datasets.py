"""Readers of data sets of clips: DFEW, FERV39k, MAFW, a folder for each class, a table of paths.

Nothing is downloaded; the sets are given by their authors after registration. Of MAFW's eleven classes the eight that
`smirk3d.fer.emotions.EMOTIONS` has are read.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from smirk3d.assets import printable
from smirk3d.bounded_io import one_line, open_plain_text
from smirk3d.errors import Smirk3dError
from smirk3d.fer.clips.labelled_clip import LabelledClip, Part
from smirk3d.fer.emotions import EMOTIONS, emotion_index
from smirk3d.fer.table_error import unreadable_table
from smirk3d.media.images import IMAGE_SUFFIXES
from smirk3d.media.video import VIDEO_SUFFIXES

FOLDS = 5
DFEW_EMOTIONS = ("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear")
"""DFEW's classes, from 1."""
MAFW_EMOTIONS = (
    "anger",
    "disgust",
    "fear",
    "happiness",
    "neutral",
    "sadness",
    "surprise",
    "contempt",
    "anxiety",
    "helplessness",
    "disappointment",
)
"""MAFW's classes in the official order; copies of the set number them alphabetically."""
MAFW_COUNTS = (1390, 639, 625, 1242, 1138, 1470, 1072, 236, 916, 262, 182)
"""Single-labelled clips of each of `MAFW_EMOTIONS`, by which the numbering of a copy is recognised."""
_CLEAR_LOG_RATIO = 5.0
"""Logarithm of the likelihood ratio from which the numbering of a copy is certain."""


def read_dfew(root: Path, part: Part, fold: int) -> list[LabelledClip]:
    """Read the single-labelled clips of a fold of DFEW.

    Raises:
        Smirk3dError: The files are not there, or cannot be read.
    """
    splits = root / "EmoLabel_DataSplit"
    names = (f"set_{fold}.csv", f"{part}_set_{fold}.csv", f"single_{part}set_{fold}.csv")
    folders = (splits / f"{part}(single-labeled)", splits)
    table = _first_file([folder / name for folder in folders for name in names])
    rows = [(number, row[0].strip(), row[1].strip()) for number, row in _rows(table, 2) if _is_number(row[1])]
    first = 0 if any(int(label) == 0 for _, _, label in rows) else 1
    clips = []
    for number, name, text in rows:
        index = int(text) - first
        if not 0 <= index < len(DFEW_EMOTIONS):
            raise Smirk3dError(f"{printable(table)}: row {number}: label {printable(text)} is none of 7; correct it")
        label = EMOTIONS.index(DFEW_EMOTIONS[index])
        padded = name.zfill(5)
        paths = [
            root / "Clip" / "clip_224x224" / padded,
            *(root / "Clip" / "original" / f"{n}.mp4" for n in (name, padded)),
        ]
        clips.append(LabelledClip(padded, _existing(paths, table, number), label))
    return _checked(clips, table)


def read_ferv39k(root: Path, part: Part, fold: int = 1) -> list[LabelledClip]:
    """Read FERV39k over all scenes, which has no folds.

    Raises:
        Smirk3dError: The files are not there, or cannot be read.
    """
    table = _first_file([root / "4_setups" / "All_scenes" / f"{part}_All.csv"])
    clips = []
    for number, row in _rows(table, 1):
        name, _, text = " ".join(row).strip().rpartition(" ")
        label = _label(text, table, number)
        path = _existing([root / "2_ClipsforFaceCrop" / name, root / name], table, number)
        clips.append(LabelledClip(name, path, label))
    return _checked(clips, table)


def read_mafw(root: Path, part: Part, fold: int) -> list[LabelledClip]:
    """Read the single-labelled clips of a fold of MAFW that show one of `EMOTIONS`.

    Raises:
        Smirk3dError: The files are not there, or cannot be read, or numbers of classes are in an unknown order.
    """
    found = {name: sorted(root.rglob(f"set_{fold}/{name}.csv"))[:1] for name in ("train", "test")}
    if not found[part]:
        raise Smirk3dError(f"{printable(root)}: lacks set_{fold}/{part}.csv; give MAFW's folder")
    rows = {name: _mafw_rows(tables[0]) for name, tables in found.items() if tables}
    table = found[part][0]
    order = _mafw_order([text for part_rows in rows.values() for _, _, text in part_rows], table)
    places = [folder for folder in (root, *sorted(root.iterdir())) if folder.is_dir()]
    clips = []
    for number, name, text in rows[part]:
        emotion = order[int(text) - 1] if _is_number(text) else text.lower()
        if emotion not in EMOTIONS:
            continue
        stem = Path(name).stem
        paths = [path for place in places for path in (place / stem, place / f"{stem}.mp4")]
        clips.append(LabelledClip(stem, _existing(paths, table, number), EMOTIONS.index(emotion)))
    return _checked(clips, table)


def read_clip_folder(path: Path, part: Part, fold: int = 1) -> list[LabelledClip]:
    """Read a folder with a folder of clips for each emotion, or a table with the columns path and label.

    A clip is a video file or a folder of images. Of each class every fifth clip, counted from the fold, is for testing.

    Raises:
        Smirk3dError: There are no such clips, or they cannot be read.
    """
    clips = _table_clips(path) if path.suffix.lower() == ".csv" else _class_folders(path)
    seen: Counter[int] = Counter()
    chosen = []
    for clip in clips:
        is_test = seen[clip.label] % FOLDS == fold - 1
        seen[clip.label] += 1
        if is_test == (part == "test"):
            chosen.append(clip)
    return _checked(chosen, path)


READERS = {"dfew": read_dfew, "ferv39k": read_ferv39k, "mafw": read_mafw, "folder": read_clip_folder}
"""Name of a data set -> its reader."""


def _class_folders(root: Path) -> list[LabelledClip]:
    clips: list[LabelledClip] = []
    try:
        for folder in sorted(each for each in root.iterdir() if each.is_dir()):
            try:
                label = emotion_index(folder.name)
            except ValueError:
                continue
            paths = [each for each in sorted(folder.iterdir()) if is_clip(each)]
            clips += [LabelledClip(str(each.relative_to(root)), each, label) for each in paths]
    except OSError as error:
        raise Smirk3dError(f"{printable(root)}: unreadable ({one_line(error)}); check the folder") from error
    return clips


def _table_clips(table: Path) -> list[LabelledClip]:
    rows = list(_rows(table, 2))
    header = [cell.strip().lower() for cell in rows[0][1]] if rows else []
    if not {"path", "label"} <= set(header):
        raise Smirk3dError(f"{printable(table)}: needs the columns path and label")
    path, label = header.index("path"), header.index("label")
    return [
        LabelledClip(row[path], _existing([table.parent / row[path]], table, number), _label(row[label], table, number))
        for number, row in rows[1:]
        if len(row) > max(path, label)
    ]


def is_clip(path: Path) -> bool:
    """Return whether a path is a video file or a folder with images."""
    if path.is_dir():
        return any(each.suffix.lower() in IMAGE_SUFFIXES for each in path.iterdir())
    return path.suffix.lower() in VIDEO_SUFFIXES


def _mafw_rows(table: Path) -> list[tuple[int, str, str]]:
    """Return number, name and label of the clips; a header is left out."""
    rows = [(number, row[0].strip(), row[1].strip()) for number, row in _rows(table, 2)]
    if rows and rows[0][1].lower() in ("video_name", "name", "video"):
        rows = rows[1:]
    for number, _, text in rows:
        is_class = 1 <= int(text) <= len(MAFW_EMOTIONS) if _is_number(text) else text.lower() in MAFW_EMOTIONS
        if not is_class:
            raise Smirk3dError(f"{printable(table)}: row {number}: {printable(text)} is no class of MAFW; correct it")
    return rows


def _mafw_order(labels: Sequence[str], table: Path) -> tuple[str, ...]:
    """Return the classes by number: of both known orders the one whose counts fit."""
    numbers = Counter(int(text) for text in labels if _is_number(text))
    if not numbers:
        return MAFW_EMOTIONS
    known = dict(zip(MAFW_EMOTIONS, MAFW_COUNTS))
    orders = (MAFW_EMOTIONS, tuple(sorted(MAFW_EMOTIONS)))
    fits = [sum(count * math.log(known[order[k - 1]]) for k, count in numbers.items()) for order in orders]
    if abs(fits[0] - fits[1]) < _CLEAR_LOG_RATIO:
        raise Smirk3dError(
            f"{printable(table)}: the counts fit several numberings of the classes; replace the numbers by names"
        )
    return orders[0] if fits[0] > fits[1] else orders[1]


def _label(text: str, table: Path, number: int) -> int:
    try:
        return emotion_index(text)
    except ValueError as error:
        raise Smirk3dError(f"{printable(table)}: row {number}: {printable(str(error))}; correct it") from error


def _is_number(text: str) -> bool:
    return text.strip().isdecimal() and len(text.strip()) < 6


def _first_file(paths: Sequence[Path]) -> Path:
    for path in paths:
        if path.is_file():
            return path
    raise Smirk3dError(f"{printable(paths[0])}: is missing; give the folder of the data set as its authors lay it out")


def _existing(paths: Sequence[Path], table: Path, number: int) -> Path:
    for path in paths:
        if path.exists():
            return path
    raise Smirk3dError(
        f"{printable(paths[0])}: is missing, which row {number} of {table.name} names; extract the clips"
    )


def _rows(table: Path, n_cells: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of each row with content."""
    try:
        with open_plain_text(table) as file:
            for number, row in enumerate(csv.reader(file), 1):
                if row and len(row) < n_cells:
                    raise Smirk3dError(f"{printable(table)}: row {number} is too short; correct it")
                if row:
                    yield number, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise unreadable_table(table, error) from error


def _checked(clips: list[LabelledClip], source: Path) -> list[LabelledClip]:
    if not clips:
        raise Smirk3dError(
            f"{printable(source)}: no labelled clips; it needs those of a known set, or folders of clips named "
            f"{', '.join(EMOTIONS)}"
        )
    return clips
