"""One meaning of "mask" in both paths, and pixels that move with the skin."""

import math
from dataclasses import replace

import pytest
import torch
from training_context import SIZE, seeded, small_batch, small_head

from smirk3d.masking import MaskingConfig
from smirk3d.params import FaceParams
from smirk3d.train.recipes.neural_synthesis_inputs import mask_photos, render_heads

CAMERA = torch.tensor([[8.0, 0.01, -0.01]]).repeat(2, 1)
PLAIN = MaskingConfig(noise_std=0.0, drop_probability=0.0, cycle_drop_probability=0.0, dilation_px=2)


@pytest.fixture(scope="module")
def head():
    return small_head()


@pytest.fixture(scope="module")
def batch(head):
    return small_batch(head, 2)


def drawn(head, camera=CAMERA, **params):
    pose = params.pop("pose", torch.zeros(2, 3))
    return render_heads(head(FaceParams(pose=pose, **params)), camera, SIZE)


def test_an_unchanged_face_is_masked_alike_in_both_paths(head, batch):
    heads = drawn(head)
    first = mask_photos(batch, head, heads, PLAIN, seeded())
    second = mask_photos(batch, head, heads, PLAIN, seeded(), heads)
    assert first.sampled_mask.any() and (~first.keep_mask).any()
    for name in ("image", "keep_mask", "sampled_mask"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name


def test_a_black_but_covered_pixel_is_removed_in_both_paths(head, batch):
    away = drawn(head, pose=torch.tensor([[0.0, math.pi, 0.0]]).repeat(2, 1))
    assert (away.mask & (away.image[:, :1] == 0)).sum() > 100  # lights are in front, normals point back
    nowhere = replace(batch, landmarks_ndc=batch.landmarks_ndc + 100)
    for changed in (None, away):
        masked = mask_photos(nowhere, head, away, PLAIN, seeded(), changed)
        assert torch.equal(masked.keep_mask, ~away.mask)
        assert not masked.image[(~masked.keep_mask & ~masked.sampled_mask).expand_as(masked.image)].any()


def test_colours_move_with_the_skin(head, batch):
    step_px = 5
    moved = CAMERA + torch.tensor([0.0, 2 * step_px / SIZE / 8.0, 0.0])
    before, after = drawn(head), drawn(head, moved)
    masked = mask_photos(batch, head, before, PLAIN, seeded(), after)
    shifted = batch.image.roll(step_px, dims=-1)
    where = (masked.sampled_mask & after.mask).expand_as(batch.image)
    same = torch.isclose(masked.image[where], shifted[where], atol=1e-6)
    assert where.sum() > 30 and same.float().mean() > 0.95  # at borders of pixels rounding decides
    assert not torch.isclose(masked.image[where], batch.image[where], atol=1e-6).all()


def test_what_the_changed_face_covers_is_removed(head, batch):
    nowhere = replace(batch, landmarks_ndc=batch.landmarks_ndc + 100)
    before, after = drawn(head), drawn(head, CAMERA * torch.tensor([1.2, 1.0, 1.0]))
    masked = mask_photos(nowhere, head, before, PLAIN, seeded(), after)
    assert torch.equal(masked.keep_mask, ~after.mask) and not torch.equal(after.mask, before.mask)


def test_fewer_patches_are_dropped_in_the_cycle_path(head, batch):
    heads, config = drawn(head), MaskingConfig(drop_probability=1.0, cycle_drop_probability=0.0)
    assert not mask_photos(batch, head, heads, config, seeded()).sampled_mask.any()
    assert mask_photos(batch, head, heads, config, seeded(), heads).sampled_mask.any()


def test_drawn_heads_pass_a_gradient_and_masks_do_not(head, batch):
    expression = torch.zeros(2, head.n_expression, requires_grad=True)
    heads = drawn(head, expression=expression)
    assert (
        heads.image.requires_grad and not heads.view.vertices_ndc.requires_grad and not heads.view.depth.requires_grad
    )
    assert not mask_photos(batch, head, heads, PLAIN, seeded()).image.requires_grad
    (gradient,) = torch.autograd.grad(heads.image.sum(), expression)
    assert gradient.any()
