"""Runs whose results are tables: a shard with the rows of faces, and one with the photos that failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from smirk3d.batch.photo_rows import PhotoRows, RowSource
from smirk3d.export.tables.expressions_csv import failure_row, table_name
from smirk3d.scale.parquet_shards import SUFFIX, encode_shard, table_of_cells, table_of_features
from smirk3d.scale.result_folder import ResultFolder
from smirk3d.scale.shard_task import UnitCounts
from smirk3d.scale.units import Unit

_FAILURES_REPORTED = 10


class TableFormat(Protocol):
    """How rows become tables of pyarrow."""

    @property
    def failures(self) -> str:
        """What the names of shards of failures begin with."""
        ...

    def table(self, rows: Sequence[Any]) -> Any:
        """Return the table of rows of a `RowSource`."""
        ...

    def failure_table(self, failed: Sequence[PhotoRows]) -> Any:
        """Return the table of photos that failed."""
        ...


@dataclass(frozen=True)
class CellFormat:
    """Rows of text cells, beginning with image, face and status; those of failures are rows of the same table.

    Attributes:
        columns: Names of the columns.
    """

    columns: tuple[str, ...]
    failures: str = "failed-"

    def table(self, rows: Sequence[Sequence[str]]) -> Any:
        """See `TableFormat`."""
        return table_of_cells(self.columns, rows)

    def failure_table(self, failed: Sequence[PhotoRows]) -> Any:
        """See `TableFormat`."""
        return self.table([failure_row(each.job.name, each.reason or "", len(self.columns)) for each in failed])


@dataclass(frozen=True)
class FeatureFormat:
    """Rows of features; failures are a table of their own, which readers of the whole folder leave out."""

    failures: str = "_failed-"

    def table(self, rows: Sequence[Any]) -> Any:
        """See `TableFormat`; rows as `smirk3d.export.tables.features.FeatureRow`."""
        return table_of_features([row.key for row in rows], rows[0].names, np.stack([row.values for row in rows]))

    def failure_table(self, failed: Sequence[PhotoRows]) -> Any:
        """See `TableFormat`."""
        rows = [failure_row(each.job.name, each.reason or "", 3) for each in failed]
        return table_of_cells(("image", "status"), [(row[0], row[2]) for row in rows])


@dataclass(frozen=True)
class TableTask:
    """A run that writes tables; a `ShardTask`.

    Attributes:
        open_rows: Loads the models and returns the source of rows; called once in each process.
        format: Of the tables.
        described: What the rows depend on besides the photos, as JSON.
    """

    open_rows: Callable[[], RowSource]
    format: TableFormat
    described: Mapping[str, object] = field(default_factory=dict)

    def open(self) -> _TableWorker:
        """See `ShardTask`."""
        return _TableWorker(self.open_rows(), self.format)

    def settings(self) -> dict[str, object]:
        """See `ShardTask`."""
        return dict(self.described)

    def prepare_resume(self, folder: ResultFolder, names: list[str]) -> list[str]:
        """See `ShardTask`: photos that failed are tried again."""
        failures = [name for name in names if name.startswith(self.format.failures) and name.endswith(SUFFIX)]
        for name in failures:
            folder.delete(name)
        return [name for name in names if name.endswith(SUFFIX) and name not in set(failures)]


class _TableWorker:
    """Writes the tables of units; a `ShardWorker`."""

    def __init__(self, rows: RowSource, table_format: TableFormat) -> None:
        self._rows, self._format = rows, table_format

    def run(self, unit: Unit, folder: ResultFolder) -> UnitCounts:
        """See `ShardWorker`; each shard names the photos of which it has the rows."""
        photos = [photo for batch in self._rows.batches(unit.blocks) for photo in batch]
        done = [photo for photo in photos if photo.reason is None]
        failed = [photo for photo in photos if photo.reason is not None]
        rows = [row for photo in done for row in photo.rows]
        if done:
            folder.write(f"part-{unit.name}{SUFFIX}", encode_shard(self._format.table(rows), _names(done)))
        if failed:
            table = self._format.failure_table(failed)
            folder.write(f"{self._format.failures}{unit.name}{SUFFIX}", encode_shard(table, _names(failed)))
        shown = tuple((photo.job.name, photo.reason or "") for photo in failed[:_FAILURES_REPORTED])
        return UnitCounts(len(done), len(failed), len(rows), shown)

    def close(self) -> None:
        """See `ShardWorker`."""
        self._rows.close()


def _names(photos: Sequence[PhotoRows]) -> list[str]:
    return [table_name(photo.job.name) for photo in photos]
