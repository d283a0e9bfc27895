"""Landmarks and scores of the faces of a folder of shards, in one file beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from smirk3d.assets import printable
from smirk3d.bounded_io import one_line, read_npz
from smirk3d.errors import Smirk3dError
from smirk3d.head.arkit import ARKIT_NAMES

LANDMARKS_NAME = "landmarks.npz"


class LandmarkTable:
    """Landmarks and scores of all faces of a folder, by key.

    Args:
        path: The file; `keys` (N,), `lm` (N, 478, 2 or 3) pixels of the images, `blendshapes` (N, K) and
            `blendshape_names` (K,).

    Raises:
        Smirk3dError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        try:
            arrays = read_npz(path, ("keys", "lm", "blendshapes", "blendshape_names"))
            keys, self.landmarks_px, scores = arrays["keys"], arrays["lm"], arrays["blendshapes"]
            column = {str(name): k for k, name in enumerate(arrays["blendshape_names"].ravel())}
            if keys.ndim != 1 or len(self.landmarks_px) != len(keys) or scores.shape != (len(keys), len(column)):
                raise ValueError(f"{keys.shape} keys, {self.landmarks_px.shape} landmarks and {scores.shape} scores")
            self._row = {str(key): row for row, key in enumerate(keys)}
            self.scores = np.zeros((len(keys), len(ARKIT_NAMES)), dtype=np.float32)
            for k, name in enumerate(ARKIT_NAMES):
                if name in column:  # MediaPipe has no tongueOut
                    self.scores[:, k] = scores[:, column[name]]
        except Exception as error:  # contents of others: the readers raise exceptions of nearly any class
            reason = printable(one_line(error))
            raise Smirk3dError(
                f"{printable(path)}: unreadable ({reason}); replace it, or remove it where the shards hold "
                "landmarks themselves"
            ) from error

    def of(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the landmarks (478, 2 or 3) and the scores (52,) of a face.

        Raises:
            ValueError: The table has no such face.
        """
        if key not in self._row:
            raise ValueError(f"no landmarks in {LANDMARKS_NAME}")
        row = self._row[key]
        return self.landmarks_px[row], self.scores[row]
