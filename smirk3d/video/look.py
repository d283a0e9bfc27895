"""Who is in each frame of a video: faces at first sight, and a thorough search where that fails for long."""

from __future__ import annotations

from typing import Literal

from smirk3d.pipeline.detect import Detection, Detector, VideoDetector
from smirk3d.video.decode import Frame

DetectorMode = Literal["image", "video"]

SEARCH_EVERY = 10
"""Of frames in which no face is seen at first sight, every so manieth is searched thoroughly."""


class Looker:
    """Finds faces in the frames of one video, in their order; a context manager.

    Args:
        detector: Finds faces in single pictures.
        mode: "image" looks at each frame by itself. "video" follows one face, see `VideoDetector`; a cut begins anew.

    Raises:
        Smirk3dError: As for `VideoDetector`.
    """

    def __init__(self, detector: Detector, mode: DetectorMode = "image") -> None:
        self._detector = detector
        self._video: VideoDetector | None = detector.for_video() if mode == "video" else None
        self._blank = 0
        self._is_hard = False

    def __enter__(self) -> Looker:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._video is not None:
            self._video.close()

    def __call__(self, frame: Frame, is_cut: bool = False) -> list[Detection]:
        """Return the faces of a frame, the largest first; `is_cut` where a new scene begins with it."""
        found = self._glance(frame, is_cut)
        if not found and (self._is_hard or self._blank % SEARCH_EVERY == 0):
            found = self._detector.detect(frame.pixels)
            self._is_hard = bool(found)
        self._blank = 0 if found else self._blank + 1
        return found

    def _glance(self, frame: Frame, is_cut: bool) -> list[Detection]:
        if self._video is None:
            return self._detector.glance(frame.pixels)
        if is_cut:
            self._video.restart()
        return self._video.glance(frame.pixels, frame.time_s)
