"""ARKit weights from columns with names of their own, as tables, archives and other files have them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smirk3d.assets import printable
from smirk3d.export.blendshape_names import match_names
from smirk3d.export.naming_schemes import FAITHFUL, gaze_matrix, preset_matrix
from smirk3d.head.arkit import ARKIT_NAMES

_ACCEPTED_RANGE = (-1.0, 2.0)
"""Calibrated recordings exceed [0, 1] a little; values outside this range are percentages, or no weights."""


def match_columns(names: Sequence[str]) -> dict[str, list[int]]:
    """Return for each ARKit blendshape that columns stand for their numbers; of equal names the first counts.

    Names are recognised as on characters: ARKit's in any spelling, gaze by direction, MetaHuman and Character Creator.
    """
    first = {name: column for column, name in reversed(list(enumerate(names)))}
    unique = list(first)
    found = match_names(unique)
    for other in (gaze_matrix(unique), preset_matrix(unique, FAITHFUL)[0]):
        rows = ~found.any(axis=1)
        found[rows] = other[rows]
    return {
        ARKIT_NAMES[row]: [first[unique[column]] for column in np.flatnonzero(found[row])]
        for row in np.flatnonzero(found.any(axis=1)).tolist()
    }


def arkit_weights(values: np.ndarray, columns: dict[str, list[int]]) -> np.ndarray:
    """Return the ARKit weights (N, 52) in [0, 1] in Apple's order; those without a column are 0.

    Args:
        values: (N, K) values of all columns.
        columns: Columns of each blendshape, see `match_columns`; their mean counts.

    Raises:
        ValueError: No column is a weight, or the values are no weights.
    """
    if not columns:
        raise ValueError(f"none of its columns is named as one of the {len(ARKIT_NAMES)} ARKit weights")
    weights = np.zeros((len(values), len(ARKIT_NAMES)), dtype=np.float32)
    for row, name in enumerate(ARKIT_NAMES):
        chosen = columns.get(name, [])
        if len(chosen) == 1:
            weights[:, row] = values[:, chosen[0]]
        elif chosen:
            weights[:, row] = values[:, chosen].mean(axis=1)
    given = weights[:, [row for row, name in enumerate(ARKIT_NAMES) if name in columns]]
    low, high = (given.min(), given.max()) if given.size else (0.0, 0.0)
    if not (_ACCEPTED_RANGE[0] <= low and high <= _ACCEPTED_RANGE[1]):  # false for NaN as well
        raise ValueError(f"the ARKit weights go from {low:g} to {high:g}, expected 0 to 1")
    return weights.clip(0, 1)


def missing_note(columns: dict[str, list[int]]) -> tuple[str, ...]:
    """Return a note about ARKit weights without a column; none if only the tongue is missing, as of some detectors."""
    missing = [name for name in ARKIT_NAMES if name not in columns and name != "tongueOut"]
    if not missing:
        return ()
    names = ", ".join(missing[:4]) + (", …" if len(missing) > 4 else "")
    return (f"it has {len(columns)} of the {len(ARKIT_NAMES)} ARKit weights; the others are 0 ({names})",)


def unused_note(names: Sequence[str]) -> tuple[str, ...]:
    """Return a note that names what is in a file and not used; none if that is nothing."""
    if not names:
        return ()
    shown = ", ".join(printable(name) for name in names[:12]) + (f" and {len(names) - 12} more" if names[12:] else "")
    return (f"not used: {shown}",)
