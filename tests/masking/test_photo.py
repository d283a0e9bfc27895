"""The masked photo: what is removed, kept and sampled."""

import pytest
import torch

from smirk3d.masking import MaskingConfig, PixelSamples, face_hull_mask, mask_face, removal_mask
from smirk3d.masking.hull import dilate

NO_NOISE = MaskingConfig(noise_std=0.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def photos(batch=2, size=24, dtype=torch.float32):
    return torch.rand(batch, 3, size, size, generator=generator(9)).to(dtype)


def all_removed(photo):
    return torch.ones_like(photo[:, :1], dtype=torch.bool)


def random_samples(photo, count=40, seed=1, valid_share=1.0):
    batch, _, height, width = photo.shape
    sides = torch.tensor([width, height])
    draw = torch.rand(2, batch, count, 2, generator=generator(seed))
    valid = torch.rand(batch, count, generator=generator(seed + 1)) < valid_share
    return PixelSamples(*(draw * sides).long(), valid)


def test_defaults_are_those_of_smirk():
    config = MaskingConfig()
    assert config.sample_count(224) == 501
    assert (config.noise_std, config.patch_px, config.dilation_px) == (0.05, 11, 10)
    assert (config.drop_probability, config.cycle_drop_probability) == (0.01, 0.005)


@pytest.mark.parametrize(
    "change",
    [
        {"sample_share": -0.1},
        {"drop_probability": 1.5},
        {"cycle_drop_probability": float("nan")},
        {"patch_px": 10},
        {"noise_std": -1.0},
        {"dilation_px": -1},
    ],
)
def test_values_out_of_range_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        MaskingConfig(**change)


def test_hull_and_mesh_are_removed():
    landmarks = torch.tensor([[[-0.5, -0.5], [0.0, -0.5], [0.0, 0.0], [-0.5, 0.0]]])
    rendered = torch.zeros(1, 1, 32, 48, dtype=torch.bool)
    rendered[..., 30, 45] = True
    removed = removal_mask(landmarks, rendered, 3)
    assert torch.equal(removed, dilate(face_hull_mask(landmarks, (32, 48)), 3) | rendered)
    assert removed[0, 0, 30, 45] and removed[0, 0, 5, 9] and not removed[0, 0, 4, 9]


@pytest.mark.parametrize("value", [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.0, 1.0, 0.0), (0.25, 0.0, 1.0)])
def test_black_and_saturated_colours_are_copied_whole(value):
    photo = photos()
    photo[:, :, 3, 5] = torch.tensor(value)
    samples = PixelSamples(torch.tensor([[[5, 3]]] * 2), torch.tensor([[[7, 8]]] * 2), torch.ones(2, 1) > 0)
    kept = torch.zeros_like(photo[:, :1], dtype=torch.bool)  # written over the photo, channels of 0 included
    result = mask_face(photo, kept, samples, generator(), drop_probability=0.0, config=NO_NOISE)
    assert torch.equal(result.image[:, :, 8, 7], torch.tensor([value] * 2))
    assert result.sampled_mask.sum() == 2 and result.sampled_mask[:, 0, 8, 7].all()


def test_kept_removed_and_sampled_pixels():
    photo = photos()
    removed = torch.rand(2, 1, 24, 24, generator=generator(4)) < 0.5
    samples = random_samples(photo)
    result = mask_face(photo, removed, samples, generator(), drop_probability=0.0)
    assert torch.equal(result.keep_mask, ~removed)
    untouched = ~result.sampled_mask
    assert torch.equal(result.image * untouched, photo * (result.keep_mask & untouched))
    written = {(b, int(y), int(x)) for b in range(2) for x, y in samples.target_px[b]}
    assert {(b, y, x) for b, _, y, x in result.sampled_mask.nonzero().tolist()} == written


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_a_constant_photo_stays_constant(dtype):
    photo = torch.full((2, 3, 24, 24), 0.625, dtype=dtype)
    samples = random_samples(photo, valid_share=0.7)
    result = mask_face(photo, all_removed(photo), samples, generator(), drop_probability=0.0, config=NO_NOISE)
    assert result.image.dtype == dtype
    assert torch.equal(result.image, torch.where(result.sampled_mask, photo, 0))
    assert 0 < result.sampled_mask.sum() < samples.valid.sum() + 1


