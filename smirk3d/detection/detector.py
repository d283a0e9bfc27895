"""Face detection: MediaPipe's 478 landmarks and 52 blendshape scores, with further search where a face is hard to find.

Landmarks are pixels with the origin at the top-left corner of the top-left pixel, x right, y down. Left and
right in names of blendshapes are the subject's.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from smirk3d.detection.boxes import box_area, iou
from smirk3d.detection.landmarker import Landmarker, LandmarkerOptions
from smirk3d.detection.landmarker_file import find_landmarker
from smirk3d.detection.orientation import QUARTER_TURNS, OrientationCheck
from smirk3d.detection.retries import (
    SearchView,
    face_crop_view,
    identity_view,
    reframed,
    rotated,
    tile_levels,
    within_limits,
)
from smirk3d.detection.upright_landmarks import angle_deg, are_not_upright, are_upright
from smirk3d.errors import Smirk3dError
from smirk3d.head.arkit import ARKIT_NAMES

N_LANDMARKS = 478
DUPLICATE_IOU = 0.5
"""Overlap above which two detections are the same face."""
_RIGHT_EYE, _LEFT_EYE = 33, 263  # outer corners in MediaPipe's mesh
_MIN_CONSECUTIVE_IOU = 0.2  # overlap of one face in consecutive frames
_MAX_ROLL_DEG = 20.0  # faces that are tilted more are detected again upright
_MAX_UPRIGHT_CROPS = 4
_UPRIGHT_TOLERANCE_DEG = 2.0
_MIN_PLACED_IOU = 0.7  # of a face in a coarse view with itself in a crop
_TURNED_SCORE = 0.6
_MIN_CANDIDATES = 4  # the landmarker keeps as many at least, so that the largest face is found among several


@dataclass(frozen=True, eq=False)
class Detection:
    """One face.

    Attributes:
        landmarks_px: (478, 2) float32, pixels of the photo; points may lie outside of it.
        depth: (478,) float32, MediaPipe's z in pixels on the scale of x; smaller is nearer, 0 in mid-head.
        blendshape_scores: (52,) float32 in [0, 1] in Apple's order of names; `tongueOut` is always 0, because
            the model does not know it.
        box_px: (4,) float32, x0, y0, x1, y1 of the landmarks.
        score: In [0, 1]. The landmarker reports no score of its own; this one says how easily the face was
            found: 1.0 in the photo as it is or in the region of the previous detection, less after a border (0.9),
            an enlargement or a tile (0.8), or a rotation by a multiple of 90° (0.6).
        transform: (4, 4) float32, MediaPipe's canonical face (centimetres) to its camera, for which it assumes a
            vertical field of view of 63°; None unless the face was found in the photo as it is.
    """

    landmarks_px: np.ndarray
    depth: np.ndarray
    blendshape_scores: np.ndarray
    box_px: np.ndarray
    score: float
    transform: np.ndarray | None = None


class Detector:
    """MediaPipe's face landmarker for single photos; a context manager.

    Args:
        model_path: The landmarker bundle; None finds it (see `smirk3d.detection.landmarker_file.find_landmarker`).
        max_faces: At most this many faces are returned, the largest.
        min_confidence: Threshold of MediaPipe's face detection and presence test, in [0, 1]; 0.3 to 0.7 is sensible.
        search_tiles: Search large photos in tiles until `max_faces` are found; otherwise only where the photo as it
            is shows no face.

    Raises:
        Smirk3dError: MediaPipe or its bundle is missing or does not work.
        ValueError: A number is out of its range.
    """

    def __init__(
        self,
        model_path: str | os.PathLike[str] | None = None,
        max_faces: int = 1,
        min_confidence: float = 0.5,
        search_tiles: bool = True,
    ):
        if max_faces < 1 or not 0.0 <= min_confidence <= 1.0:
            raise ValueError(f"max_faces {max_faces} must be ≥ 1, min_confidence {min_confidence} in [0, 1]")
        self._max_faces = max_faces
        self._min_found = max_faces if search_tiles else 1
        self._options = LandmarkerOptions(find_landmarker(model_path), max(max_faces, _MIN_CANDIDATES), min_confidence)
        self._landmarker = Landmarker(self._options)
        self._orientation: OrientationCheck | None = None  # not needed for videos

    def __enter__(self) -> "Detector":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Free MediaPipe's graphs; closing twice is fine."""
        self._landmarker.close()
        if self._orientation is not None:
            self._orientation.close()
            self._orientation = None

    def detect(self, pixels: np.ndarray) -> list[Detection]:
        """Find faces; search further only where the photo as it is shows too few.

        A photo in which no face is found is searched again with a grey border (faces that fill the frame) and
        enlarged (small photos). Then, until `max_faces` (or one) are found, photos are searched in ever finer tiles
        (small faces), which takes one or two seconds on large ones; faces in tiles are confirmed in a crop. Finally,
        only where nothing was found at all, or nothing with landmarks like those of a face, the photo is searched
        rotated by 180°, 90° and 270°.

        Faces that are tilted by more than 20°, or upside down, are detected again in an upright crop, and left out
        where they are not found in it.

        Args:
            pixels: (H, W, 3) uint8 RGB in [0, 255].

        Returns:
            Up to `max_faces` faces, largest box first; empty where none is found.

        Raises:
            ValueError: The array is not an RGB image, or the detector is closed.
        """
        return self.detect_and_count(pixels)[0]

    def detect_and_count(self, pixels: np.ndarray) -> tuple[list[Detection], int]:
        """Do as `detect`, and return also how many further faces were seen that are beyond `max_faces`."""
        _check_pixels(pixels)
        found = self._search(identity_view(pixels))
        if (turns := {_turns_to_upright(face) for face in found}) and len(turns) == 1 and turns != {0}:
            found = self._search(rotated(pixels, turns.pop())) or found
        found = self._upright(pixels, found) or self._first(pixels, reframed(pixels))
        for tiles in tile_levels(pixels):
            if len(found) >= self._min_found:
                break
            found = [self._in_place(pixels, face) or face for face in found]
            candidates = self._upright(pixels, [face for tile in tiles for face in self._search(tile)])
            confirmed = [face for face in candidates if self._orientation_check.is_face(pixels, *_placement(face))]
            placed = [face for each in confirmed if (face := self._in_place(pixels, each)) is not None]
            found = non_max_suppression(found + placed)
        if all(map(_is_doubtful, found)):
            turned = self._first(pixels, (rotated(pixels, quarter_turns) for quarter_turns in (2, 1, 3)))
            found = turned if not found or not all(map(_is_doubtful, turned)) else found
        found = sorted(non_max_suppression(found), key=lambda face: -box_area(face.box_px))
        n_seen = len(found)
        if self._max_faces <= n_seen >= _MIN_CANDIDATES:  # the landmarker returns no more
            n_seen = max(n_seen, self._orientation_check.count_faces(within_limits(identity_view(pixels)).pixels))
        return found[: self._max_faces], max(0, n_seen - self._max_faces)

    def detect_fast(self, pixels: np.ndarray) -> list[Detection]:
        """Find faces in the photo as it is, in about the same time for every frame of a video.

        Args:
            pixels: (H, W, 3) uint8 RGB in [0, 255].

        Returns:
            Up to `max_faces` faces, largest box first.

        Raises:
            ValueError: The array is not an RGB image, or the detector is closed.
        """
        _check_pixels(pixels)
        found = non_max_suppression(self._search(identity_view(pixels)))
        return sorted(found, key=lambda face: -box_area(face.box_px))[: self._max_faces]

    def detect_in_roi(self, pixels: np.ndarray, face: Detection) -> Detection | None:
        """Find a face again in an upright crop about its previous detection.

        MediaPipe places the region from which it regresses landmarks by a coarse detection in the whole image. In a
        crop with the face upright in its middle that region is more accurate and hardly jitters between frames.

        Args:
            pixels: (H, W, 3) uint8 RGB in [0, 255].
            face: A detection in the same photo or in the frame before.

        Returns:
            The face, or None where it is no longer there.

        Raises:
            ValueError: The array is not an RGB image, or the detector is closed.
        """
        _check_pixels(pixels)
        return self._detect_in_crop(pixels, face, _across(face))

    def for_video(self) -> "VideoDetector":
        """Return a detector of the same kind for the frames of a video.

        Raises:
            Smirk3dError: As for `Detector`.
        """
        return VideoDetector(replace(self._options, num_faces=1))

    def _first(self, pixels: np.ndarray, views: Iterable[SearchView]) -> list[Detection]:
        """Return the faces of the first view of a photo that shows any, rather of one that shows some without doubt."""
        doubtful: list[Detection] = []
        for view in views:
            found = self._upright(pixels, self._search(view))
            if not all(map(_is_doubtful, found)):
                return found
            doubtful = doubtful or found
        return doubtful

    def _upright(self, pixels: np.ndarray, faces: Iterable[Detection]) -> list[Detection]:
        """Return the faces, tilted ones detected again upright; without those that are not found upright."""
        return [upright for face in faces if (upright := self._detect_upright(pixels, face)) is not None]

    def _detect_upright(self, pixels: np.ndarray, face: Detection) -> Detection | None:
        """Return a face as it is where it is upright, else detected in an upright crop, None where it is not found."""
        is_level = abs(_roll_deg(_across(face))) <= _MAX_ROLL_DEG
        if is_level and are_upright(face.landmarks_px, face.depth):
            return face
        turns = self._orientation_check.quarter_turns(pixels, *_placement(face))
        found = face if turns == 0 and is_level else self._detect_turned(pixels, face, turns)
        if found is None or not _is_doubtful(found):
            return found
        # The network of the check is also mistaken at times.
        others = (self._detect_turned(pixels, face, other) for other in range(4) if other != turns)
        return next((each for each in others if each and are_upright(each.landmarks_px, each.depth)), found)

    def _detect_turned(self, pixels: np.ndarray, face: Detection, turns: int) -> Detection | None:
        """Return a face in an upright crop, its landmarks so many quarter turns off; None where it is not found."""
        best = face
        for _ in range(_MAX_UPRIGHT_CROPS):
            direction = QUARTER_TURNS[turns] @ _across(best)
            again = self._detect_in_crop(pixels, best, direction)
            if again is None:
                return None
            best = replace(again, score=min(face.score, 1.0 if abs(_roll_deg(_across(again))) < 45 else _TURNED_SCORE))
            turns = self._orientation_check.quarter_turns(pixels, *_placement(best))
            if turns == 0 and abs(angle_deg(direction, _across(best))) <= _UPRIGHT_TOLERANCE_DEG:
                return best
        return best if turns == 0 else None

    @property
    def _orientation_check(self) -> OrientationCheck:
        if self._orientation is None:
            self._orientation = OrientationCheck(self._options.model)
        return self._orientation

    def _in_place(self, pixels: np.ndarray, face: Detection) -> Detection | None:
        """Return a face as it is where a crop about it shows it in the same place, else as in the crop, if at all."""
        again = self._detect_in_crop(pixels, face, _across(face))
        if again is None or iou(again.box_px, face.box_px) > _MIN_PLACED_IOU:
            return face if again is not None else None
        return replace(again, score=face.score)

    def _detect_in_crop(self, pixels: np.ndarray, face: Detection, across_px: np.ndarray) -> Detection | None:
        """Return a face in a crop with a given horizontal direction, None where it is not found there."""
        found = self._search(face_crop_view(pixels, face.landmarks_px, across_px))
        nearest = max(found, key=lambda other: iou(other.box_px, face.box_px), default=None)
        return nearest if nearest is not None and iou(nearest.box_px, face.box_px) > _MIN_CONSECUTIVE_IOU else None

    def _search(self, view: SearchView) -> list[Detection]:
        """Run the landmarker on one view and map its result back to the photo."""
        view = within_limits(view)
        return _detections(self._landmarker(view.pixels), view)


