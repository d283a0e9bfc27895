"""Who is in each frame of a video: faces where they were, at first sight, and by a thorough search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from smirk3d.detection.detector import DUPLICATE_IOU, Detection, Detector, VideoDetector, iou, non_max_suppression
from smirk3d.media.video import Frame

DetectorMode = Literal["follow", "image", "video"]

THOROUGH_SEARCH_INTERVAL = 10
"""Of frames in which no face is seen at first sight, every so manieth is searched thoroughly."""
FULL_FRAME_INTERVAL = 5
"""Every so manieth frame is looked at as a whole while there is room for more faces beside those that are followed."""


class RoiTracker:
    """Finds faces in the frames of one video, in their order; a context manager.

    Args:
        detector: Finds faces in single pictures.
        mode: "follow" looks closely where faces were in the frame before, see `Detector.detect_in_roi`, and at the whole
            frame where one of them is missing. "image" looks at each frame by itself. "video" follows one face as
            MediaPipe does, see `VideoDetector`. A cut begins anew.
        max_faces: How many are to be followed at a time; None for all.

    Raises:
        Smirk3dError: As for `VideoDetector`.
    """

    def __init__(self, detector: Detector, mode: DetectorMode = "follow", max_faces: int | None = None) -> None:
        self._detector, self._mode, self._most = detector, mode, max_faces
        self._video: VideoDetector | None = detector.for_video() if mode == "video" else None
        self._blank = 0
        self._is_hard = False
        self._crowd = 1

    def __enter__(self) -> RoiTracker:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._video is not None:
            self._video.close()

    def __call__(self, frame: Frame, is_cut: bool = False, followed: Sequence[Detection] = ()) -> list[Detection]:
        """Return the faces of a frame, the largest first.

        Args:
            frame: The next one. is_cut: A new scene begins with it.
            followed: Those of the frame before who are followed.
        """
        found = self._glance(frame, is_cut, followed)
        if not found and (self._is_hard or self._blank % THOROUGH_SEARCH_INTERVAL == 0):
            found = self._detector.detect(frame.pixels)
            self._is_hard = bool(found)
        self._blank = 0 if found else self._blank + 1
        return found

    def _glance(self, frame: Frame, is_cut: bool, followed: Sequence[Detection]) -> list[Detection]:
        if self._mode == "follow":
            return self._follow(frame, is_cut, followed)
        if self._video is None:
            return self._detector.detect_fast(frame.pixels)
        if is_cut:
            self._video.restart()
        return self._video.detect_fast(frame.pixels, frame.time_s)

    def _follow(self, frame: Frame, is_cut: bool, followed: Sequence[Detection]) -> list[Detection]:
        if is_cut:
            followed, self._crowd = (), 1
        self._crowd = max(self._crowd, len(followed))
        found = non_max_suppression([again for face in followed if (again := self._closer(frame, face)) is not None])
        has_room = self._most is None or len(found) < self._most
        if len(found) < self._crowd or (has_room and frame.number % FULL_FRAME_INTERVAL == 0):
            others = [face for face in self._detector.detect_fast(frame.pixels) if _is_new(face, found)]
            found = non_max_suppression([*found, *(self._closer(frame, face) or face for face in others)])
        return found

    def _closer(self, frame: Frame, face: Detection) -> Detection | None:
        return self._detector.detect_in_roi(frame.pixels, face)


def _is_new(face: Detection, found: Sequence[Detection]) -> bool:
    return all(iou(face.box_px, other.box_px) <= DUPLICATE_IOU for other in found)