def test_noise_is_one_factor_per_colour_value():
    photo = torch.full((1, 3, 100, 100), 0.8)
    place = torch.cartesian_prod(torch.arange(100), torch.arange(100))[None]
    samples = PixelSamples(place, place, torch.ones(1, 10000) > 0)
    result = mask_face(photo, all_removed(photo), samples, generator(), drop_probability=0.0)
    factor = (result.image / 0.8).flatten(2)[0]
    assert abs(float(factor.mean()) - 1) < 0.002 and abs(float(factor.std()) - 0.05) < 0.002
    assert torch.corrcoef(factor).fill_diagonal_(0).abs().max() < 0.05


def test_the_first_valid_sample_on_a_pixel_counts():
    photo = photos(1)
    source = torch.tensor([[[0, 0], [1, 0], [2, 0]]])
    target = torch.full((1, 3, 2), 6)
    for valid, winner in [([1, 1, 1], 0), ([0, 1, 1], 1), ([0, 0, 1], 2)]:
        samples = PixelSamples(source, target, torch.tensor([valid]) > 0)
        result = mask_face(photo, all_removed(photo), samples, generator(), drop_probability=0.0, config=NO_NOISE)
        assert torch.equal(result.image[0, :, 6, 6], photo[0, :, 0, winner])


def test_no_valid_sample_and_no_sample_at_all():
    photo = photos()
    for count in (5, 0):
        samples = random_samples(photo, count, valid_share=0.0)
        result = mask_face(photo, all_removed(photo), samples, generator(), drop_probability=0.0)
        assert not result.image.any() and not result.sampled_mask.any()


def test_patches_drop_samples_but_not_the_rest_of_the_photo():
    photo = torch.full((1, 3, 100, 100), 0.5)
    place = torch.cartesian_prod(torch.arange(100), torch.arange(100))[None]
    shuffled = place[:, torch.randperm(10000, generator=generator(3))]
    samples = PixelSamples(shuffled, place, torch.ones(1, 10000) > 0)
    removed = torch.zeros(1, 1, 100, 100, dtype=torch.bool)
    removed[..., 20:80, 20:80] = True
    result = mask_face(photo, removed, samples, generator(), drop_probability=0.0005, config=NO_NOISE)
    assert torch.equal(result.image, torch.where(removed & ~result.sampled_mask, 0, photo))
    gone = ~result.sampled_mask[0, 0]
    assert 0 < gone.sum() < 5000
    # A union of 11 x 11 squares: eroding and dilating it changes nothing (the border aside).
    eroded = ~dilate(~gone[None, None], 5)
    assert torch.equal(dilate(eroded, 5)[0, 0, 11:-11, 11:-11], gone[11:-11, 11:-11])


@pytest.mark.parametrize("probability", [0.005, 0.01])
def test_share_of_dropped_samples(probability):
    photo = photos(4, size=224)
    place = torch.cartesian_prod(torch.arange(224), torch.arange(224)).expand(4, -1, -1)
    samples = PixelSamples(place, place, torch.ones(4, 224 * 224) > 0)
    result = mask_face(photo, all_removed(photo), samples, generator(), drop_probability=probability)
    inner = result.sampled_mask[..., 5:-5, 5:-5].float().mean()
    assert abs(float(inner) - (1 - probability) ** 121) < 0.02


def test_result_depends_on_the_generator():
    photo = photos()
    samples = random_samples(photo)
    one, same, other = (
        mask_face(photo, all_removed(photo), samples, generator(seed), drop_probability=0.002).image
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_batch_equals_loop():
    photo = photos(3)
    removed = torch.rand(3, 1, 24, 24, generator=generator(4)) < 0.5
    samples = random_samples(photo, valid_share=0.6)
    batch = mask_face(photo, removed, samples, generator(), drop_probability=0.0, config=NO_NOISE)
    for index in range(3):
        one = slice(index, index + 1)
        alone = PixelSamples(samples.source_px[one], samples.target_px[one], samples.valid[one])
        single = mask_face(photo[one], removed[one], alone, generator(), drop_probability=0.0, config=NO_NOISE)
        assert torch.equal(batch.image[one], single.image)
        assert torch.equal(batch.sampled_mask[one], single.sampled_mask)


def test_no_gradient_leaves():
    photo = photos().requires_grad_()
    result = mask_face(photo, all_removed(photo), random_samples(photo), generator(), drop_probability=0.0)
    assert not result.image.requires_grad
