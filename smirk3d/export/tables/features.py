"""Expression features for recognition: one row of numbers per face, as .npz, .parquet or .csv."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch

from smirk3d.assets import atomic_path, printable
from smirk3d.errors import Smirk3dError
from smirk3d.export.tables.expressions_csv import table_name
from smirk3d.face import Face
from smirk3d.geometry.rotations import rotmat_to_rotvec
from smirk3d.head.arkit import ARKIT_NAMES

FEATURE_FORMATS: tuple[str, ...] = (".npz", ".parquet", ".csv")
_CHUNK_ROWS = 1024
"""Rows that are written to .parquet at a time."""


@dataclass(frozen=True)
class FeatureRow:
    """The features of one face.

    Attributes:
        key: The image, with `#k` appended for its faces k > 0.
        names: Names of the D features.
        values: (D,) float32.
    """

    key: str
    names: tuple[str, ...]
    values: np.ndarray


def feature_names(n_expression: int) -> tuple[str, ...]:
    """Return the names of the features for a head with `n_expression` expression components.

    They are the 52 ARKit names, `expression_00`, `expression_01`, ... (the coefficients of the head, also where these
    are the ARKit weights), `jaw_x/y/z` (rotation vector in radians), `eyelid_left/right` in [0, 1] and `pose_x/y/z`
    (rotation vector in radians from the head frame to the camera frame).
    """
    expression = (f"expression_{index:02d}" for index in range(n_expression))
    jaw, pose = ([f"{name}_{axis}" for axis in "xyz"] for name in ("jaw", "pose"))
    return (*ARKIT_NAMES, *expression, *jaw, "eyelid_left", "eyelid_right", *pose)


def feature_row(image: str | os.PathLike[str], index: int, face: Face) -> FeatureRow:
    """Return the features of a face.

    Args:
        image: Path of the image.
        index: Index of the face in the image, from 0.
        face: The face.
    """
    pose = rotmat_to_rotvec(torch.as_tensor(face.rotation, dtype=torch.float64)).numpy()
    arkit = [face.arkit[name] for name in ARKIT_NAMES]
    values = np.concatenate([arkit, face.expression, face.jaw, face.eyelids, pose]).astype(np.float32)
    name = table_name(image)
    return FeatureRow(f"{name}#{index}" if index else name, feature_names(len(face.expression)), values)


def write_features(rows: Iterable[FeatureRow], path: str | Path) -> int:
    """Write a table of features in the format of the suffix, whole or not at all.

    - .npz: `keys` (N,) text, `names` (D,) text, `features` (N, D) float32; held in memory until the end.
    - .parquet and .csv: a column `key` and the D feature columns; written row by row, without holding all in memory.

    Args:
        rows: Rows with equal names; iterated once.
        path: Target, ending in one of `FEATURE_FORMATS`; its folder exists.

    Returns:
        The number of rows.

    Raises:
        Smirk3dError: The suffix is unknown, there are no rows, their names differ, pyarrow is missing for
            .parquet, or writing failed.
    """
    path = Path(path)
    writers = dict(zip(FEATURE_FORMATS, (_write_npz, _write_parquet, _write_csv), strict=True))
    if path.suffix.lower() not in writers:
        known = " ".join(FEATURE_FORMATS)
        raise Smirk3dError(f"{printable(path)}: unknown format {path.suffix!r}; choose one of {known}")
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        raise Smirk3dError(f"{printable(path)}: not written, no face was found in any image")
    with atomic_path(path) as temporary:
        return writers[path.suffix.lower()](
            _with_equal_names(chain([first], rows), first.names), first.names, temporary
        )


def _with_equal_names(rows: Iterable[FeatureRow], names: tuple[str, ...]) -> Iterator[FeatureRow]:
    for row in rows:
        if row.names != names:
            raise Smirk3dError(f"{row.key}: its features differ from the first face's; use one head for all")
        yield row


def _write_npz(rows: Iterable[FeatureRow], names: tuple[str, ...], path: Path) -> int:
    kept = list(rows)
    with open(path, "wb") as file:
        np.savez_compressed(
            file,
            allow_pickle=False,
            keys=np.array([row.key for row in kept]),
            names=np.array(names),
            features=np.stack([row.values for row in kept]),
        )
    return len(kept)


def _write_csv(rows: Iterable[FeatureRow], names: tuple[str, ...], path: Path) -> int:
    count = 0
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["key", *names])
        for count, row in enumerate(rows, start=1):  # noqa: B007 (the count is the result)
            writer.writerow([row.key, *(f"{value:.6g}" for value in row.values)])
    return count


def _write_parquet(rows: Iterable[FeatureRow], names: tuple[str, ...], path: Path) -> int:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise Smirk3dError(".parquet needs pyarrow: pip install 'smirk3d[tables]', or write .npz or .csv") from error
    columns = [("key", pyarrow.string()), *((name, pyarrow.float32()) for name in names)]
    schema, count, rows = pyarrow.schema(columns), 0, iter(rows)
    with parquet.ParquetWriter(path, schema) as writer:
        while chunk := list(islice(rows, _CHUNK_ROWS)):
            features = np.stack([row.values for row in chunk])
            arrays = [pyarrow.array([row.key for row in chunk]), *map(pyarrow.array, features.T)]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
            count += len(chunk)
    return count
