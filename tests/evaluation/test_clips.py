"""Clips with known motion."""

import av
import numpy as np
import pytest
from PIL import Image

from smirk3d.evaluation.clips import (
    FPS,
    SIZE_PX,
    StillPhoto,
    talking_motion,
    write_clip,
    write_moving_photo,
    write_talking_clip,
)
from smirk3d.head.arkit import ARKIT_NAMES


def frames_of(path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == FPS
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_a_talking_person_moves_within_bounds():
    motion = talking_motion(250)
    assert motion.weights.shape == (250, 52) and motion.angles_deg.shape == (250, 3)
    assert motion.weights.min() == 0 and motion.weights.max() == 1
    active = {ARKIT_NAMES[k] for k in np.flatnonzero(np.ptp(motion.weights, axis=0) > 0.4)}
    assert len(active) == 14 and {"jawOpen", "eyeBlinkLeft", "mouthSmileLeft"} <= active
    blink = motion.weights[:, ARKIT_NAMES.index("eyeBlinkLeft")]
    assert (blink == 1).sum() == 6 and np.array_equal(blink, motion.weights[:, ARKIT_NAMES.index("eyeBlinkRight")])
    assert np.abs(motion.angles_deg).max(axis=0) == pytest.approx([18, 7, 5], abs=0.1)


def test_a_photo_moves_as_it_says(tmp_path):
    """A white dot at the centre of the face follows the pan; another one shows the zoom."""
    photo = np.zeros((300, 400, 3), np.uint8)
    photo[147:153, 197:203] = 255
    path = tmp_path / "moving.mp4"
    motion = write_moving_photo(StillPhoto("moving", Image.fromarray(photo), (200, 150)), path, 8)
    assert motion[:, 0] == pytest.approx(12 * np.sin(np.pi / 4 * np.arange(8)))
    assert motion[:, 1].min() == pytest.approx(0.9) and motion[:, 1].max() == pytest.approx(1.6)
    frames = frames_of(path)
    assert len(frames) == 8 and frames[0].shape == (SIZE_PX[1], SIZE_PX[0], 3)
    for phase, frame in zip(np.pi / 4 * np.arange(8), frames):
        bright = frame.mean(axis=2)
        rows, columns = np.indices(bright.shape) + 0.5
        x, y = (columns * bright).sum() / bright.sum(), (rows * bright).sum() / bright.sum()
        assert (x, y) == pytest.approx((320 + 60 * np.sin(phase), 240 + 30 * np.cos(phase) - 20), abs=1.5)


def test_frames_are_written_in_order(tmp_path):
    path = tmp_path / "clip.mp4"
    write_clip(path, (np.full((SIZE_PX[1], SIZE_PX[0], 3), 40 * k, np.uint8) for k in range(5)))
    assert [frame.mean() for frame in frames_of(path)] == pytest.approx([0, 40, 80, 120, 160], abs=4)


def test_the_same_seed_shows_the_same_person(tmp_path):
    motion = talking_motion(5)
    paths = [tmp_path / f"{k}.mp4" for k in range(3)]
    for path, seed in zip(paths, (3, 3, 4)):
        write_talking_clip(path, motion, seed)
    first, again, other = (np.stack(frames_of(path)).astype(float) for path in paths)
    assert len(first) == 5 and np.array_equal(first, again) and np.abs(first - other).mean() > 5
