"""The morph targets of all meshes of a glTF document: one list of names, and its rows for each mesh."""

from __future__ import annotations

import numpy as np

from smirk3d.export.gltf.reader import Json
from smirk3d.export.gltf.resources import MAX_NAME_LETTERS, checked_target_count

_MAX_WEIGHT = 1e6


class TargetIndex:
    """The targets of all meshes by name; targets of the same name are one.

    Args:
        document: JSON of the file.

    Attributes:
        names: The T unique names, in the order of the meshes; targets without
            a name, or with one that is too long, are numbered.
        rows: For each mesh, the row in `names` of each of its targets.

    Raises:
        RefusedFile: There are too many targets.
    """

    def __init__(self, document: Json):
        names, total = [], 0
        for mesh in document.get("meshes", []):
            total = checked_target_count(total + _count(mesh))
            names.append(_names_of(mesh))
        row = {name: k for k, name in enumerate(dict.fromkeys(name for each in names for name in each))}
        self.names = tuple(row)
        self.rows = [[row[name] for name in each] for each in names]

    def rest_weights(self, document: Json) -> np.ndarray:
        """Return the default weights (T,) float32 of the document.

        Raises:
            ValueError: One is not finite or far beyond any expression.
        """
        weights = np.zeros(len(self.names))
        for rows, mesh in zip(self.rows, document.get("meshes", []), strict=True):
            for row, weight in zip(rows, mesh.get("weights") or []):
                weights[row] = weight
        return checked_weights(weights).astype(np.float32)


def checked_weights(weights: np.ndarray) -> np.ndarray:
    """Return weights.

    Raises:
        ValueError: One is not finite or far beyond any expression.
    """
    if not np.abs(weights).max(initial=0) < _MAX_WEIGHT:
        raise ValueError("the weights of its targets are no numbers that can be shown")
    return weights


def _count(mesh: Json) -> int:
    return max((len(primitive.get("targets") or []) for primitive in mesh["primitives"]), default=0)


def _names_of(mesh: Json) -> list[str]:
    given = (mesh.get("extras") or {}).get("targetNames") or ()
    is_complete = len(given) == _count(mesh) and all(isinstance(name, str) for name in given)
    if not is_complete:
        return [f"target {k}" for k in range(_count(mesh))]
    return [name if len(name) <= MAX_NAME_LETTERS else f"target {k}" for k, name in enumerate(given)]
