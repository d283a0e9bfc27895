"""The clip network, its predictions and its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from smirk3d.errors import Smirk3dError
from smirk3d.fer.clips.frame_features import N_FRAME_FEATURES
from smirk3d.fer.clips.network import ClipNetwork, load_clip_network
from smirk3d.fer.clips.predictor import key_span, sub_clip_predictions
from smirk3d.fer.clips.sampling import EVALUATION_SUB_CLIPS
from smirk3d.networks.half_file import save_half


@pytest.fixture(scope="module")
def network() -> ClipNetwork:
    torch.manual_seed(0)
    return ClipNetwork().eval()


def _clips(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 24, N_FRAME_FEATURES, generator=torch.Generator().manual_seed(1))


def test_it_is_small(network: ClipNetwork) -> None:
    assert sum(each.numel() for each in network.parameters()) < 700_000


@torch.no_grad()
def test_clips_of_a_batch_are_independent(network: ClipNetwork) -> None:
    together, alone = network(_clips()), network(_clips()[1:2])
    for ours, own in zip(together, alone):
        assert torch.allclose(ours[1:2], own, atol=1e-5)


@torch.no_grad()
def test_the_order_of_frames_counts(network: ClipNetwork) -> None:
    assert not torch.allclose(network(_clips()).logits, network(_clips().flip(1)).logits, atol=1e-3)


@pytest.mark.parametrize("streams", ["both", "long", "short"])
def test_the_key_expression_learns_by_the_short_stream(streams: str) -> None:
    torch.manual_seed(0)
    network = ClipNetwork(streams)
    network(_clips()).logits.square().sum().backward()
    gradient = network.key[0].weight.grad
    assert (gradient is not None and bool(gradient.abs().sum() > 0)) == (streams != "long")


@torch.no_grad()
def test_missing_numbers_are_means(network: ClipNetwork) -> None:
    clips = _clips()
    network.set_scale(clips)
    missing = clips.clone()
    missing[..., :256] = float("nan")
    mean = clips.clone()
    mean[..., :256] = network.mean[:256]
    assert torch.allclose(network(missing).logits, network(mean).logits, atol=1e-4)


def test_predictions_of_sub_clips(network: ClipNetwork) -> None:
    found = sub_clip_predictions(network, _clips(5))
    assert found.probabilities.shape == (len(EVALUATION_SUB_CLIPS), 5, 8)
    assert found.mean.sum(axis=1) == pytest.approx(np.ones(5))
    assert found.key.shape == (5, 24) and found.key.min() >= 0 and found.key.max() <= 1
    first, middle, last = found.key_spans.T
    assert (first <= middle).all() and (middle <= last).all()


def test_the_key_span_is_the_run_about_the_largest_value() -> None:
    curve = np.array([0.0, 0.9, 0.1, 0.0, 0.5, 1.0, 1.0, 0.0, 0.0])
    assert key_span(curve) == pytest.approx([4.0, 5.25, 6.5])
    assert key_span(np.ones(4)) == pytest.approx([0, 1.5, 3])


def test_a_file_holds_the_network(network: ClipNetwork, tmp_path: Path) -> None:
    path = tmp_path / "clips.safetensors"
    save_half(network, path, {"seed": "3"})
    assert path.stat().st_size < 1.5e6
    found = load_clip_network(path)(_clips()).logits
    assert torch.allclose(found, network(_clips()).logits, atol=0.02)
    save_half(network, path, {"expression": "0123456789abcdef"})
    with pytest.raises(Smirk3dError, match="vectors of another expression network"):
        load_clip_network(path)
    path.write_bytes(b"no")
    with pytest.raises(Smirk3dError, match="clip network"):
        load_clip_network(path)
