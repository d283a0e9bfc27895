"""Face detection frame by frame: in regions of interest, in whole frames, and by a thorough search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from smirk3d.detection.boxes import iou
from smirk3d.detection.detector import DUPLICATE_IOU, Detection, Detector, VideoDetector, non_max_suppression
from smirk3d.media.video import Frame

DetectorMode = Literal["follow", "image", "video"]

THOROUGH_SEARCH_INTERVAL = 10
"""Of the frames without a fast detection, one in so many is searched thoroughly."""
FULL_FRAME_INTERVAL = 5
"""One in so many frames is searched as a whole while more faces may be tracked than are tracked now."""


class RoiTracker:
    """Detects the faces in the frames of one video, in order; a context manager.

    Args:
        detector: The detector for single images.
        mode: How frames are searched; a cut starts anew in every mode.
            "follow": in regions of interest around the faces of the frame before, see `Detector.detect_in_roi`, and in
            the whole frame where one of them is missing.
            "image": each frame by itself.
            "video": one face, tracked and smoothed by MediaPipe's video mode, see `VideoDetector`.
        max_faces: How many faces are tracked at a time; None for all.

    Raises:
        Smirk3dError: As for `VideoDetector`.
    """

    def __init__(self, detector: Detector, mode: DetectorMode = "follow", max_faces: int | None = None) -> None:
        self._detector, self._mode, self._max_faces = detector, mode, max_faces
        self._video: VideoDetector | None = detector.for_video() if mode == "video" else None
        self._n_empty_frames = 0
        self._needs_thorough_search = False
        self._n_expected = 1

    def __enter__(self) -> RoiTracker:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._video is not None:
            self._video.close()

    def __call__(self, frame: Frame, is_cut: bool = False, tracked: Sequence[Detection] = ()) -> list[Detection]:
        """Return the faces of a frame, the largest first.

        Args:
            frame: The frame after that of the last call.
            is_cut: Whether a new shot begins with it.
            tracked: Detections of the tracked faces in the frame before.
        """
        found = self._detect_fast(frame, is_cut, tracked)
        # A thorough search takes many times as long as a fast one. It runs on every frame only while it is what finds
        # the face; on the empty frames of a video without faces it runs now and then.
        if not found and (self._needs_thorough_search or self._n_empty_frames % THOROUGH_SEARCH_INTERVAL == 0):
            found = self._detector.detect(frame.pixels)
            self._needs_thorough_search = bool(found)
        self._n_empty_frames = 0 if found else self._n_empty_frames + 1
        return found

    def _detect_fast(self, frame: Frame, is_cut: bool, tracked: Sequence[Detection]) -> list[Detection]:
        if self._mode == "follow":
            return self._detect_around(frame, is_cut, tracked)
        if self._video is None:
            return self._detector.detect_fast(frame.pixels)
        if is_cut:
            self._video.restart()
        return self._video.detect_fast(frame.pixels, frame.time_s)

    def _detect_around(self, frame: Frame, is_cut: bool, tracked: Sequence[Detection]) -> list[Detection]:
        """Detect faces around those of the frame before, and in the whole frame where some may be missing."""
        if is_cut:
            tracked, self._n_expected = (), 1
        self._n_expected = max(self._n_expected, len(tracked))
        rois = [self._detect_in_roi(frame, face) for face in tracked]
        # Two regions of interest can find the same face where people cross.
        found = non_max_suppression([face for face in rois if face is not None])
        has_room = self._max_faces is None or len(found) < self._max_faces
        if len(found) < self._n_expected or (has_room and frame.number % FULL_FRAME_INTERVAL == 0):
            others = [face for face in self._detector.detect_fast(frame.pixels) if _is_new(face, found)]
            found = non_max_suppression([*found, *(self._detect_in_roi(frame, face) or face for face in others)])
        return found

    def _detect_in_roi(self, frame: Frame, face: Detection) -> Detection | None:
        return self._detector.detect_in_roi(frame.pixels, face)


def _is_new(face: Detection, found: Sequence[Detection]) -> bool:
    """Return whether a detection overlaps none of those found before."""
    return all(iou(face.box_px, other.box_px) <= DUPLICATE_IOU for other in found)
