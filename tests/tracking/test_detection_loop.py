"""How faces are looked for in the frames of a video: at first sight, thoroughly, and following one."""

from __future__ import annotations

from typing import Any

import numpy as np
from synthetic_track import nearest

from smirk3d.detection.detector import Detection
from smirk3d.media.video import Frame
from smirk3d.tracking.detection_loop import FULL_FRAME_INTERVAL, THOROUGH_SEARCH_INTERVAL, RoiTracker

FACE: Any = object()


def frame(k: int) -> Frame:
    return Frame(k, k / 25, np.full((4, 4, 3), k % 256, dtype=np.uint8))


class Finder:
    """Notes what is asked of it. Faces are in the frames of `seen` at first sight, and in those of `hard` at second."""

    def __init__(self, seen: range = range(0), hard: range = range(0)) -> None:
        self.seen, self.hard, self.asked = seen, hard, []

    def detect_fast(self, pixels: np.ndarray, time_s: float | None = None) -> list[Any]:
        k = int(pixels[0, 0, 0])
        self.asked.append(f"detect_fast {k}" if time_s is None else f"{time_s:.2f}")
        return [FACE] if k in self.seen else []

    def detect(self, pixels: np.ndarray) -> list[Any]:
        k = int(pixels[0, 0, 0])
        self.asked.append(f"search {k}")
        return [FACE] if k in self.hard else []

    def restart(self) -> None:
        self.asked.append("restart")

    def close(self) -> None:
        self.asked.append("close")

    def for_video(self) -> Finder:
        self.video = Finder(self.seen)
        return self.video


def look(finder: Any, count: int, mode: Any = "image", cut: int = -1) -> list[int]:
    with RoiTracker(finder, mode) as looker:
        return [k for k in range(count) if looker(frame(k), k == cut)]


def test_every_so_manieth_empty_frame_is_searched() -> None:
    finder = Finder(range(2, 4))
    assert look(finder, 26) == [2, 3]
    assert [int(asked[7:]) for asked in finder.asked if asked.startswith("search")] == [
        0,
        4,
        4 + THOROUGH_SEARCH_INTERVAL,
        24,
    ]


def test_where_a_search_helps_it_is_done_for_each_frame() -> None:
    finder = Finder(range(0, 3), hard=range(3, 8))
    assert look(finder, 20) == [*range(8)]
    assert [asked for asked in finder.asked if asked.startswith("search")][-2:] == ["search 8", f"search {18}"]


def test_video_mode_follows_and_begins_anew_at_cuts() -> None:
    finder = Finder(range(5))
    assert look(finder, 5, "video", cut=3) == [*range(5)]
    assert finder.asked == []
    assert finder.video.asked == ["0.00", "0.04", "0.08", "restart", "0.12", "0.16", "close"]


def test_video_mode_searches_single_frames_too() -> None:
    finder = Finder(range(1, 3), hard=range(0, 1))
    assert look(finder, 3, "video") == [0, 1, 2] and finder.asked == ["search 0"]


def face(x_px: float, size_px: float = 50.0) -> Detection:
    """Return a face by its place alone."""
    box_px = np.array([x_px, 0, x_px + size_px, size_px], dtype=np.float32)
    return Detection(np.zeros((478, 2), np.float32), np.zeros(478, np.float32), np.zeros(52, np.float32), box_px, 1.0)


class Crowd:
    """Shows faces that drift to the right by a pixel a frame, each in the frames of its range."""

    def __init__(self, *shown: tuple[float, range]) -> None:
        self.shown, self.asked = shown, []

    def _faces(self, k: int) -> list[Detection]:
        return [face(x_px + k) for x_px, frames in self.shown if k in frames]

    def detect_fast(self, pixels: np.ndarray) -> list[Detection]:
        self.asked.append("detect_fast")
        return self._faces(int(pixels[0, 0, 0]))

    def detect_in_roi(self, pixels: np.ndarray, face: Detection) -> Detection | None:
        self.asked.append("closer")
        return nearest(face, self._faces(int(pixels[0, 0, 0])))

    def detect(self, pixels: np.ndarray) -> list[Detection]:
        return []


def follow(crowd: Any, count: int, most: int | None, cut: int = -1) -> list[list[float]]:
    """Return where the faces of each frame are when the first `most` of each are followed."""
    followed: list[Detection] = []
    places = []
    with RoiTracker(crowd, "follow", most) as looker:
        for k in range(count):
            found = looker(frame(k), k == cut, followed)
            followed = found if most is None else found[:most]
            places.append(sorted(float(each.box_px[0]) for each in found))
    return places


def test_a_face_that_is_followed_is_all_that_is_looked_at() -> None:
    crowd = Crowd((0.0, range(20)), (300.0, range(2, 20)))
    assert follow(crowd, 20, 1) == [[float(k)] for k in range(20)]
    # At first its whole frame, then the face in it; thereafter the face alone.
    assert crowd.asked == ["detect_fast", "closer", *["closer"] * 19]


def test_a_face_that_is_lost_is_looked_for_everywhere_at_once() -> None:
    crowd = Crowd((0.0, range(5)), (300.0, range(6, 9)))
    assert follow(crowd, 9, 1) == [[0], [1], [2], [3], [4], [], [306], [307], [308]]


def test_newcomers_are_noticed_while_there_is_room_and_the_missing_missed() -> None:
    crowd = Crowd((0.0, range(40)), (300.0, [*range(1, 20), *range(23, 40)]))  # type: ignore[arg-type]
    for most in (2, None):
        counts = [len(places) for places in follow(crowd, 40, most)]
        assert counts == [1] * FULL_FRAME_INTERVAL + [2] * (20 - FULL_FRAME_INTERVAL) + [1] * 3 + [2] * 17


def test_two_that_end_on_one_face_are_one() -> None:
    crowd = Crowd((0.0, range(9)))
    with RoiTracker(crowd, "follow") as looker:  # type: ignore[arg-type]
        assert len(looker(frame(3), False, [face(0.0), face(6.0)])) == 1


def test_what_is_behind_a_cut_is_not_followed() -> None:
    crowd = Crowd((0.0, range(9)))
    follow(crowd, 9, 1, cut=4)
    assert crowd.asked == ["detect_fast", "closer", *["closer"] * 3, "detect_fast", "closer", *["closer"] * 4]
