"""Curves over time, checked on the pixels."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from synthetic_track import synthetic_track

from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.track import Status
from smirk3d.viz.curves import draw_curves, most_active, save_curves

LOST = np.array([0xD6, 0xDA, 0xE1])


@pytest.fixture(scope="module")
def track(open_head):
    return synthetic_track(open_head, 40, lost=slice(10, 20))


def with_ranges(track, ranges: dict[str, float]):
    weights = np.zeros_like(track.arkit)
    for name, value in ranges.items():
        weights[1, ARKIT_NAMES.index(name)] = value
    return track.replace(arkit=weights)


def test_the_largest_ranges_are_chosen_and_pairs_stay_together(track):
    given = {"mouthSmileRight": 0.9, "jawOpen": 0.8, "mouthSmileLeft": 0.7, "cheekPuff": 0.01}
    assert most_active(with_ranges(track, given)) == ["mouthSmileLeft", "mouthSmileRight", "jawOpen"]
    assert len(most_active(with_ranges(track, dict.fromkeys(ARKIT_NAMES, 0.5)))) == 10


def test_a_constant_weight_is_not_active(track):
    assert track.arkit[0, ARKIT_NAMES.index("eyeLookOutRight")] == 0.5
    assert most_active(track) == ["eyeBlinkLeft", "mouthSmileLeft"]


@pytest.mark.parametrize("size", [(1280, 720), (641, 401)])
def test_the_image_has_the_requested_size(track, size):
    image = draw_curves(track, size)
    assert image.shape == (size[1], size[0], 3) and image.dtype == np.uint8


def test_the_gap_is_shaded_at_its_time(track):
    row = draw_curves(track)[250]
    shaded = np.flatnonzero((row == LOST).all(axis=1))
    left, right = 0.065 * 1280, 0.815 * 1280  # of the axes, which span the track's time
    expected = left + (right - left) * np.array([9, 20]) / 39
    np.testing.assert_allclose([shaded.min(), shaded.max()], expected, atol=3)


def test_a_rising_weight_rises_from_left_to_right(open_head):
    track = synthetic_track(open_head, 40)
    weights = np.zeros_like(track.arkit)
    weights[:, 0] = np.linspace(0, 1, 40)
    image = draw_curves(track.replace(arkit=weights))[70:450, 83:1043].astype(int)
    blue = np.all(np.abs(image - [0x00, 0x72, 0xB2]) < 30, axis=2)
    heights = [np.flatnonzero(blue[:, x]).mean() for x in (50, 400, 900)]
    assert heights[0] > heights[1] > heights[2]


@pytest.mark.parametrize("status", [Status.LOST, Status.SEEN])
def test_tracks_without_a_movement_are_drawn(open_head, status):
    track = synthetic_track(open_head, 1, lost=slice(0, 1) if status == Status.LOST else None)
    assert most_active(track) == []
    assert draw_curves(track).min() < 100


def test_the_image_is_written(track, tmp_path):
    save_curves(track, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as image:
        np.testing.assert_array_equal(np.asarray(image), draw_curves(track))
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]
