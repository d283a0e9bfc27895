"""Augmentation of crops with their landmarks and targets; drawn dots and rendered heads are the oracle."""

from __future__ import annotations

import sys
from dataclasses import fields, replace

import pytest
import torch

from smirk3d.datasets.augment import Similarity, augment, mirrored, moved
from smirk3d.datasets.config import AugmentConfig
from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.errors import Smirk3dError
from smirk3d.geometry.camera import project_orthographic
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.landmark_indices import IBUG68, MIRROR
from smirk3d.head.model import HeadModel
from smirk3d.params import FaceParams

SIZE = 128
DOTS = (4, 33, 61, 199)
STILL = AugmentConfig(shift=0, scale=0, rotation_deg=0, mirror=0, color=0, tint=0, blur=0, noise=0)


def _dotted(batch: int, seed: int = 0) -> TrainingBatch:
    """Black crops, in which each of four landmarks is a soft dot."""
    random = torch.Generator().manual_seed(seed)
    landmarks = 1.2 * torch.rand(batch, 478, 2, generator=random) - 0.6
    landmarks[:, list(DOTS)] = torch.tensor([[-0.4, -0.4], [0.4, -0.5], [0.5, 0.45], [-0.5, 0.3]])
    landmarks[:, list(DOTS)] += 0.1 * torch.rand(batch, 4, 2, generator=random)
    centers = (torch.arange(SIZE) + 0.5) * 2 / SIZE - 1
    y, x = torch.meshgrid(centers, centers, indexing="ij")
    dots = landmarks[:, list(DOTS), :, None, None]
    image = torch.exp(-((x - dots[:, :, 0]) ** 2 + (y - dots[:, :, 1]) ** 2) / (2 * 0.04**2)).sum(1, keepdim=True)
    return TrainingBatch(
        image=image.clamp(max=1).expand(-1, 3, -1, -1),
        landmarks_ndc=landmarks,
        landmark_weight=(torch.rand(batch, 478, generator=random) > 0.3).float(),
        person=torch.arange(batch),
        target=None,
        target_weight=torch.zeros(batch),
        contour_ndc=landmarks[:, list(IBUG68[:17])],
        contour_weight=(torch.arange(batch) % 2).float(),
    )


def _dots_seen(image: torch.Tensor, near: torch.Tensor) -> torch.Tensor:
    """Centre of mass (B, D, 2) of the brightness around places (B, D, 2)."""
    centers = (torch.arange(SIZE) + 0.5) * 2 / SIZE - 1
    y, x = torch.meshgrid(centers, centers, indexing="ij")
    place = torch.stack([x, y], dim=-1)
    window = (place - near[:, :, None, None]).norm(dim=-1) < 0.16
    mass = image[:, :1] * window
    return (mass[..., None] * place).sum((2, 3)) / mass.sum((2, 3))[..., None]


def _target(head: HeadModel, batch: int, seed: int = 0) -> FaceParams:
    random = torch.Generator().manual_seed(seed)
    camera = torch.randn(batch, 3, generator=random) * 0.02 + torch.tensor([6.0, 0.0, 0.0])
    return FaceParams(
        shape=torch.randn(batch, head.n_shape, generator=random),
        expression=0.5 * torch.rand(batch, head.n_expression, generator=random),
        jaw=0.1 * torch.randn(batch, 3, generator=random),
        pose=0.4 * torch.randn(batch, 3, generator=random),
        neck=0.1 * torch.randn(batch, 3, generator=random),
        eyes=0.2 * torch.randn(batch, 6, generator=random),
        camera=camera,
    )


def _with_target(head: HeadModel, batch: int) -> TrainingBatch:
    return replace(_dotted(batch), target=_target(head, batch), target_weight=torch.ones(batch))


def _seen(head: HeadModel, target: FaceParams | None) -> torch.Tensor:
    assert target is not None and target.camera is not None
    return project_orthographic(head(target).vertices, target.camera)[..., :2]


@pytest.mark.parametrize("batch", [1, 5])
def test_landmarks_move_along_with_what_is_seen(batch: int) -> None:
    before = _dotted(batch)
    after = augment(before, replace(STILL, shift=0.05, scale=0.1, rotation_deg=10, mirror=0.5), _random(3))
    # In the mirror a dot belongs to the partner of its landmark.
    places = after.landmarks_ndc[:, list(DOTS)]
    flipped = after.landmarks_ndc[:, [MIRROR[k] for k in DOTS]]
    is_mirrored = (after.landmark_weight != before.landmark_weight).any(1)
    places = torch.where(is_mirrored[:, None, None], flipped, places)
    assert (_dots_seen(after.image, places) - places).abs().max() < 0.004  # a quarter of a pixel
    assert (after.landmarks_ndc - before.landmarks_ndc).abs().amax((1, 2)).min() > 0.02