class VideoDetector:
    """MediaPipe's face landmarker for the frames of one video in their order; a context manager.

    It tracks one face from frame to frame and smooths its landmarks over time. With more faces MediaPipe does neither
    and processes every frame like a photo.

    Args:
        options: Settings of the landmarker, for one face.

    Raises:
        Smirk3dError: MediaPipe or its bundle is missing or does not work.
    """

    def __init__(self, options: LandmarkerOptions) -> None:
        self._landmarker = Landmarker(options, "video")
        self._last_ms = 0

    def __enter__(self) -> "VideoDetector":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Free MediaPipe's graph; closing twice is fine."""
        self._landmarker.close()

    def restart(self) -> None:
        """Forget the frames so far, as needed at a shot boundary: another face may follow in the same place."""
        if self._last_ms > 0:
            self._landmarker.recreate()
            self._last_ms = 0

    def detect_fast(self, pixels: np.ndarray, time_s: float) -> list[Detection]:
        """Return the tracked face, or an empty list.

        Args:
            pixels: (H, W, 3) uint8 RGB in [0, 255], the next frame.
            time_s: When it is shown, seconds.

        Raises:
            ValueError: The array is not an RGB image, or the detector is closed.
        """
        _check_pixels(pixels)
        view = within_limits(identity_view(pixels))
        # MediaPipe refuses times that do not increase by whole milliseconds.
        self._last_ms = max(round(1000 * time_s), self._last_ms) + 1
        return _detections(self._landmarker(view.pixels, self._last_ms), view)


