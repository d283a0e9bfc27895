"""How faces are looked for in the frames of a video: at first sight, thoroughly, and following one."""

from __future__ import annotations

from typing import Any

import numpy as np

from smirk3d.video.decode import Frame
from smirk3d.video.look import SEARCH_EVERY, Looker

FACE: Any = object()


def frame(k: int) -> Frame:
    return Frame(k, k / 25, np.full((4, 4, 3), k % 256, dtype=np.uint8))


class Finder:
    """Notes what is asked of it. Faces are in the frames of `seen` at first sight, and in those of `hard` at second."""

    def __init__(self, seen: range = range(0), hard: range = range(0)) -> None:
        self.seen, self.hard, self.asked = seen, hard, []

    def glance(self, pixels: np.ndarray, time_s: float | None = None) -> list[Any]:
        k = int(pixels[0, 0, 0])
        self.asked.append(f"glance {k}" if time_s is None else f"{time_s:.2f}")
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
    with Looker(finder, mode) as looker:
        return [k for k in range(count) if looker(frame(k), k == cut)]


def test_every_so_manieth_empty_frame_is_searched() -> None:
    finder = Finder(range(2, 4))
    assert look(finder, 26) == [2, 3]
    assert [int(asked[7:]) for asked in finder.asked if asked.startswith("search")] == [0, 4, 4 + SEARCH_EVERY, 24]


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
