"""The tables that runs over many photos write, each with the source of its rows; they hold settings alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from smirk3d.batch.photo_rows import ReconstructionRows, RowSource
from smirk3d.estimation.reconstructor import Reconstructor
from smirk3d.export.tables.expressions_csv import TABLE_COLUMNS, face_row
from smirk3d.export.tables.features import feature_row
from smirk3d.fer.emotion_rows import EmotionRows
from smirk3d.fer.emotions_csv import EMOTION_COLUMNS
from smirk3d.scale.table_task import CellFormat, FeatureFormat, TableTask

MakeReconstructor = Callable[[], Reconstructor]


@dataclass(frozen=True)
class _OpenFeatures:
    make: MakeReconstructor

    def __call__(self) -> RowSource:
        return ReconstructionRows(self.make(), feature_row)


@dataclass(frozen=True)
class _OpenExpressions:
    make: MakeReconstructor

    def __call__(self) -> RowSource:
        return ReconstructionRows(self.make(), face_row)


@dataclass(frozen=True)
class _OpenEmotions:
    make: MakeReconstructor
    weights: str | None

    def __call__(self) -> RowSource:
        return EmotionRows(self.make(), self.weights)


def features_task(make: MakeReconstructor, settings: dict[str, object]) -> TableTask:
    """Return the task of `smirk3d features`.

    Args:
        make: Loads the models; it is sent to other processes, and called once in each.
        settings: What the rows depend on besides the photos, as JSON.
    """
    return TableTask(_OpenFeatures(make), FeatureFormat(), settings)


def expressions_task(make: MakeReconstructor, settings: dict[str, object]) -> TableTask:
    """Return the task of the table of `smirk3d reconstruct`; arguments as for `features_task`."""
    return TableTask(_OpenExpressions(make), CellFormat(TABLE_COLUMNS), settings)


def emotions_task(make: MakeReconstructor, weights: str | None, settings: dict[str, object]) -> TableTask:
    """Return the task of `smirk3d fer predict`.

    Args:
        make: As for `features_task`.
        weights: File of `smirk3d fer train`; None: the packaged network.
        settings: As for `features_task`.
    """
    return TableTask(_OpenEmotions(make, weights), CellFormat(EMOTION_COLUMNS), settings)