def _check_pixels(pixels: np.ndarray) -> None:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or pixels.size == 0:
        raise ValueError(f"expected H×W×3 uint8, not empty; got {pixels.dtype} of shape {pixels.shape}")


def _detections(result: Any, view: SearchView) -> list[Detection]:
    """Map the landmarker's result for one view back to the photo."""
    transforms = result.facial_transformation_matrixes
    return [
        _detection(points, scores_by_name(result.face_blendshapes[k], ARKIT_NAMES), transforms[k], view)
        for k, points in enumerate(result.face_landmarks)
    ]


def scores_by_name(categories: Sequence[Any], names: Sequence[str]) -> np.ndarray:
    """Order MediaPipe's blendshape scores by name.

    Args:
        categories: Objects with `category_name` and `score`; other names than the requested ones are left out.
        names: Names in the requested order.

    Returns:
        (len(names),) float32 in [0, 1]; 0 for `tongueOut`, which the model does not have.

    Raises:
        Smirk3dError: Another name is missing: the bundle is not the expected one.
    """
    scores = {category.category_name: category.score for category in categories} | {"tongueOut": 0.0}
    missing = [name for name in names if name not in scores]
    if missing:
        raise Smirk3dError(f"the landmarker does not report {', '.join(missing)}; use the expected bundle")
    return np.clip(np.array([scores[name] for name in names], dtype=np.float32), 0.0, 1.0)


