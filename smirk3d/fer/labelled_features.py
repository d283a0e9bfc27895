"""Tables of features and of labels, matched by the names of the images."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smirk3d.assets import printable
from smirk3d.bounded_io import one_line, open_plain_text, read_npz
from smirk3d.errors import Smirk3dError
from smirk3d.fer.table_error import unreadable_table

KEY_COLUMNS = ("key", "image", "path")


@dataclass(frozen=True, eq=False)
class LabelledFeatures:
    """Features of faces with labels.

    Attributes:
        features: (N, D) float32.
        labels: N names of classes.
        groups: N names of people; the key of the face where no column was named.
        keys: N names of the faces.
        splits: N names of splits; empty texts where no column was named.
        unlabelled: Number of faces without a label.
    """

    features: np.ndarray
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    keys: tuple[str, ...]
    splits: tuple[str, ...]
    unlabelled: int


def read_features(path: Path) -> tuple[list[str], np.ndarray]:
    """Return the keys (N) and features (N, D) that `smirk3d features` or `smirk3d fer features` wrote.

    Raises:
        Smirk3dError: The file is no such table.
    """
    readers = {".npz": _read_npz, ".csv": _read_csv, ".parquet": _read_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise Smirk3dError(f"{printable(path)}: unknown format; give a file that ends in {', '.join(readers)}")
    try:
        keys, features = reader(path)
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise Smirk3dError(
            f"{printable(path)}: cannot be read as features ({one_line(error)}); write it with smirk3d fer features"
        ) from error
    if not len(keys) or features.ndim != 2 or len(features) != len(keys) or not np.isfinite(features).all():
        raise Smirk3dError(f"{printable(path)}: holds no finite features of faces; write it with smirk3d fer features")
    return keys, features


def join_labels(
    features_path: Path,
    labels_path: Path,
    label_column: str = "label",
    group_column: str | None = None,
    split_column: str | None = None,
) -> LabelledFeatures:
    """Read features and labels, and match them by key, or by file name where all of these differ.

    Args:
        features_path: File of features.
        labels_path: Table with a column key, image or path, one of labels, and one of people.
        label_column: Name of the column of labels.
        group_column: Name of that of people; None: each face is by itself.
        split_column: Name of that of splits; faces without one are left out as those without a label are.

    Raises:
        Smirk3dError: A file cannot be read, a column is missing, or no face has a label.
    """
    keys, features = read_features(features_path)
    rows = _read_labels(labels_path, label_column, group_column, split_column)
    if not set(keys) & set(rows):
        rows = _by_file_name(rows, labels_path)
        keys = [_file_name(key) for key in keys]
    known = [k for k, key in enumerate(keys) if key in rows and rows[key].is_usable]
    if not known:
        raise Smirk3dError(
            f"{printable(labels_path)}: no label for any face of {printable(features_path)}; its keys are like "
            f"{printable(keys[0])}"
        )
    found = [rows[keys[k]] for k in known]
    return LabelledFeatures(
        features[known],
        tuple(each.label for each in found),
        tuple(each.group for each in found),
        tuple(keys[k] for k in known),
        tuple(each.split or "" for each in found),
        len(keys) - len(known),
    )


@dataclass(frozen=True)
class _Row:
    """Label, person and split of a face; `split` is None where splits do not matter."""

    label: str
    group: str
    split: str | None

    @property
    def is_usable(self) -> bool:
        return bool(self.label) and self.split != ""


def _read_labels(path: Path, label: str, group: str | None, split: str | None) -> dict[str, _Row]:
    """Return label, person and split by key."""
    try:
        with open_plain_text(path) as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or ()
            key = next((name for name in KEY_COLUMNS if name in columns), None)
            if key is None:
                raise Smirk3dError(f"{printable(path)}: lacks a column with keys; name it {' or '.join(KEY_COLUMNS)}")
            for name in (label, *filter(None, (group, split))):
                if name not in columns:
                    raise Smirk3dError(f"{printable(path)}: lacks the column {printable(name)}; add or name it")
            return {
                row[key]: _Row(
                    row[label] or "",
                    (row[group] if group else row[key]) or row[key],
                    None if split is None else row[split] or "",
                )
                for row in reader
            }
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise unreadable_table(path, error) from error


def _by_file_name(rows: dict[str, _Row], path: Path) -> dict[str, _Row]:
    twice = [name for name, count in Counter(map(_file_name, rows)).items() if count > 1]
    if twice:
        raise Smirk3dError(f"{printable(path)}: {printable(twice[0])} occurs twice; write keys as in the features")
    return {_file_name(key): value for key, value in rows.items()}


def _file_name(key: str) -> str:
    return key.replace("\\", "/").rpartition("/")[2]


def _read_npz(path: Path) -> tuple[list[str], np.ndarray]:
    arrays = read_npz(path, ("keys", "features"))
    return [str(key) for key in arrays["keys"]], np.asarray(arrays["features"], dtype=np.float32)


def _read_csv(path: Path) -> tuple[list[str], np.ndarray]:
    with open_plain_text(path) as file:
        header, *rows = csv.reader(file)
    if header[:1] != ["key"]:
        raise ValueError("its first column is not 'key'")
    return [row[0] for row in rows], np.array([row[1:] for row in rows], dtype=np.float32)


def _read_parquet(path: Path) -> tuple[list[str], np.ndarray]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise Smirk3dError(".parquet needs pyarrow: pip install 'smirk3d[tables]', or write .npz or .csv") from error
    try:
        table = parquet.read_table(path)
    except pyarrow.ArrowException as error:
        raise ValueError(str(error)) from error
    names = [name for name in table.column_names if name != "key"]
    columns = [table.column(name).to_numpy() for name in names]
    return table.column("key").to_pylist(), np.stack(columns, axis=1).astype(np.float32)
