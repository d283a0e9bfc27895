"""Data association: which detection of a frame belongs to which person of the frames before.

Greedy nearest-neighbour assignment with a gate, as in multi-object tracking by detection. Faces are few, large and
apart from each other, so positions and sizes suffice; there is no appearance model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smirk3d.detection.detector import Detection

GATE = 0.8
"""Largest distance between the centres of one face in two successive frames, in sizes of the face."""
GATE_GROWTH_PER_S = 2.0
"""Growth of the gate for each second without a detection, in sizes of the face."""
GATE_GROWTH_DELAY_S = 0.1
"""Time without a detection after which the gate grows; about the interval of a slow camera."""
MAX_GATE = 2.5
"""Limit of the growth, in sizes of the face."""
MAX_SIZE_RATIO = 1.7
"""Largest ratio of the sizes of one face in two successive detections."""


@dataclass
class _LastObservation:
    """Where and when a person was last detected."""

    person: int
    center_px: np.ndarray
    size_px: float
    time_s: float


class FaceAssociator:
    """Assigns person numbers to the faces of successive frames; after a cut every face gets a new number."""

    def __init__(self) -> None:
        self._last: list[_LastObservation] = []
        self._n_persons = 0

    def __call__(self, time_s: float, detections: Sequence[Detection], is_cut: bool = False) -> list[int]:
        """Return the person number of each face of a frame; an unmatched face gets a new number.

        The nearest pairs of a person and a face are matched first. The gate of a person grows while the person is not
        detected, and no person is matched across a cut.

        Args:
            time_s: When the frame is shown, in seconds.
            detections: Faces of the frame.
            is_cut: Whether a new shot begins with this frame.
        """
        if is_cut:
            self._last.clear()
        measured = [_center_and_size(face) for face in detections]
        person_of: dict[int, int] = {}
        for k, index in self._matches(time_s, measured).items():
            person_of[k] = self._last[index].person
            self._last[index] = _LastObservation(person_of[k], *measured[k], time_s)
        for k, center_and_size in enumerate(measured):
            if k not in person_of:
                person_of[k] = self._n_persons
                self._last.append(_LastObservation(self._n_persons, *center_and_size, time_s))
                self._n_persons += 1
        return [person_of[k] for k in range(len(detections))]

    def _matches(self, time_s: float, measured: Sequence[tuple[np.ndarray, float]]) -> dict[int, int]:
        """Return face -> index of the person, matched greedily by distance."""
        pairs = sorted(
            (distance, index, k)
            for index, last in enumerate(self._last)
            for k, center_and_size in enumerate(measured)
            if (distance := _gated_distance(last, *center_and_size, time_s)) is not None
        )
        matches: dict[int, int] = {}
        matched: set[int] = set()
        # Greedy rather than Hungarian: gates of different faces rarely overlap, and a near pair that is certainly
        # right is never given up to shorten a sum of distances.
        for _, index, k in pairs:
            if index not in matched and k not in matches:
                matched.add(index)
                matches[k] = index
        return matches


def _center_and_size(face: Detection) -> tuple[np.ndarray, float]:
    """Return the centre (2,) of a face's box and the mean of its sides, in pixels."""
    low, high = face.box_px[:2], face.box_px[2:]
    return (low + high) / 2, float(np.mean(high - low))


def _gated_distance(last: _LastObservation, center_px: np.ndarray, size_px: float, time_s: float) -> float | None:
    """Return the distance to a person's last position in sizes of the face; None outside the gate."""
    ratio = size_px / max(last.size_px, 1e-6)
    # A face twice as large at the same place is another person nearer to the camera, or a false detection.
    if not 1 / MAX_SIZE_RATIO < ratio < MAX_SIZE_RATIO:
        return None
    # Relative to the size, because the same step in space is more pixels on a nearer face.
    distance = float(np.linalg.norm(center_px - last.center_px)) / max(size_px, last.size_px)
    undetected_s = max(time_s - last.time_s - GATE_GROWTH_DELAY_S, 0.0)
    gate = min(GATE + GATE_GROWTH_PER_S * undetected_s, MAX_GATE)
    return distance if distance < gate else None
