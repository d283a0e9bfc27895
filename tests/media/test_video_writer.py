from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest

from smirk3d.errors import Smirk3dError
from smirk3d.media.video import VideoFile
from smirk3d.media.video_writer import crop_to_even, write_frames

pytest.importorskip("av")
TIMES = [0.0, 0.1, 0.15, 0.4]


def frames() -> Generator[tuple[float, np.ndarray]]:
    for k, time_s in enumerate(TIMES):
        yield time_s, np.full((32, 48, 3), 60 * k, np.uint8)


def test_frames_keep_times_and_colours(tmp_path: Path) -> None:
    counted: list[int] = []
    write_frames(frames(), tmp_path / "v.mp4", 25.0, advance=lambda: counted.append(1))
    found = list(VideoFile(tmp_path / "v.mp4").frames())
    assert len(counted) == 4
    assert np.allclose([frame.time_s for frame in found], TIMES, atol=1e-3)
    assert [round(frame.pixels.mean() / 60) for frame in found] == [0, 1, 2, 3]


def test_an_error_of_the_frames_leaves_no_file(tmp_path: Path) -> None:
    def broken() -> Generator[tuple[float, np.ndarray]]:
        yield 0.0, np.zeros((32, 32, 3), np.uint8)
        raise Smirk3dError("the source has changed")

    with pytest.raises(Smirk3dError, match="has changed"):
        write_frames(broken(), tmp_path / "v.mp4", 25.0)
    assert not list(tmp_path.iterdir())


def test_even_sides() -> None:
    assert crop_to_even(np.zeros((33, 47, 3), np.uint8)).shape == (32, 46, 3)
