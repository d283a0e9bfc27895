"""MediaPipe's face landmarker, created and released without output on standard error, and rebuilt where it breaks."""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from smirk3d.detection.mediapipe_import import without_pyplot
from smirk3d.errors import Smirk3dError


@dataclass(frozen=True)
class LandmarkerOptions:
    """Settings of a landmarker.

    Attributes:
        model: The model bundle, `face_landmarker.task`.
        num_faces: Faces that it returns at most.
        min_confidence: Threshold of its face detection, presence test and tracking, in [0, 1].
    """

    model: Path
    num_faces: int
    min_confidence: float


class Landmarker:
    """MediaPipe's face landmarker, which survives its own failures and a fork of the process.

    Once a picture makes MediaPipe's graph fail, the graph refuses every later one. Such a graph is replaced, and so is
    that of the parent process after a fork: its threads do not exist in the child, which would wait for them for ever.

    Args:
        options: Settings.
        mode: "image" for single photos, "video" for consecutive frames.

    Raises:
        Smirk3dError: MediaPipe or its bundle is missing or does not work.
    """

    def __init__(self, options: LandmarkerOptions, mode: Literal["image", "video"] = "image") -> None:
        self._options: LandmarkerOptions = options
        self._mode: Literal["image", "video"] = mode
        self._create()

    def _create(self) -> None:
        self._landmarker, self._to_mp_image = create_landmarker(self._options, self._mode)
        # Runs before the interpreter clears modules at exit; MediaPipe's own __del__ would fail after that.
        self._close = weakref.finalize(self, release_own, self._landmarker, os.getpid())
        self._process_id = os.getpid()

    def close(self) -> None:
        """Free MediaPipe's graph; closing twice is fine."""
        self._close()

    def recreate(self) -> None:
        """Replace MediaPipe's graph by a new one.

        Raises:
            Smirk3dError: As for the class.
        """
        self.close()
        self._create()

    def __call__(self, pixels: np.ndarray, time_ms: int | None = None) -> Any:
        """Return MediaPipe's result for an image.

        Args:
            pixels: (H, W, 3) uint8 RGB in [0, 255], sides below 32,767.
            time_ms: When the frame is shown, in milliseconds, increasing; None in image mode.

        Raises:
            Smirk3dError: MediaPipe fails on the image also with a new graph.
            ValueError: The landmarker is closed.
        """
        if not self._close.alive:
            raise ValueError("the detector is closed; make a new one")
        if self._process_id != os.getpid():
            self.recreate()
        try:
            return self._run(pixels, time_ms)
        except (RuntimeError, ValueError):
            self.recreate()  # the failure may be that of an earlier image
        try:
            return self._run(pixels, time_ms)
        except (RuntimeError, ValueError) as error:
            self.recreate()
            height, width = pixels.shape[:2]
            reason = " ".join(str(error).split())[:200]
            raise Smirk3dError(
                f"the face detector fails on {width}×{height} pixels ({reason}); cut the picture to the face"
            ) from error

    def _run(self, pixels: np.ndarray, time_ms: int | None) -> Any:
        image = self._to_mp_image(pixels)
        return self._landmarker.detect(image) if time_ms is None else self._landmarker.detect_for_video(image, time_ms)


def create_landmarker(options: LandmarkerOptions, mode: Literal["image", "video"] = "image") -> tuple[Any, Any]:
    """Create a landmarker and warm it up, in video mode with an empty frame at 0 ms.

    Args:
        options: Settings.
        mode: "image" for single photos, "video" for consecutive frames.

    Returns:
        MediaPipe's landmarker, and a function from (H, W, 3) uint8 RGB arrays to MediaPipe's images.

    Raises:
        Smirk3dError: MediaPipe or its bundle is missing or does not work.
    """
    try:
        with without_pyplot():
            import mediapipe as mp
            from mediapipe.tasks.python import BaseOptions, vision
    except ImportError as error:
        raise Smirk3dError(f"MediaPipe does not import ({error}); pip install mediapipe") from error

    def to_mp_image(pixels: np.ndarray) -> Any:
        return mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(pixels))

    landmarker_options = vision.FaceLandmarkerOptions(
        # The content instead of the path: MediaPipe's C++ code cannot open every file name.
        base_options=BaseOptions(model_asset_buffer=options.model.read_bytes()),
        running_mode=vision.RunningMode[mode.upper()],
        num_faces=options.num_faces,
        min_face_detection_confidence=options.min_confidence,
        min_face_presence_confidence=options.min_confidence,
        min_tracking_confidence=options.min_confidence,
        output_face_blendshapes=True,
        output_facial_transformation_matrixes=True,
    )
    try:
        with _quiet_stderr():
            landmarker = vision.FaceLandmarker.create_from_options(landmarker_options)
            empty = to_mp_image(np.zeros((64, 64, 3), dtype=np.uint8))
            landmarker.detect(empty) if mode == "image" else landmarker.detect_for_video(empty, 0)
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Smirk3dError(
            f"MediaPipe cannot load {options.model.name} ({reason}); pip install -U mediapipe"
        ) from error
    return landmarker, to_mp_image


def create_face_detector(model: bytes) -> tuple[Any, Any]:
    """Create MediaPipe's face detector.

    Args:
        model: The network, a .tflite file.

    Returns:
        MediaPipe's detector, and a function from (H, W, 3) uint8 RGB arrays to MediaPipe's images.

    Raises:
        Smirk3dError: It does not work.
    """
    import mediapipe as mp
    from mediapipe.tasks.python import BaseOptions, vision

    def to_mp_image(pixels: np.ndarray) -> Any:
        return mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(pixels))

    options = vision.FaceDetectorOptions(
        base_options=BaseOptions(model_asset_buffer=model), min_detection_confidence=0.05
    )
    try:
        with _quiet_stderr():
            detector = vision.FaceDetector.create_from_options(options)
            detector.detect(to_mp_image(np.zeros((64, 64, 3), dtype=np.uint8)))
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Smirk3dError(f"MediaPipe cannot load its face detector ({reason}); pip install -U mediapipe") from error
    return detector, to_mp_image


def release_landmarker(landmarker: Any) -> None:
    """Close MediaPipe's graph; at interpreter exit its worker thread is gone and there is nothing left to close."""
    try:
        with _quiet_stderr():  # the face detector reports its end
            landmarker.close()
    except RuntimeError:
        landmarker._handle = None  # otherwise its __del__ prints a traceback


def release_own(landmarker: Any, process_id: int) -> None:
    """Close a landmarker of this process; to close the parent's after a fork would never end."""
    if process_id == os.getpid():
        release_landmarker(landmarker)
    else:
        landmarker._handle = None  # its __del__ closes it otherwise


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Discard the process's standard error: no logging level silences the start-up lines of MediaPipe's C++ code."""
    sys.stderr.flush()
    saved, devnull = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(devnull, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(devnull)
