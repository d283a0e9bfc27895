"""How often expression vectors name the same odd face of a triplet as raters do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.fer.dataset_readers.fec_triplets import TYPES, Triplet, TripletFace, read_fec_triplets
from smirk3d.fer.face_windows import box_window
from smirk3d.fer.vectors import expressions_of
from smirk3d.media.images import read_image


@dataclass(frozen=True)
class TripletFigures:
    """Result of the comparison.

    Attributes:
        right: Triplets whose odd face was named, by type.
        total: Triplets, by type.
        left_out: Triplets of the table that were not measured: a picture is missing or unreadable, or raters differ.
    """

    right: dict[str, int]
    total: dict[str, int]
    left_out: int

    def lines(self) -> list[str]:
        """Return the figures as lines of text."""
        right, total = sum(self.right.values()), sum(self.total.values())
        by_type = ", ".join(
            f"{kind} {self.right[kind] / count:.3f} ({count})" for kind, count in self.total.items() if count
        )
        return [f"{total} triplets, {self.left_out} left out: the raters' odd face {right / total:.3f}; {by_type}"]


def triplet_figures(
    weights: Path | None, table: Path, pictures: Path, advance: Callable[[], None] = lambda: None
) -> TripletFigures:
    """Compare the vectors of the faces of each triplet.

    The two faces whose vectors, at unit length, are nearest are alike; the third one is odd. Chance is a third.

    Args:
        weights: File of `smirk3d fer train`; None: the packaged network.
        table: See `read_fec_triplets`.
        pictures: Likewise.
        advance: Called after each face.

    Raises:
        Smirk3dError: A table or the network cannot be read, or no triplet is left.
    """
    found = read_fec_triplets(table, pictures)
    windows: dict[TripletFace, np.ndarray] = {}
    for face in dict.fromkeys(face for triplet in found.triplets for face in triplet.faces):
        window = _window(face)
        if window is not None:
            windows[face] = window
        advance()
    triplets = [each for each in found.triplets if all(face in windows for face in each.faces)]
    if not triplets:
        raise Smirk3dError(f"{printable(table)}: no triplet has three pictures in {printable(pictures)}; check both")
    vectors = expressions_of(np.stack(list(windows.values())), weights).vectors
    unit = dict(zip(windows, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)))
    odd = odd_faces(np.stack([[unit[face] for face in each.faces] for each in triplets]))
    return _figures(triplets, odd, found.n_rows - len(triplets))


def odd_faces(vectors: np.ndarray) -> np.ndarray:
    """Return the index (N,) of the odd face of each triplet.

    Args:
        vectors: (N, 3, D).
    """
    apart = np.stack([np.linalg.norm(vectors[:, (k + 1) % 3] - vectors[:, (k + 2) % 3], axis=1) for k in range(3)])
    return apart.argmin(axis=0)


def _window(face: TripletFace) -> np.ndarray | None:
    """Return the window of a face; None where its picture cannot be read."""
    try:
        pixels = read_image(face.picture).pixels
    except Smirk3dError:
        return None
    height, width = pixels.shape[:2]
    left, top, right, bottom = face.box
    return box_window(pixels, (left * width, top * height, right * width, bottom * height))


def _figures(triplets: Sequence[Triplet], odd: np.ndarray, left_out: int) -> TripletFigures:
    kinds = np.array([each.kind for each in triplets])
    is_right = odd == np.array([each.odd for each in triplets])
    return TripletFigures(
        {kind: int(is_right[kinds == kind].sum()) for kind in TYPES},
        {kind: int((kinds == kind).sum()) for kind in TYPES},
        left_out,
    )
