"""Local colour correction of neurally rendered photos."""

import pytest
import torch
from scipy.ndimage import gaussian_filter

from smirk3d.masking import MaskedPhoto, match_colors


def masked_version(photo, share=0.02, side=24):
    """Photos (B, 3, H, W) without a central square, of which a share of the pixels is sampled."""
    removed = torch.zeros_like(photo[:, :1], dtype=torch.bool)
    removed[..., side:-side, side:-side] = True
    chosen = removed & (torch.rand(removed.shape, generator=torch.Generator().manual_seed(1)) < share)
    return MaskedPhoto(photo * (~removed | chosen), ~removed, chosen)


@pytest.fixture
def photo():
    """Smooth colour images, none of them black or white."""
    noise = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)).numpy()
    smooth = torch.from_numpy(gaussian_filter(noise, (0, 0, 3, 3)))
    return 0.5 + 2 * (smooth - 0.5)


def test_a_perfect_rendering_is_unchanged(photo):
    torch.testing.assert_close(
        match_colors(photo, masked_version(photo), ~masked_version(photo).keep_mask), photo, atol=1e-5, rtol=0
    )


def test_separate_tints_of_face_and_surroundings_are_removed(photo):
    masked = masked_version(photo)
    inside, outside = (torch.tensor(tint)[:, None, None] for tint in ([0.4, 0.8, 0.9], [0.9, 0.3, 0.5]))
    rendered = photo * torch.where(masked.keep_mask, outside, inside)
    torch.testing.assert_close(match_colors(rendered, masked, ~masked.keep_mask), photo, atol=2e-3, rtol=0)


def test_fine_structure_is_kept_as_rendered(photo):
    checks = 1 + 0.1 * ((torch.arange(96)[:, None] + torch.arange(96)) % 2 * 2 - 1)
    masked = masked_version(photo, share=0.3)
    ratio = match_colors(photo * checks * 0.7, masked, ~masked.keep_mask) / photo
    contrast = (ratio[..., ::2, ::2] / ratio[..., ::2, 1::2]).mean()
    assert contrast == pytest.approx(0.9 / 1.1, abs=0.02)


def test_sampled_black_pixels_count_and_removed_ones_do_not(photo):
    masked = masked_version(photo)
    dark = MaskedPhoto(photo * masked.keep_mask, masked.keep_mask, masked.sampled_mask)
    assert match_colors(photo, dark, ~masked.keep_mask)[:, :, 24:-24, 24:-24].max() < 0.02
    nothing = MaskedPhoto(photo * masked.keep_mask, masked.keep_mask, torch.zeros_like(masked.sampled_mask))
    center = (..., slice(24, -24), slice(24, -24))
    torch.testing.assert_close(match_colors(photo, nothing, ~masked.keep_mask)[center], photo[center])


def test_far_from_all_known_pixels_their_mean_counts():
    photo = torch.full((1, 3, 200, 200), 0.6)
    everywhere = torch.ones(1, 1, 200, 200, dtype=torch.bool)
    corner = torch.zeros_like(everywhere)
    corner[..., :3, :3] = True
    matched = match_colors(photo / 2, MaskedPhoto(photo * corner, ~everywhere, corner), everywhere)
    torch.testing.assert_close(matched, photo, atol=5e-2, rtol=0)


def test_the_rim_follows_the_part_it_resembles():
    """A grey photo, its face rendered red and the rest grey, with a rim between them without known pixels."""
    face, removed = torch.zeros(2, 1, 1, 60, 60, dtype=torch.bool)
    face[..., 20:40, 20:40], removed[..., 14:46, 14:46] = True, True
    masked = MaskedPhoto(torch.full((1, 3, 60, 60), 0.5) * (~removed | face), ~removed, face)
    red, grey = torch.tensor([0.8, 0.3, 0.2])[:, None, None], torch.full((3, 1, 1), 0.5)
    for is_skin in (True, False):
        rendered = torch.where(face | (removed & is_skin), red, grey)
        torch.testing.assert_close(match_colors(rendered, masked, face), grey.expand(1, 3, 60, 60), atol=0.01, rtol=0)


def test_a_gradient_reaches_the_rendered_image(photo):
    rendered = (photo * 0.5).requires_grad_()
    match_colors(rendered, masked_version(photo), ~masked_version(photo).keep_mask).mean().backward()
    assert rendered.grad is not None and rendered.grad.isfinite().all() and rendered.grad.abs().max() > 0
