"""MediaPipe's face landmarker, created and released without output on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

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


def release_landmarker(landmarker: Any) -> None:
    """Close MediaPipe's graph; at interpreter exit its worker thread is gone and there is nothing left to close."""
    try:
        landmarker.close()
    except RuntimeError:
        landmarker._handle = None  # otherwise its __del__ prints a traceback


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
