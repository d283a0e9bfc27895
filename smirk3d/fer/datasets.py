"""Labelled faces on disk, whatever their layout; see `smirk3d.fer.dataset_readers` for each.

Nothing is downloaded. A face has votes: the shares of the eight emotions. A single label is one vote.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.fer.dataset_readers import affectnet, ferplus, raf_db
from smirk3d.fer.dataset_readers.class_folders import read_class_folders, split_folders
from smirk3d.fer.dataset_readers.csv_rows import column_names
from smirk3d.fer.dataset_readers.labelled_face import SPLITS, LabelledFace
from smirk3d.fer.dataset_readers.path_table import read_table, table_splits


@dataclass(frozen=True)
class Layout:
    """How a data set lies on the disk.

    Attributes:
        name: For messages.
        splits: The splits that are there; none where the layout has no splits.
        read: Reads the faces of a split.
    """

    name: str
    splits: tuple[str, ...]
    read: Callable[[str], list[LabelledFace]]


def layout_of(path: Path) -> Layout:
    """Return the layout of a data set.

    Args:
        path: Folder of FERPlus (`labels.csv` with `SPLIT.tar`, or `fer2013new.csv` with `FER2013Train` and so on, or
            that table beside `fer2013.csv`, or `FER2013Train/label.csv`), of AffectNet (`training.csv`, or `train_set`
            with `images` and `annotations`) or RAF-DB (`EmoLabel` and `Image`), the file fer2013.csv, a folder with a
            folder for each class, also below `train`, `val` and `test`, or a table with the columns `path` and `label`,
            and `split` and `person` where these are known.

    Raises:
        Smirk3dError: There is no such data, or it cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        return _layout_of_folder(path)
    if path.suffix.lower() != ".csv":
        raise Smirk3dError(f"{printable(path)}: no folder and no .csv; name the folder or the table of a data set")
    if "pixels" in column_names(path):
        return Layout("FER2013", SPLITS, partial(ferplus.read_fer2013, path, plus=None))
    return Layout("table of paths", table_splits(path), partial(read_table, path))


def _layout_of_folder(path: Path) -> Layout:
    archives = tuple(split for split in SPLITS if (path / f"{split}.tar").is_file())
    plus, fer2013 = path / "fer2013new.csv", path / "fer2013.csv"
    if (path / "labels.csv").is_file() and archives:
        return Layout("FERPlus, archives", archives, partial(ferplus.read_vote_archive, path))
    if plus.is_file() and fer2013.is_file():
        return Layout("FERPlus with FER2013", SPLITS, partial(ferplus.read_fer2013, fer2013, plus=plus))
    if plus.is_file():
        return Layout("FERPlus, pictures", SPLITS, partial(ferplus.read_plus_pictures, path))
    if splits := ferplus.plus_splits(path):
        return Layout("FERPlus, label files", splits, partial(ferplus.read_plus_label_files, path))
    if fer2013.is_file():
        return Layout("FER2013", SPLITS, partial(ferplus.read_fer2013, fer2013, plus=None))
    return _layout_of_other_folder(path)


def _layout_of_other_folder(path: Path) -> Layout:
    if splits := tuple(split for split, name in affectnet.TABLES.items() if (path / name).is_file()):
        return Layout("AffectNet, tables of 2017", splits, partial(affectnet.read_tables, path))
    folders = affectnet.EIGHT_CLASS_FOLDERS
    if splits := tuple(split for split, name in folders.items() if (path / name / "annotations").is_dir()):
        return Layout("AffectNet, eight classes", splits, partial(affectnet.read_eight_classes, path))
    if raf_db.label_file(path) is not None:
        return Layout("RAF-DB", raf_db.SPLITS, partial(raf_db.read_raf_db, path))
    if below := split_folders(path):
        return Layout("folder for each class and split", tuple(below), lambda split: read_class_folders(below[split]))
    return Layout("folder for each class", (), lambda _: read_class_folders(path))


def read_labelled(path: Path, split: str = "train") -> list[LabelledFace]:
    """Read the labelled faces of a split; a layout without splits is read as a whole.

    Args:
        path: As for `layout_of`.
        split: "train", "val" or "test".

    Raises:
        Smirk3dError: There is no such data, it cannot be read, or it lacks the split.
    """
    if split not in SPLITS:
        raise Smirk3dError(f"{printable(split)}: is no split; choose from {', '.join(SPLITS)}")
    layout = layout_of(path)
    if layout.splits and split not in layout.splits:
        raise Smirk3dError(
            f"{printable(path)}: no labelled faces of the split {split} ({layout.name} with "
            f"{', '.join(layout.splits)}); check path and layout"
        )
    faces = layout.read(split)
    if not faces:
        raise Smirk3dError(f"{printable(path)}: no labelled faces of the split {split}; check path and layout")
    return faces
