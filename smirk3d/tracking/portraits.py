"""A few reduced pictures of each person in a video, from which the appearance is fitted when the tracks are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from smirk3d.detection.detector import Detection
from smirk3d.estimation.appearance_fit import fit_appearance, median_appearance
from smirk3d.estimation.appearance_points import PhotoPatch
from smirk3d.estimation.sex_typical_look import female_look
from smirk3d.render.appearance.appearance_model import supports
from smirk3d.render.appearance.face_appearance import FaceAppearance
from smirk3d.track import Track

MAX_PORTRAITS = 4
"""Pictures that are kept of a person."""
MIN_GAP = 8
"""Frames between two pictures of a person, so that they differ."""
_BETTER = 1.25
"""Factor on the quality by which a picture replaces the worst one."""
_FULL_SIZE_PX = 160
"""Faces of this height and more are equally good."""


@dataclass(frozen=True, eq=False)
class Portrait:
    """A picture of a person.

    Attributes:
        frame: Index of the frame.
        patch: The part of the frame around the face.
        landmarks_px: (478, 2) landmarks in the frame.
        box_px: (4,) box of the landmarks in the frame.
        quality: Larger for large, frontal faces.
    """

    frame: int
    patch: PhotoPatch
    landmarks_px: np.ndarray
    box_px: np.ndarray
    quality: float


class PortraitAlbum:
    """The pictures of all persons; it grows while a video is read."""

    def __init__(self) -> None:
        self._of_person: dict[int, list[Portrait]] = {}

    def offer(self, frame: int, pixels: np.ndarray, person: int, detection: Detection) -> None:
        """Keep a picture if it is among the best of its person.

        Args:
            frame: Index of the frame.
            pixels: (H, W, 3) uint8 sRGB.
            person: Number of the person.
            detection: The face.
        """
        kept = self._of_person.setdefault(person, [])
        quality = _quality(detection)
        if kept and frame - max(each.frame for each in kept) < MIN_GAP:
            return
        if len(kept) >= MAX_PORTRAITS:
            worst = min(kept, key=lambda each: each.quality)
            if quality < _BETTER * worst.quality:
                return
            kept.remove(worst)
        kept.append(_portrait(frame, pixels, detection, quality))

    def appearance(self, track: Track) -> FaceAppearance | None:
        """Return the appearance of a track's person; None without pictures, or where the head has no such model.

        Args:
            track: One of the tracks of the video.
        """
        if not supports(track.head):
            return None
        found = [(each, row) for each in self._all() if (row := _row(track, each)) is not None]
        if not found:
            return None
        faces = [track.face(row) for _, row in found]
        fitted = [
            fit_appearance(face, each.patch, each.landmarks_px, female_look(each.patch, each.landmarks_px))
            for face, (each, _) in zip(faces, found, strict=True)
        ]
        return median_appearance(fitted, [each.quality for each, _ in found])

    def _all(self) -> list[Portrait]:
        return [each for kept in self._of_person.values() for each in kept]


def with_appearances(tracks: Sequence[Track], album: PortraitAlbum) -> tuple[Track, ...]:
    """Return tracks with the appearances of their persons."""
    return tuple(replace(track, appearance=album.appearance(track)) for track in tracks)


def _quality(detection: Detection) -> float:
    points = detection.landmarks_px
    height = float(detection.box_px[3] - detection.box_px[1])
    # The tip of the nose is half way between the ears in a frontal view.
    left, nose, right = points[454, 0], points[1, 0], points[234, 0]
    turned = abs((nose - right) / max(abs(left - right), 1e-3) - 0.5)
    return min(height / _FULL_SIZE_PX, 1.0) * float(np.exp(-((turned / 0.25) ** 2)))


def _portrait(frame: int, pixels: np.ndarray, detection: Detection, quality: float) -> Portrait:
    patch = PhotoPatch.of_face(pixels, detection.landmarks_px)
    return Portrait(frame, patch, detection.landmarks_px.copy(), detection.box_px.copy(), quality)


def _row(track: Track, portrait: Portrait) -> int | None:
    """Return the row of a track with the face of a picture; None where it shows someone else."""
    row = portrait.frame - int(track.frame[0])
    if not 0 <= row < len(track) or not track.known[row]:
        return None
    size = float(portrait.box_px[3] - portrait.box_px[1])
    return row if np.abs(track.box_px[row] - portrait.box_px).max() < 0.1 * size else None