def test_mirrored_dots_and_weights() -> None:
    before = _dotted(4)
    after = mirrored(before, torch.tensor([True, False, True, False]))
    pairs = list(MIRROR)
    assert after.image[0].equal(before.image[0].flip(-1)) and after.image[1].equal(before.image[1])
    partners = [MIRROR[k] for k in DOTS]
    assert (
        _dots_seen(after.image, after.landmarks_ndc[:, partners])[0] - after.landmarks_ndc[0, partners]
    ).abs().max() < 0.004
    assert after.landmark_weight[0].equal(before.landmark_weight[0, pairs])
    assert after.landmark_weight[1].equal(before.landmark_weight[1])
    again = mirrored(after, torch.tensor([True, False, True, False]))
    assert all(
        getattr(again, f.name) is None or getattr(again, f.name).equal(getattr(before, f.name)) for f in fields(before)
    )


def test_moved_head_is_seen_where_the_image_went(any_head: HeadModel) -> None:
    batch = _with_target(any_head, 6)
    similarity = Similarity(
        torch.linspace(-0.5, 0.5, 6), torch.linspace(0.8, 1.3, 6), torch.randn(6, 2, generator=_random(1)) * 0.1
    )
    after = moved(batch, similarity, any_head)
    old, new = _seen(any_head, batch.target), _seen(any_head, after.target)
    cosine, sine = similarity.turn_rad.cos()[:, None], similarity.turn_rad.sin()[:, None]
    x, y = old.unbind(-1)
    zoom, shift = similarity.zoom[:, None, None], similarity.shift[:, None]
    turned = zoom * torch.stack([cosine * x - sine * y, sine * x + cosine * y], dim=-1) + shift
    torch.testing.assert_close(new, turned, atol=2e-5, rtol=0)
    assert after.target is not None and batch.target is not None
    assert after.target.shape is batch.target.shape and after.target.expression is batch.target.expression


def test_mirrored_open_head_is_the_mirror_image(open_head: HeadModel) -> None:
    batch = _with_target(open_head, 3)
    after = mirrored(batch, torch.tensor([True, True, False]), open_head)
    old, new = _seen(open_head, batch.target), _seen(open_head, after.target)
    assert open_head.data.mirror_vertices is not None
    expected = old[:2, open_head.data.mirror_vertices] * torch.tensor([-1.0, 1.0])
    assert (new[:2] - expected).abs().max() < 1e-3  # 6 units a metre: 0.2 mm of asymmetry in the mesh
    assert new[2].equal(old[2]) and after.target_weight.equal(torch.ones(3))


def test_mirrored_parameters_by_hand(open_head: HeadModel) -> None:
    eyelids, eyes = torch.tensor([[0.2, 0.7]]), torch.tensor([[1.0, 2, 3, 4, 5, 6]])
    smile = torch.zeros(1, 52)
    smile[0, ARKIT_NAMES.index("mouthSmileLeft")] = 0.8
    target = FaceParams(expression=smile, eyelids=eyelids, eyes=eyes, camera=torch.tensor([[7.0, 0.1, 0.2]]))
    batch = replace(_dotted(1), target=target, target_weight=torch.ones(1))
    found = mirrored(batch, torch.tensor([True]), open_head).target
    assert found is not None and found.expression is not None and found.eyes is not None
    assert found.expression[0, ARKIT_NAMES.index("mouthSmileRight")] == 0.8 and found.expression.sum() == 0.8
    assert found.eyelids is not None and found.eyelids.tolist() == [eyelids[0].flip(0).tolist()]
    assert found.eyes.tolist() == [[4, -5, -6, 1, -2, -3]]
    assert found.camera is not None and found.camera.tolist() == torch.tensor([[7.0, -0.1, 0.2]]).tolist()
    assert found.shape is None and found.pose is None


def test_a_head_that_cannot_be_mirrored_loses_the_trust(tiny_data) -> None:
    head = HeadModel(tiny_data)
    after = mirrored(_with_target(head, 2), torch.tensor([True, False]), head)
    assert after.target_weight.tolist() == [0.0, 1.0]


def test_a_target_without_pose_and_camera_is_not_given_any(open_head: HeadModel) -> None:
    target = FaceParams(shape=torch.ones(2, open_head.n_shape))
    batch = replace(_dotted(2), target=target, target_weight=torch.ones(2))
    after = augment(batch, replace(STILL, rotation_deg=10), _random(0), open_head)
    assert after.target is not None and [name for name, _ in after.target.items()] == ["shape"]


def test_random_numbers_come_from_the_generator_alone() -> None:
    batch, config = _dotted(3), AugmentConfig(mirror=0.5, blur=0.5)
    torch.manual_seed(1)
    one = augment(batch, config, _random(5))
    torch.manual_seed(2)
    two, other = augment(batch, config, _random(5)), augment(batch, config, _random(6))
    assert one.image.equal(two.image) and one.landmarks_ndc.equal(two.landmarks_ndc)
    assert not one.image.equal(other.image)
    assert batch.image.equal(_dotted(3).image)


def test_nothing_is_changed_where_nothing_is_asked_for() -> None:
    batch = _dotted(2)
    after = augment(batch, STILL, _random(0))
    torch.testing.assert_close(after.image, batch.image, atol=1e-5, rtol=0)
    torch.testing.assert_close(after.landmarks_ndc, batch.landmarks_ndc)


