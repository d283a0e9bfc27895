"""Changes of views that keep their truth."""

from __future__ import annotations

import torch

from smirk3d.datasets.synthetic.rendered_views import Views
from smirk3d.train.reenactment.augmentation import _mirrored, augmented, with_exposure_of


def _views(count: int = 6) -> Views:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(count, 3, 3, 16, 16, generator=generator)
    points = torch.randn(count, 3, 478, 2, generator=generator)
    return Views(images, points, torch.rand(count, 3, 52, generator=generator), torch.randn(count, 3, 3))


def test_mirrored_twice_is_the_same() -> None:
    views, everybody = _views(), torch.ones(6, dtype=torch.bool)
    twice = _mirrored(_mirrored(views, everybody), everybody)
    for name, value in vars(views).items():
        torch.testing.assert_close(getattr(twice, name), value)
    once = _mirrored(views, ~everybody)
    torch.testing.assert_close(once.points_ndc, views.points_ndc)


def test_a_mirrored_picture_has_its_landmarks_at_mirrored_places() -> None:
    views = _views(1)
    mirrored = _mirrored(views, torch.ones(1, dtype=torch.bool))
    # 33 and 263 are the outer corners of the right and the left eye.
    torch.testing.assert_close(mirrored.points_ndc[..., 33, 0], -views.points_ndc[..., 263, 0])
    torch.testing.assert_close(mirrored.images, views.images.flip(-1))


def test_views_of_a_person_keep_equal_colours_equal() -> None:
    views = _views()
    same = Views(views.images[:, :1].repeat(1, 3, 1, 1, 1), views.points_ndc, views.weights, views.pose)
    changed = augmented(same, torch.Generator().manual_seed(1))
    torch.testing.assert_close(changed.images[:, 0], changed.images[:, 1])
    torch.testing.assert_close(changed.images[:, 0], changed.images[:, 2])
    assert not torch.allclose(changed.images, same.images)


def test_the_first_views_change_places_in_some_people_and_others_stay() -> None:
    views = _views(32)
    changed = augmented(views, torch.Generator().manual_seed(2))
    weights = views.weights.sum(2)
    stays = torch.isclose(changed.weights.sum(2)[:, 0], weights[:, 0])
    assert 4 < int(stays.sum()) < 28
    torch.testing.assert_close(changed.weights.sum(2)[:, 2], weights[:, 2])


def test_exposure_becomes_that_of_the_other_face() -> None:
    generator = torch.Generator().manual_seed(3)
    reference = 0.4 + 0.2 * torch.rand(2, 3, 16, 16, generator=generator)
    weight = torch.zeros(2, 16, 16)
    weight[:, 4:12, 4:12] = 1
    other = (reference * 0.7 + 0.1).clamp(0, 1)
    torch.testing.assert_close(with_exposure_of(other, weight, reference, weight), reference, atol=1e-4, rtol=0)
