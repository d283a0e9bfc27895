"""Parquet shards: each has rows of a table, and in its footer the names of the photos that they belong to."""

# pyarrow has no annotations.
# pyright: reportMissingTypeStubs=false, reportPrivateImportUsage=false

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from smirk3d.assets import printable
from smirk3d.bounded_io import one_line
from smirk3d.errors import Smirk3dError
from smirk3d.scale.result_folder import ResultFolder

SUFFIX = ".parquet"
_IMAGES_KEY = b"smirk3d.images"
_TEXT_COLUMNS = frozenset({"image", "status", "method", "emotion", "key", "shard", "person"})
_WHOLE_COLUMNS = frozenset({"face"})


def arrow() -> Any:
    """Return the module pyarrow.

    Raises:
        Smirk3dError: It is not installed.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise Smirk3dError("Parquet shards need pyarrow; pip install 'smirk3d[scale]'") from error
    return pyarrow


def table_of_cells(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Any:
    """Return cells of text as a table of pyarrow: names as text, `face` as whole numbers, all others as float64.

    Args:
        columns: Names of the columns.
        rows: Cells of each row; an empty one is null.
    """
    pyarrow = arrow()
    arrays = []
    for k, name in enumerate(columns):
        cells = [row[k] for row in rows]
        if name in _TEXT_COLUMNS:
            arrays.append(pyarrow.array([cell or None for cell in cells], pyarrow.string()))
        elif name in _WHOLE_COLUMNS:
            arrays.append(pyarrow.array([int(cell) if cell else None for cell in cells], pyarrow.int64()))
        else:
            arrays.append(pyarrow.array([float(cell) if cell else None for cell in cells], pyarrow.float64()))
    return pyarrow.Table.from_arrays(arrays, names=list(columns))


def table_of_features(keys: Sequence[str], names: Sequence[str], values: np.ndarray) -> Any:
    """Return features as a table of pyarrow, with the types of the local run's .parquet.

    Args:
        keys: N names of faces.
        names: D names of features.
        values: (N, D) float32.
    """
    pyarrow = arrow()
    arrays = [pyarrow.array(list(keys), pyarrow.string()), *(pyarrow.array(column) for column in values.T)]
    return pyarrow.Table.from_arrays(arrays, names=["key", *names])


def encode_shard(table: Any, images: Sequence[str]) -> bytes:
    """Return the bytes of a shard.

    Args:
        table: Rows, as a table of pyarrow.
        images: Names of the photos that all rows belong to, without any of which rows are elsewhere.
    """
    from pyarrow import parquet

    metadata = {**(table.schema.metadata or {}), _IMAGES_KEY: json.dumps(list(images)).encode("ascii")}
    file = io.BytesIO()
    parquet.write_table(table.replace_schema_metadata(metadata), file)
    return file.getvalue()


def images_of_shard(folder: ResultFolder, name: str) -> list[str]:
    """Return the names of the photos of a shard, from its footer.

    Raises:
        Smirk3dError: It cannot be read, or is no such shard.
    """
    from pyarrow import parquet

    with folder.open(name) as file:
        try:
            return list(map(str, json.loads(parquet.read_metadata(file).metadata[_IMAGES_KEY])))
        except Exception as error:  # pyarrow raises many things about files of others
            raise Smirk3dError(
                f"{printable(str(folder))}/{name}: is no shard of smirk3d ({printable(one_line(error))}); remove it, "
                "or choose another --out"
            ) from error
