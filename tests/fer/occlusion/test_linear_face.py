"""The linear model of faces: exact on faces of its own kind, and deaf to hidden pixels."""

from __future__ import annotations

import torch

from smirk3d.fer.occlusion.linear_face import LinearFace, from_model_patches, model_patches
from smirk3d.fer.occlusion.patches import N_PATCHES


def _faces(count: int, seed: int) -> torch.Tensor:
    """Return symmetric windows of ten smooth directions."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 48), torch.linspace(-1, 1, 48), indexing="ij")
    waves = torch.stack([torch.cos(k * x) * torch.sin(k * y + k) for k in range(1, 11)])
    return torch.einsum("nk,kyx->nyx", torch.randn(count, 10, generator=generator), waves)[:, None]


def test_patches_are_put_together_again() -> None:
    windows = torch.rand(2, 1, 48, 48)
    assert torch.equal(from_model_patches(model_patches(windows)), windows)


def test_a_face_of_its_kind_is_completed_from_a_part() -> None:
    model = LinearFace()
    model.learn(_faces(300, 0))
    faces = _faces(4, 1)
    hidden = torch.zeros(4, N_PATCHES, dtype=torch.bool)
    hidden[:, :70] = True
    fit = model.fit(faces, hidden)
    assert float((fit - faces).square().mean() / faces.square().mean()) < 1e-3
    changed = faces.clone()
    changed[:, :, :20] = 9.0  # within the hidden patches
    torch.testing.assert_close(model.fit(changed, hidden), fit)


def test_brightness_and_contrast_are_free() -> None:
    model = LinearFace()
    model.learn(1 + _faces(300, 0))
    nothing = torch.zeros(2, N_PATCHES, dtype=torch.bool)
    faces = 1.5 + _faces(2, 2)
    assert float((model.fit(faces, nothing) - faces).abs().max()) < 0.1