@pytest.mark.parametrize("name, value", [("color", 0.3), ("blur", 1.0), ("noise", 0.1)])
def test_each_change_of_colour_changes_each_image_differently(name: str, value: float) -> None:
    image = torch.rand(1, 3, SIZE, SIZE, generator=_random(0)).expand(4, -1, -1, -1)
    batch = replace(_dotted(4), image=image)
    after = augment(batch, replace(STILL, **{name: value}), _random(0))
    assert after.landmarks_ndc.equal(batch.landmarks_ndc)
    assert after.image.min() >= 0 and after.image.max() <= 1 and after.image.isfinite().all()
    difference = (after.image - batch.image).abs().mean((1, 2, 3))
    assert (difference > 0.001).all() and difference.unique().numel() == 4


def test_blur_blurs_and_strikes_its_share() -> None:
    image, count = torch.rand(48, 3, 160, 160, generator=_random(0)), 48
    zeros = torch.zeros(count)
    points = torch.zeros(count, 478, 2)
    known = torch.ones(count, 478)
    batch = TrainingBatch(image, points, known, torch.arange(count), None, zeros, points[:, :17], zeros)
    after = augment(batch, replace(STILL, blur=0.5), _random(1))
    smoother = after.image.var((1, 2, 3)) < 0.99 * image.var((1, 2, 3))
    assert 12 < int(smoother.sum()) < 36


def test_tint_colours_grey_images_and_leaves_others() -> None:
    grey = torch.rand(40, 1, SIZE, SIZE, generator=_random(0)).expand(-1, 3, -1, -1)
    after = augment(replace(_dotted(40), image=grey), replace(STILL, tint=0.5), _random(1)).image
    coloured = ((after - grey).abs() > 1e-3).flatten(1).any(1)
    assert 10 < int(coloured.sum()) < 30
    red, _, blue = after[coloured].mean((2, 3)).unbind(1)
    assert (red > blue).all()  # warm, as skin is
    # The order of brightnesses stays, and black and white are what they were.
    channel = after[coloured][0, 2].flatten()[grey[coloured][0, 2].flatten().argsort()]
    assert (channel.diff() > -1e-4).all() and after.min() >= 0 and after.max() <= 1
    colourful = torch.rand(4, 3, SIZE, SIZE, generator=_random(0))
    after = augment(replace(_dotted(4), image=colourful), replace(STILL, tint=1.0), _random(1)).image
    torch.testing.assert_close(after, colourful)


def test_missing_kornia_and_missing_head(monkeypatch: pytest.MonkeyPatch, open_head: HeadModel) -> None:
    with pytest.raises(ValueError, match="needs the head"):
        augment(_with_target(open_head, 1), STILL, _random(0))
    monkeypatch.setitem(sys.modules, "kornia", None)
    with pytest.raises(Smirk3dError, match=r"smirk3d\[train\]"):
        augment(_dotted(1), AugmentConfig(), _random(0))


def _random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_contour_stays_on_the_points_that_it_lies_on() -> None:
    # MediaPipe's points are mirrored by their own table, the contour by turning it round.
    before, outline = _dotted(6), list(IBUG68[:17])
    after = augment(before, replace(STILL, shift=0.05, scale=0.1, rotation_deg=10, mirror=0.5), _random(5))
    assert (after.contour_ndc - before.contour_ndc).abs().amax((1, 2)).min() > 0.01
    torch.testing.assert_close(after.contour_ndc, after.landmarks_ndc[:, outline], atol=1e-6, rtol=0)
    assert after.contour_weight.equal(before.contour_weight)


def test_gamma_keeps_black_white_and_order() -> None:
    ramp = torch.linspace(0, 1, SIZE).expand(3, SIZE, SIZE)
    batch = replace(_dotted(8), image=ramp.expand(8, -1, -1, -1))
    found = augment(batch, replace(STILL, gamma=0.5), torch.Generator().manual_seed(0)).image
    assert found[..., 0].eq(0).all() and found[..., -1].eq(1).all() and (found.diff(dim=-1) >= 0).all()
    power = found[:, 0, 0, SIZE // 2].log() / ramp[0, 0, SIZE // 2].log()
    assert ((power > 0.79) & (power < 1.21)).all() and 0 < int((power - 1).abs().lt(1e-3).sum()) < 8


def test_clahe_spreads_the_contrast_and_keeps_grey_grey() -> None:
    dull = 0.45 + 0.1 * torch.rand(4, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    batch = replace(_dotted(4), image=dull.expand(-1, 3, -1, -1))
    found = augment(batch, replace(STILL, clahe=1.0), torch.Generator().manual_seed(0)).image
    assert (found.flatten(1).std(1) > 1.2 * batch.image.flatten(1).std(1)).all()
    assert (found.amax(1) - found.amin(1)).max() < 0.01
    torch.testing.assert_close(augment(batch, STILL, torch.Generator().manual_seed(0)).image, batch.image)
