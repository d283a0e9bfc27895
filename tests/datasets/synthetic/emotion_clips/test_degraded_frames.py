"""What cameras and things before a face do to frames."""

from __future__ import annotations

import numpy as np
import pytest

from smirk3d.authoring.load import load_head
from smirk3d.datasets.synthetic.emotion_clips.clip_encoder import ClipEncoder
from smirk3d.datasets.synthetic.emotion_clips.clip_frames import ClipFrames
from smirk3d.datasets.synthetic.emotion_clips.degraded_frames import degraded_frames
from smirk3d.datasets.synthetic.emotion_clips.motion import ClipMotion
from smirk3d.datasets.synthetic.emotion_clips.rendering import ClipRenderer
from smirk3d.head.arkit import ARKIT_NAMES

JAW = ARKIT_NAMES.index("jawOpen")


@pytest.fixture(scope="module")
def frames() -> ClipFrames:
    weights = np.zeros((3, 52), np.float32)
    weights[1, JAW] = 0.9
    motion = ClipMotion(1, 0, weights, np.zeros((3, 3), np.float32), weights[:, JAW])
    return ClipRenderer(load_head("open")).frames(motion, np.random.default_rng(1))


def test_blurred_frames_have_less_detail(frames: ClipFrames) -> None:
    usual, blurred = (degraded_frames(frames, kind, np.random.default_rng(0))[0] for kind in ("none", "blurred"))
    steps = [np.abs(np.diff(each.pixels.astype(float), axis=2)).mean() for each in (usual, blurred)]
    assert steps[1] < 0.6 * steps[0]
    assert (usual.points_px == frames.points_px).all()


def test_a_part_of_an_occluded_face_is_hidden(frames: ClipFrames) -> None:
    occluded, visible = degraded_frames(frames, "occluded", np.random.default_rng(2))
    assert visible.min() < 0.65 and visible.shape == (4,)
    assert (degraded_frames(frames, "faint", np.random.default_rng(2))[1] == 1).all()
    assert np.abs(occluded.pixels.astype(float) - frames.pixels).max() > 50


def test_the_encoder_reads_an_open_mouth(frames: ClipFrames) -> None:
    weights = ClipEncoder(load_head("open")).weights(frames)
    assert weights.shape == (3, 52) and weights.min() >= 0 and weights.max() <= 1
    assert weights[1, JAW] > 0.4 > 0.2 > max(weights[0, JAW], weights[2, JAW])
