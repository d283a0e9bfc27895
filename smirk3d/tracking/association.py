"""Which face is whose, from frame to frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smirk3d.detection.detector import Detection

GATE = 0.8
"""How far the centre of a face moves between two frames at most, in sizes of the face."""
GATE_GROWTH_PER_S = 2.0
"""How much farther for each second in which it was not found."""
MAX_GATE = 2.5
MAX_SIZE_RATIO = 1.7
"""Largest ratio of the sizes of one face in two observations."""


@dataclass
class _LastObservation:
    """Where a person was seen last."""

    number: int
    center_px: np.ndarray
    size_px: float
    time_s: float


class FaceAssociator:
    """Gives the faces of successive frames the numbers of persons; a cut begins new ones."""

    def __init__(self) -> None:
        self._paths: list[_LastObservation] = []
        self._count = 0

    def __call__(self, time_s: float, found: Sequence[Detection], is_cut: bool = False) -> list[int]:
        """Return the person's number for each face of a frame; those not seen before get new ones.

        Pairs of a person and a face are taken nearest first. A person who was out of sight is looked for in a
        wider circle, and only in the same scene.

        Args:
            time_s: When the frame is shown. found: Its faces. is_cut: Whether a new scene begins with it.
        """
        if is_cut:
            self._paths.clear()
        places = [_center_and_size(face) for face in found]
        pairs = sorted(
            (distance, p, k)
            for p, path in enumerate(self._paths)
            for k, place in enumerate(places)
            if (distance := _gated_distance(path, *place, time_s)) is not None
        )
        numbers: dict[int, int] = {}
        taken: set[int] = set()
        for _, p, k in pairs:
            if p not in taken and k not in numbers:
                taken.add(p)
                numbers[k] = self._paths[p].number
                self._paths[p] = _LastObservation(numbers[k], *places[k], time_s)
        for k, place in enumerate(places):
            if k not in numbers:
                numbers[k] = self._count
                self._paths.append(_LastObservation(self._count, *place, time_s))
                self._count += 1
        return [numbers[k] for k in range(len(found))]


def _center_and_size(face: Detection) -> tuple[np.ndarray, float]:
    low, high = face.box_px[:2], face.box_px[2:]
    return (low + high) / 2, float(np.mean(high - low))


def _gated_distance(path: _LastObservation, center_px: np.ndarray, size_px: float, time_s: float) -> float | None:
    """Return how far a face is from where a person was, in sizes of the face; None where it cannot be the same."""
    ratio = size_px / max(path.size_px, 1e-6)
    if not 1 / MAX_SIZE_RATIO < ratio < MAX_SIZE_RATIO:
        return None
    distance = float(np.linalg.norm(center_px - path.center_px)) / max(size_px, path.size_px)
    reach = min(GATE + GATE_GROWTH_PER_S * max(time_s - path.time_s - 0.1, 0.0), MAX_GATE)
    return distance if distance < reach else None
