"""The masked autoencoder: what hidden patches may not change, and that both ways of hiding them agree."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from smirk3d.errors import Smirk3dError
from smirk3d.fer.occlusion.network import OcclusionNetwork, load_occlusion_network, normalize
from smirk3d.fer.occlusion.patches import N_PATCHES, SIDE_PX, to_patches, to_pixels
from smirk3d.networks.half_file import save_half


@pytest.fixture(scope="module")
def network() -> OcclusionNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = OcclusionNetwork().eval().requires_grad_(False)
        network.linear.learn(torch.rand(200, 1, 48, 48))
        torch.nn.init.normal_(network.decoder.pixels.weight, std=0.1)
        return network


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 1, SIDE_PX, SIDE_PX, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def hidden() -> torch.Tensor:
    return torch.rand(2, N_PATCHES, generator=torch.Generator().manual_seed(2)) < 0.4


def test_pixels_of_hidden_patches_change_nothing(
    network: OcclusionNetwork, images: torch.Tensor, hidden: torch.Tensor
) -> None:
    other = torch.where(to_pixels(hidden) > 0, 1 - images, images)
    torch.testing.assert_close(network.rebuild(images, hidden), network.rebuild(other, hidden))
    assert not torch.allclose(network.detect(images), network.detect(other))


def test_hiding_tokens_is_leaving_them_out(
    network: OcclusionNetwork, images: torch.Tensor, hidden: torch.Tensor
) -> None:
    tokens = network.tokenize(images, hidden).tokens
    _, masked = network.encode(tokens, hidden)
    for k in range(len(images)):
        _, alone = network.encode(tokens[k : k + 1, ~hidden[k]])
        torch.testing.assert_close(masked[k, ~hidden[k]], alone[0], rtol=1e-4, atol=1e-4)


def test_rebuilding_follows_brightness_and_contrast(
    network: OcclusionNetwork, images: torch.Tensor, hidden: torch.Tensor
) -> None:
    quiet = 0.4 + 0.2 * images  # far from black and white, where results are cut off
    normalized, mean, scale = normalize(quiet, hidden)
    visible = to_patches(normalized)[~hidden]
    assert abs(float(visible.mean())) < 0.02 and float(visible.std()) < 1
    assert mean.shape == scale.shape == (2, 1, 1, 1)
    brighter, _, _ = normalize(quiet + 0.1, hidden)
    torch.testing.assert_close(brighter, normalized, rtol=1e-3, atol=1e-3)


def test_distances_start_at_zero(network: OcclusionNetwork, images: torch.Tensor) -> None:
    distances = network.detect(images)
    assert distances.shape == (2, N_PATCHES) and bool((distances >= 0).all())


def test_a_file_is_small_and_reads_back(network: OcclusionNetwork, images: torch.Tensor, tmp_path: Path) -> None:
    save_half(network, path := tmp_path / "network.safetensors", {})
    assert path.stat().st_size < 3.2e6
    torch.testing.assert_close(
        load_occlusion_network(path).detect(images), network.detect(images), rtol=0.05, atol=0.05
    )
    path.write_bytes(b"nothing")
    with pytest.raises(Smirk3dError, match="occlusion network"):
        load_occlusion_network(path)
