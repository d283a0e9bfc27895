"""Expression features of a folder of photos, and the most similar expression of each.

Usage: python examples/04_features.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from smirk3d import Reconstructor


def main(folder: str) -> None:
    """Print for each photo the one whose 52 weights are nearest."""
    reconstructor = Reconstructor()
    names, rows = [], []
    for path in sorted(Path(folder).iterdir()):
        for face in reconstructor(path)[:1]:  # the largest face
            names.append(path.name)
            rows.append(list(face.arkit.values()))
    weights = np.array(rows)  # (N, 52) in Apple's order
    distance = np.linalg.norm(weights[:, None] - weights[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    for name, row in zip(names, distance):
        print(f"{name}: nearest expression in {names[int(row.argmin())]}, distance {row.min():.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
