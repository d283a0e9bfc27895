"""Which way up a detected face is: the landmarker also finds plausible landmarks on faces that are upside down."""

from __future__ import annotations

import os
import weakref
import zipfile
from pathlib import Path

import numpy as np

from smirk3d.detection.landmarker import create_face_detector, release_own
from smirk3d.detection.retries import face_crop_view
from smirk3d.errors import Smirk3dError

_MODEL_NAME = "face_detector.tflite"  # in the landmarker's bundle
_CROP_PX = 128  # the side of the network's input
_UPRIGHT_SCORE = 0.82  # faces with a higher score are upright; measured: upright ones over 0.8, upside-down ones below
_MIN_FACE_SCORE = 0.6
_MIN_GAIN = 0.04  # in other orientations the score must be higher by so much

QUARTER_TURNS = np.array([[[1, 0], [0, 1]], [[0, -1], [1, 0]], [[-1, 0], [0, -1]], [[0, 1], [-1, 0]]], dtype=np.float64)


class OrientationCheck:
    """Compares the four orientations of a face by the score of the face detector, which learned from upright faces.

    Args:
        bundle: The landmarker bundle, which contains the face detector.

    Raises:
        Smirk3dError: MediaPipe or the bundle does not work.
    """

    def __init__(self, bundle: Path) -> None:
        try:
            with zipfile.ZipFile(bundle) as archive:
                self._model = archive.read(_MODEL_NAME)
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise Smirk3dError(f"{bundle.name}: no face detector in it ({error}); use the expected bundle") from error
        self._start()

    def _start(self) -> None:
        self._detector, self._to_mp_image = create_face_detector(self._model)
        self._process_id = os.getpid()
        self._close = weakref.finalize(self, release_own, self._detector, self._process_id)

    def quarter_turns(self, pixels: np.ndarray, points_px: np.ndarray, across_px: np.ndarray) -> int:
        """Return by how many quarter turns the face differs from its landmarks; 0 where they agree.

        Args:
            pixels: (H, W, 3) uint8 RGB.
            points_px: (L, 2) landmarks, pixels.
            across_px: (2,) vector from the subject's right eye to the left one according to the landmarks.
        """
        crop = face_crop_view(pixels, points_px, across_px, _CROP_PX).pixels
        as_detected = self._score(crop)
        if as_detected >= _UPRIGHT_SCORE:
            return 0
        others = [self._score(np.rot90(crop, turns)) for turns in (1, 2, 3)]
        return 1 + int(np.argmax(others)) if max(others) > as_detected + _MIN_GAIN else 0

    def is_face(self, pixels: np.ndarray, points_px: np.ndarray, across_px: np.ndarray) -> bool:
        """Return whether a crop about landmarks shows an upright face; arguments as for `quarter_turns`."""
        return self._score(face_crop_view(pixels, points_px, across_px, _CROP_PX).pixels) >= _MIN_FACE_SCORE

    def count_faces(self, pixels: np.ndarray) -> int:
        """Return the number of upright faces in a photo (H, W, 3) uint8 RGB that are large enough for the network."""
        return sum(score >= _MIN_FACE_SCORE for score in self._scores(pixels))

    def _score(self, crop: np.ndarray) -> float:
        return max(self._scores(crop), default=0.0)

    def _scores(self, pixels: np.ndarray) -> list[float]:
        if self._process_id != os.getpid():  # threads of the graph exist in the parent of a fork only
            self._start()
        result = self._detector.detect(self._to_mp_image(pixels))
        return [float(each.categories[0].score) for each in result.detections]

    def close(self) -> None:
        """Free MediaPipe's graph."""
        self._close()