def _detection(points: Sequence[Any], scores: np.ndarray, transform: np.ndarray, view: SearchView) -> Detection:
    height, width = view.pixels.shape[:2]
    xyz = np.array([(point.x, point.y, point.z) for point in points], dtype=np.float64)
    linear, offset = view.to_photo[:, :2], view.to_photo[:, 2]
    landmarks_px = (xyz[:, :2] * (width, height)) @ linear.T + offset
    # MediaPipe's z is on the scale of x; sqrt |det| is the scale of the view's map to the photo.
    return Detection(
        landmarks_px=landmarks_px.astype(np.float32),
        depth=(xyz[:, 2] * width * np.sqrt(abs(np.linalg.det(linear)))).astype(np.float32),
        blendshape_scores=scores,
        box_px=np.concatenate((landmarks_px.min(axis=0), landmarks_px.max(axis=0))).astype(np.float32),
        score=view.score,
        transform=np.asarray(transform, dtype=np.float32) if view.is_photo else None,
    )


def _is_doubtful(face: Detection) -> bool:
    return are_not_upright(face.landmarks_px, face.depth)


def _turns_to_upright(face: Detection) -> int:
    """Return the counter-clockwise quarter turns that bring the face nearest to upright."""
    return round(_roll_deg(_across(face)) / 90) % 4


def _placement(face: Detection) -> tuple[np.ndarray, np.ndarray]:
    """Return the landmarks of a face and the vector from its right eye to the left one, pixels."""
    return face.landmarks_px, _across(face)


def _across(face: Detection) -> np.ndarray:
    """Return the vector (2,) from the subject's right eye to the left one, pixels."""
    return face.landmarks_px[_LEFT_EYE] - face.landmarks_px[_RIGHT_EYE]


def _roll_deg(across_px: np.ndarray) -> float:
    """Return the angle of the eye line to the horizontal, clockwise in the photo, degrees in (-180, 180]."""
    return float(np.rad2deg(np.arctan2(across_px[1], across_px[0])))


def non_max_suppression(faces: Sequence[Detection]) -> list[Detection]:
    """Keep one detection per face: of overlapping ones that of the highest score, among equals the largest."""
    kept: list[Detection] = []
    for face in sorted(faces, key=lambda face: (-face.score, -box_area(face.box_px))):
        if all(iou(face.box_px, other.box_px) <= DUPLICATE_IOU for other in kept):
            kept.append(face)
    return kept
