"""Sub-clips, and features of frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from smirk3d.fer.clips.frame_features import N_FRAME_FEATURES, RATE_FPS, frame_features, mirrored, resampled
from smirk3d.fer.clips.sampling import (
    SUB_CLIP_FRAMES,
    evaluation_sub_clips,
    frames_at,
    held_sub_clips,
    random_sub_clips,
    sub_clip,
)
from smirk3d.head.arkit import ARKIT_NAMES


def _ramp(count: int = 2, frames: int = 32) -> torch.Tensor:
    return torch.arange(frames, dtype=torch.float32)[None, :, None].repeat(count, 1, 3)


def test_frames_are_linear_between_frames() -> None:
    positions = torch.tensor([[0.0, 3.25, 31.0]])
    assert torch.allclose(frames_at(_ramp(1), positions)[0, :, 0], positions[0])


def test_places_learn() -> None:
    positions = torch.tensor([[4.3]], requires_grad=True)
    frames_at(_ramp(1).square(), positions).sum().backward()
    assert positions.grad is not None and positions.grad.item() == pytest.approx(3 * (25 - 16))


def test_a_sub_clip_lies_within_the_clip() -> None:
    for seed in range(5):
        features, positions = random_sub_clips(_ramp(8), torch.Generator().manual_seed(seed))
        assert features.shape == (8, SUB_CLIP_FRAMES, 3)
        assert positions.min() >= 0 and positions.max() <= 31
        assert (positions.diff() >= 0).all()
        assert torch.allclose(features[..., 0], positions, atol=1e-4)


def test_span_and_place() -> None:
    _, positions = sub_clip(_ramp(1, 41), torch.tensor([0.5]), torch.tensor([1.0]))
    assert positions[0, 0] == pytest.approx(20) and positions[0, -1] == pytest.approx(40)


def test_a_held_expression_lies_within_its_key() -> None:
    for first, last in ((0.0, 31.0), (4.5, 9.0), (28.0, 31.0)):
        features, positions = held_sub_clips(_ramp(1), torch.tensor([[first, last]]))
        assert positions[0, 0] == pytest.approx(first, abs=0.05) and positions[0, -1] == pytest.approx(last, abs=0.05)
        assert torch.allclose(features[..., 0], positions, atol=1e-4)


def test_the_sub_clips_of_a_prediction_are_fixed() -> None:
    first, again = evaluation_sub_clips(_ramp()), evaluation_sub_clips(_ramp())
    assert torch.equal(first[0], again[0])
    assert len({tuple(row.tolist()) for row in first[1][:, 0]}) == len(first[1])


def test_resampling_keeps_times() -> None:
    times_s = np.arange(51) / 25
    found, found_s = resampled(times_s[:, None].copy(), times_s)
    assert found[:, 0] == pytest.approx(found_s, abs=1e-6)
    assert found_s == pytest.approx(np.arange(len(found_s)) / RATE_FPS)


def test_gaps_are_bridged_or_cut_out() -> None:
    times_s = np.arange(101) / 25
    values = times_s[:, None].copy()
    values[20:30] = np.nan
    assert len(resampled(values, times_s)[0]) == 33
    values[30:80] = np.nan
    _, found_s = resampled(values, times_s)
    assert not ((found_s > 1.4) & (found_s < 2.6)).any()
    with pytest.raises(ValueError, match="no frame"):
        resampled(np.full_like(values, np.nan), times_s)


def test_one_frame_is_a_clip() -> None:
    found, found_s = resampled(np.ones((1, 4)), np.zeros(1))
    assert found.shape == (1, 4) and found_s.tolist() == [0]


def test_mirrored_frames() -> None:
    rng = np.random.default_rng(0)
    own = frame_features(rng.normal(size=(5, 256)), rng.random((5, 52)), rng.normal(size=(5, 3)))
    assert own.shape == (5, N_FRAME_FEATURES)
    twice = mirrored(mirrored(own))
    assert np.allclose(twice, own) and not np.allclose(mirrored(own), own)
    left, right = (256 + ARKIT_NAMES.index(f"mouthSmile{side}") for side in ("Left", "Right"))
    assert (mirrored(own)[:, left] == own[:, right]).all()
