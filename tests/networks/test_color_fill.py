"""The colours between the known pixels of a masked photo."""

from __future__ import annotations

import torch
from torch import Tensor

from smirk3d.networks.color_fill import fill_colors

SIZE = 64


def scene(share: float = 0.02) -> tuple[Tensor, Tensor, Tensor]:
    """Return a photo with a bright face on a dark gradient, its mesh image, and the photo with a few known pixels."""
    generator = torch.Generator().manual_seed(3)
    x = torch.linspace(-1, 1, SIZE)
    face = (x[None, :] ** 2 + x[:, None] ** 2 < 0.5).expand(1, 3, SIZE, SIZE)
    ramp = 0.5 + 0.1 * x.expand(1, 3, SIZE, SIZE)
    photo = torch.where(face, ramp + 0.3, ramp - 0.3)
    known = ~face | (torch.rand(1, 1, SIZE, SIZE, generator=generator) < share)
    return photo, face.float() * 0.7, photo * known


def test_the_face_is_filled_from_its_own_pixels_and_the_rest_stays() -> None:
    photo, mesh, masked = scene()
    filled, face = fill_colors(masked, mesh), mesh > 0
    torch.testing.assert_close(filled[~face], photo[~face])
    assert (filled - photo)[face].abs().max() < 0.1  # the surroundings are 0.6 darker
    assert (filled - photo)[face].abs().mean() < 0.03


def test_a_rim_that_the_mesh_does_not_cover_takes_the_colour_of_the_surroundings() -> None:
    photo, mesh, masked = scene()
    x = torch.linspace(-1, 1, SIZE)
    rim = ((x[None, :] ** 2 + x[:, None] ** 2 < 0.6).expand_as(photo)) & (mesh == 0)
    filled = fill_colors(masked.masked_fill(rim, 0), mesh)
    assert (filled - photo)[rim].abs().max() < 0.1


def test_a_constant_colour_is_kept_exactly() -> None:
    _, mesh, masked = scene()
    constant = (masked > 0) * torch.tensor([0.2, 0.5, 0.8]).view(1, 3, 1, 1)
    assert torch.allclose(fill_colors(constant, mesh), torch.tensor([0.2, 0.5, 0.8]).view(1, 3, 1, 1), atol=1e-5)


def test_without_known_pixels_nothing_is_invented() -> None:
    _, mesh, masked = scene()
    assert not fill_colors(torch.zeros_like(masked), mesh).any()


def test_images_of_a_batch_do_not_mix_and_odd_sides_are_filled() -> None:
    _, mesh, masked = scene()
    cut = (masked[..., :48, :], mesh[..., :48, :])
    both = fill_colors(torch.cat([cut[0], 0.5 * cut[0]]), torch.cat([cut[1], cut[1]]))
    torch.testing.assert_close(both[1:], 0.5 * fill_colors(*cut))
    assert (fill_colors(masked[..., :48, :49], mesh[..., :48, :49]) > 0).all()
