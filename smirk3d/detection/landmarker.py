"""MediaPipe's face landmarker, made and freed without a word on standard error."""

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
    """What a landmarker is made of.

    Attributes:
        model: The bundle. num_faces: Faces that it keeps at most. min_confidence: In [0, 1], of its face detection, its
            presence test and its tracking.
    """

    model: Path
    num_faces: int
    min_confidence: float


def create_landmarker(options: LandmarkerOptions, mode: Literal["image", "video"] = "image") -> tuple[Any, Any]:
    """Return MediaPipe's landmarker, warmed up, and a function from arrays to MediaPipe's images.

    One for the frames of a video has seen an empty frame at 0 ms.

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

    wanted = vision.FaceLandmarkerOptions(
        # The content, not the path: C code would not open every file name.
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
            landmarker = vision.FaceLandmarker.create_from_options(wanted)
            empty = to_mp_image(np.zeros((64, 64, 3), dtype=np.uint8))
            landmarker.detect(empty) if mode == "image" else landmarker.detect_for_video(empty, 0)
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Smirk3dError(
            f"MediaPipe cannot load {options.model.name} ({reason}); pip install -U mediapipe"
        ) from error
    return landmarker, to_mp_image


def release_landmarker(landmarker: Any) -> None:
    """Close MediaPipe's graph; when the interpreter exits its worker thread is gone, and so is the need."""
    try:
        landmarker.close()
    except RuntimeError:
        landmarker._handle = None  # else its __del__ would print a traceback


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Send the process's standard error to nowhere: MediaPipe's C++ start-up lines heed no logging level."""
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
