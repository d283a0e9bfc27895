"""Rendered windows of synthetic clips, and the weights that tracking would read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from smirk3d.datasets.synthetic.emotion_clips import clip_set
from smirk3d.datasets.synthetic.emotion_clips.clip_set import SyntheticClips, random_motions
from smirk3d.datasets.synthetic.emotion_clips.estimation_noise import (
    CORRELATION,
    correlated,
    estimated_angles,
    estimated_weights,
)
from smirk3d.datasets.synthetic.emotion_clips.motion import HARDNESS, N_FRAMES
from smirk3d.head.model import HeadModel


@pytest.fixture(scope="module")
def small_shards() -> None:
    patch = pytest.MonkeyPatch()
    patch.setattr(clip_set, "SHARD", 2)
    yield  # type: ignore[misc]
    patch.undo()


def test_clips_repeat_and_are_kept(open_head: HeadModel, tmp_path: Path, small_shards: None) -> None:
    clips = SyntheticClips(open_head, 2, 5, tmp_path)
    (windows,) = clips.windows()
    assert windows.shape == (2, N_FRAMES, 48, 48) and windows.dtype == np.uint8
    assert windows.std() > 10
    files = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.npy")}
    (again,) = SyntheticClips(open_head, 1, 5, tmp_path).windows()
    assert (again == windows[:1]).all()
    assert files == {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.npy")}
    truth = clips.truth()
    assert truth.emotion.tolist() == [0, 1] and truth.weights.shape == (2, N_FRAMES, 52)
    read = clips.regressed_weights()
    assert read.shape == truth.weights.shape and np.corrcoef(read.ravel(), truth.weights.ravel())[0, 1] > 0.4
    assert not clips.is_photo.any()


def test_nothing_to_make_is_an_error(open_head: HeadModel) -> None:
    with pytest.raises(ValueError, match="positive"):
        SyntheticClips(open_head, 0, 1)


def test_hidden_regions_are_not_read() -> None:
    truth = random_motions(64, 0)
    hidden = replace(truth, visible=np.zeros_like(truth.visible))
    own, less = (estimated_weights(each, np.random.default_rng(1)) for each in (truth, hidden))
    assert np.corrcoef(own.ravel(), truth.weights.ravel())[0, 1] > 0.6
    assert abs(np.corrcoef(less.ravel(), truth.weights.ravel())[0, 1]) < 0.15
    assert own.min() >= 0 and own.max() <= 1


def test_blurred_clips_are_read_worse() -> None:
    truth = random_motions(64, 0)
    sharp = replace(truth, hardness=np.zeros_like(truth.hardness))
    blurred = replace(truth, hardness=np.full_like(truth.hardness, HARDNESS.index("blurred")))
    error = [
        np.abs(estimated_weights(each, np.random.default_rng(1)) - truth.weights).mean() for each in (sharp, blurred)
    ]
    assert error[1] > 1.2 * error[0]


def test_errors_of_successive_frames_are_alike() -> None:
    noise = correlated(200, 20, 3, np.random.default_rng(0))
    assert noise.std() == pytest.approx(1, abs=0.03)
    assert (noise[:, 1:] * noise[:, :-1]).mean() == pytest.approx(CORRELATION, abs=0.03)
    truth = random_motions(64, 0)
    assert 1 < np.abs(estimated_angles(truth, np.random.default_rng(2)) - truth.angles_deg).mean() < 3
