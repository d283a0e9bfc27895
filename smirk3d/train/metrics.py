"""Metrics of a training run: a CSV table and TensorBoard."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smirk3d.assets import atomic_path
from smirk3d.bounded_io import read_bytes
from smirk3d.errors import Smirk3dError

TABLE_NAME = "metrics.csv"
BOARD_NAME = "tensorboard"
_HEADER = ("step", "name", "value")


class MetricsLog:
    """Writes `metrics.csv`, one row per step and name, and events for TensorBoard; a context manager.

    Args:
        folder: Folder of the run.
        start: Steps done so far; rows of an earlier run beyond that are removed.

    Raises:
        Smirk3dError: TensorBoard is not installed, or the table cannot be written.
    """

    def __init__(self, folder: Path, start: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise Smirk3dError("training needs tensorboard; pip install 'smirk3d[train]'") from error
        path = folder / TABLE_NAME
        _truncate(path, start)
        self._file = open(path, "a", newline="", encoding="utf-8")  # noqa: SIM115 - closed in __exit__
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._board: Any = SummaryWriter(str(folder / BOARD_NAME), purge_step=start or None)

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()
        self._board.close()

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write the metrics of a step and flush the table.

        Args:
            step: Number of the step, from 0.
            values: Name -> value.
        """
        self._rows.writerows((step, name, repr(value)) for name, value in values.items())
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)


def read_metrics(folder: str | os.PathLike[str]) -> dict[str, dict[int, float]]:
    """Read the table of a run: name -> step -> value. An incomplete last row is left out.

    Raises:
        OSError: There is no table.
    """
    found: dict[str, dict[int, float]] = {}
    for step, name, value in _whole_rows(Path(folder) / TABLE_NAME):
        found.setdefault(name, {})[int(step)] = float(value)
    return found


def _truncate(path: Path, start: int) -> None:
    """Keep the rows of the steps before `start`; the table is made where there is none."""
    rows = _whole_rows(path) if path.exists() else []
    with atomic_path(path) as temporary, open(temporary, "x", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_HEADER)
        writer.writerows(row for row in rows if int(row[0]) < start)


def _whole_rows(path: Path) -> list[list[str]]:
    text = read_bytes(path).decode("utf-8", "replace")
    rows = csv.reader(text[: text.rfind("\n") + 1].splitlines())
    return [row for row in rows if len(row) == len(_HEADER) and row[0].isdigit()]
