"""How much of a data set is left where shards are damaged: too little is an error, not a run on a handful of faces."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from smirk3d.assets import printable
from smirk3d.datasets.prepare_report import KEPT, read_report
from smirk3d.datasets.shards import DataError
from smirk3d.errors import Smirk3dError

MIN_USABLE_SHARE = 0.75
"""Smallest share of usable faces in a split with which training starts."""


def check_usable_share(
    folder: Path, split: str, keys: Collection[str], faults: Sequence[DataError], report: Path | None = None
) -> None:
    """Raise where the damage of shards leaves too few faces.

    Args:
        folder: Folder that the user named, for the message.
        split: "train" or "val".
        keys: Names of the usable faces.
        faults: What could not be read.
        report: Table of the preparation, which names the faces that the shards had; used where it exists.

    Raises:
        Smirk3dError: The share of usable faces is below `MIN_USABLE_SHARE`.
    """
    if not faults:
        return
    lost = max(sum(fault.lost for fault in faults), _missing(report, split, keys) if report is not None else 0)
    share = len(keys) / (len(keys) + lost)
    if share < MIN_USABLE_SHARE:
        raise Smirk3dError(
            f"{printable(folder)}: about {lost} of {len(keys) + lost} faces of its split {split} are damaged, first "
            f"{faults[0]}; training starts with {MIN_USABLE_SHARE:.0%} or more, so replace or remove damaged shards"
        )


def _missing(report: Path, split: str, keys: Collection[str]) -> int:
    """Return how many faces of existing shards are in the report, but not among the keys."""
    try:
        rows = read_report(report)
    except Smirk3dError:  # not needed for training
        return 0
    exists = {path.name for path in report.parent.glob(f"{split}-*.tar")}
    return len({row.key for row in rows if row.status == KEPT and row.shard in exists} - set(keys))
