"""The autoencoder: posterior, sampling, size, file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from smirk3d.errors import Smirk3dError
from smirk3d.fer.vae.attributes import PACKAGED
from smirk3d.fer.vae.network import N_LATENT, FaceVAE, Posterior
from smirk3d.fer.vae.weights import load_face_vae
from smirk3d.networks.half_file import save_half


@pytest.fixture(scope="module")
def network() -> FaceVAE:
    torch.manual_seed(0)
    return FaceVAE(len(PACKAGED)).eval()


def test_divergence_is_that_of_torch() -> None:
    random = torch.Generator().manual_seed(0)
    posterior = Posterior(*torch.randn(2, 3, N_LATENT, generator=random))
    expected = kl_divergence(Normal(posterior.mean, (posterior.log_variance / 2).exp()), Normal(0.0, 1.0))
    assert torch.allclose(posterior.kl(), expected, atol=1e-5)


def test_samples_have_the_moments_of_the_posterior() -> None:
    mean, log_variance = torch.linspace(-2, 2, N_LATENT), torch.linspace(-3, 1, N_LATENT)
    posterior = Posterior(mean.expand(4000, -1), log_variance.expand(4000, -1))
    samples = posterior.sample(torch.Generator().manual_seed(0))
    std = (log_variance / 2).exp()
    assert ((samples.mean(0) - mean) / std).abs().max() < 0.08
    assert (samples.std(0) / std - 1).abs().max() < 0.06


def test_codes_are_sampled_with_the_covariance_of_the_faces(network: FaceVAE) -> None:
    factor = torch.eye(N_LATENT)
    factor[1, 0] = 2.0
    network.latent_factor.copy_(factor)
    codes = network.sample(6000, torch.Generator().manual_seed(0), temperature=0.5)
    expected = 0.25 * factor @ factor.T
    assert (codes.T.cov()[:3, :3] - expected[:3, :3]).abs().max() < 0.08
    network.latent_factor.copy_(torch.eye(N_LATENT))


def test_the_network_is_small_and_keeps_the_shape_of_images(network: FaceVAE) -> None:
    assert sum(each.numel() for each in network.parameters()) <= 1_300_000
    with torch.inference_mode():
        posterior = network.encode(torch.rand(2, 3, 64, 64))
        assert posterior.mean.shape == posterior.log_variance.shape == (2, N_LATENT)
        assert network.decode(posterior.mean).shape == (2, 3, 64, 64)


def test_a_file_keeps_the_network(network: FaceVAE, tmp_path: Path) -> None:
    path = tmp_path / "vae.safetensors"
    save_half(network, path, {})
    assert path.stat().st_size <= 2_800_000
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(load_face_vae(path).encode(images).mean, network.encode(images).mean, atol=1e-2)
    with pytest.raises(Smirk3dError, match=r"other\.safetensors: cannot be read as a face autoencoder"):
        load_face_vae(tmp_path / "other.safetensors")
