"""How the frames of a video are searched: fast, thoroughly, and in regions of interest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from synthetic_track import nearest

from smirk3d.detection.detector import Detection
from smirk3d.media.video import Frame
from smirk3d.tracking.detection_loop import FULL_FRAME_INTERVAL, THOROUGH_SEARCH_INTERVAL, RoiTracker

FACE: Any = object()


def frame(k: int) -> Frame:
    return Frame(k, k / 25, np.full((4, 4, 3), k % 256, dtype=np.uint8))


class FakeDetector:
    """Records its calls; finds a face fast in the frames of `easy`, and by a thorough search in those of `hard`."""

    def __init__(self, easy: range = range(0), hard: range = range(0)) -> None:
        self.easy, self.hard, self.calls = easy, hard, []

    def detect_fast(self, pixels: np.ndarray, time_s: float | None = None) -> list[Any]:
        k = int(pixels[0, 0, 0])
        self.calls.append(f"detect_fast {k}" if time_s is None else f"{time_s:.2f}")
        return [FACE] if k in self.easy else []

    def detect(self, pixels: np.ndarray) -> list[Any]:
        k = int(pixels[0, 0, 0])
        self.calls.append(f"search {k}")
        return [FACE] if k in self.hard else []

    def restart(self) -> None:
        self.calls.append("restart")

    def close(self) -> None:
        self.calls.append("close")

    def for_video(self) -> FakeDetector:
        self.video = FakeDetector(self.easy)
        return self.video

    @property
    def searches(self) -> list[str]:
        return [call for call in self.calls if call.startswith("search")]


def frames_with_faces(detector: Any, count: int, mode: Any = "image", cut: int = -1) -> list[int]:
    with RoiTracker(detector, mode) as tracker:
        return [k for k in range(count) if tracker(frame(k), k == cut)]


def test_empty_frames_are_searched_thoroughly_at_intervals() -> None:
    detector = FakeDetector(range(2, 4))
    assert frames_with_faces(detector, 26) == [2, 3]
    assert detector.searches == [f"search {k}" for k in (0, 4, 4 + THOROUGH_SEARCH_INTERVAL, 24)]


def test_every_frame_is_searched_thoroughly_while_that_finds_faces() -> None:
    detector = FakeDetector(range(0, 3), hard=range(3, 8))
    assert frames_with_faces(detector, 20) == [*range(8)]
    assert detector.searches[-2:] == ["search 8", "search 18"]


def test_video_mode_restarts_at_cuts() -> None:
    detector = FakeDetector(range(5))
    assert frames_with_faces(detector, 5, "video", cut=3) == [*range(5)]
    assert detector.calls == []
    assert detector.video.calls == ["0.00", "0.04", "0.08", "restart", "0.12", "0.16", "close"]


def test_video_mode_also_searches_thoroughly() -> None:
    detector = FakeDetector(range(1, 3), hard=range(0, 1))
    assert frames_with_faces(detector, 3, "video") == [0, 1, 2] and detector.calls == ["search 0"]


def face(x_px: float, size_px: float = 50.0) -> Detection:
    """Return a detection of which only the box matters."""
    box_px = np.array([x_px, 0, x_px + size_px, size_px], dtype=np.float32)
    return Detection(np.zeros((478, 2), np.float32), np.zeros(478, np.float32), np.zeros(52, np.float32), box_px, 1.0)


class DriftingFaces:
    """Detects faces that drift to the right by a pixel a frame, each visible in its own frames."""

    def __init__(self, *visible: tuple[float, Iterable[int]]) -> None:
        self.visible, self.calls = visible, []

    def _faces(self, k: int) -> list[Detection]:
        return [face(x_px + k) for x_px, frames in self.visible if k in frames]

    def detect_fast(self, pixels: np.ndarray) -> list[Detection]:
        self.calls.append("full frame")
        return self._faces(int(pixels[0, 0, 0]))

    def detect_in_roi(self, pixels: np.ndarray, face: Detection) -> Detection | None:
        self.calls.append("roi")
        return nearest(face, self._faces(int(pixels[0, 0, 0])))

    def detect(self, pixels: np.ndarray) -> list[Detection]:
        return []


def track(detector: Any, count: int, max_faces: int | None, cut: int = -1) -> list[list[float]]:
    """Return the positions of the faces of each frame when the first `max_faces` of each frame are tracked."""
    tracked: list[Detection] = []
    positions = []
    with RoiTracker(detector, "follow", max_faces) as tracker:
        for k in range(count):
            found = tracker(frame(k), k == cut, tracked)
            tracked = found if max_faces is None else found[:max_faces]
            positions.append(sorted(float(each.box_px[0]) for each in found))
    return positions


def test_only_the_region_of_interest_is_searched_while_the_face_is_tracked() -> None:
    detector = DriftingFaces((0.0, range(20)), (300.0, range(2, 20)))
    assert track(detector, 20, 1) == [[float(k)] for k in range(20)]
    # The first frame as a whole, then the face in it; after that only the face.
    assert detector.calls == ["full frame", "roi", *["roi"] * 19]


def test_full_frame_is_searched_when_the_tracked_face_is_lost() -> None:
    detector = DriftingFaces((0.0, range(5)), (300.0, range(6, 9)))
    assert track(detector, 9, 1) == [[0], [1], [2], [3], [4], [], [306], [307], [308]]


def test_new_faces_are_found_at_intervals_and_lost_ones_at_once() -> None:
    detector = DriftingFaces((0.0, range(40)), (300.0, [*range(1, 20), *range(23, 40)]))
    for max_faces in (2, None):
        counts = [len(positions) for positions in track(detector, 40, max_faces)]
        assert counts == [1] * FULL_FRAME_INTERVAL + [2] * (20 - FULL_FRAME_INTERVAL) + [1] * 3 + [2] * 17


def test_two_regions_that_find_the_same_face_give_one_detection() -> None:
    detector: Any = DriftingFaces((0.0, range(9)))
    with RoiTracker(detector, "follow") as tracker:
        assert len(tracker(frame(3), False, [face(0.0), face(6.0)])) == 1


def test_faces_are_not_tracked_across_a_cut() -> None:
    detector = DriftingFaces((0.0, range(9)))
    track(detector, 9, 1, cut=4)
    assert detector.calls == ["full frame", "roi", *["roi"] * 3, "full frame", "roi", *["roi"] * 4]
