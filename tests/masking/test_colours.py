"""Colours of painted photos after the seen pixels."""

import pytest
import torch
from scipy.ndimage import gaussian_filter

from smirk3d.masking import MaskedPhoto, match_colours


def seen_of(photo, share=0.02, side=24):
    """What is seen of photos (B, 3, H, W): all outside a middle square, and a share of the pixels there."""
    removed = torch.zeros_like(photo[:, :1], dtype=torch.bool)
    removed[..., side:-side, side:-side] = True
    chosen = removed & (torch.rand(removed.shape, generator=torch.Generator().manual_seed(1)) < share)
    return MaskedPhoto(photo * (~removed | chosen), ~removed, chosen)


@pytest.fixture
def photo():
    """Smooth pictures in colours, and none of them black or white."""
    noise = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)).numpy()
    smooth = torch.from_numpy(gaussian_filter(noise, (0, 0, 3, 3)))
    return 0.5 + 2 * (smooth - 0.5)


def test_a_perfect_picture_stays(photo):
    torch.testing.assert_close(
        match_colours(photo, seen_of(photo), ~seen_of(photo).keep_mask), photo, atol=1e-5, rtol=0
    )


def test_a_tint_of_the_face_and_another_of_the_rest_are_taken_off(photo):
    seen = seen_of(photo)
    inside, outside = (torch.tensor(tint)[:, None, None] for tint in ([0.4, 0.8, 0.9], [0.9, 0.3, 0.5]))
    painted = photo * torch.where(seen.keep_mask, outside, inside)
    torch.testing.assert_close(match_colours(painted, seen, ~seen.keep_mask), photo, atol=2e-3, rtol=0)


def test_fine_structure_is_the_painter_s(photo):
    checks = 1 + 0.1 * ((torch.arange(96)[:, None] + torch.arange(96)) % 2 * 2 - 1)
    seen = seen_of(photo, share=0.3)
    ratio = match_colours(photo * checks * 0.7, seen, ~seen.keep_mask) / photo
    contrast = (ratio[..., ::2, ::2] / ratio[..., ::2, 1::2]).mean()
    assert contrast == pytest.approx(0.9 / 1.1, abs=0.02)


def test_sampled_black_counts_and_removed_black_does_not(photo):
    seen = seen_of(photo)
    dark = MaskedPhoto(photo * seen.keep_mask, seen.keep_mask, seen.sampled_mask)
    assert match_colours(photo, dark, ~seen.keep_mask)[:, :, 24:-24, 24:-24].max() < 0.02
    nothing = MaskedPhoto(photo * seen.keep_mask, seen.keep_mask, torch.zeros_like(seen.sampled_mask))
    middle = (..., slice(24, -24), slice(24, -24))
    torch.testing.assert_close(match_colours(photo, nothing, ~seen.keep_mask)[middle], photo[middle])


def test_far_from_all_seen_pixels_their_mean_counts():
    photo = torch.full((1, 3, 200, 200), 0.6)
    everywhere = torch.ones(1, 1, 200, 200, dtype=torch.bool)
    corner = torch.zeros_like(everywhere)
    corner[..., :3, :3] = True
    matched = match_colours(photo / 2, MaskedPhoto(photo * corner, ~everywhere, corner), everywhere)
    torch.testing.assert_close(matched, photo, atol=5e-2, rtol=0)


def test_the_rim_follows_what_it_is_painted_like():
    """A grey photo, its face painted red and the rest grey; between them lies a rim of which nothing is seen."""
    face, removed = torch.zeros(2, 1, 1, 60, 60, dtype=torch.bool)
    face[..., 20:40, 20:40], removed[..., 14:46, 14:46] = True, True
    seen = MaskedPhoto(torch.full((1, 3, 60, 60), 0.5) * (~removed | face), ~removed, face)
    red, grey = torch.tensor([0.8, 0.3, 0.2])[:, None, None], torch.full((3, 1, 1), 0.5)
    for is_skin in (True, False):
        painted = torch.where(face | (removed & is_skin), red, grey)
        torch.testing.assert_close(match_colours(painted, seen, face), grey.expand(1, 3, 60, 60), atol=0.01, rtol=0)


def test_a_gradient_reaches_what_was_painted(photo):
    painted = (photo * 0.5).requires_grad_()
    match_colours(painted, seen_of(photo), ~seen_of(photo).keep_mask).mean().backward()
    assert painted.grad is not None and painted.grad.isfinite().all() and painted.grad.abs().max() > 0
