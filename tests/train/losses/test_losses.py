"""Losses against direct computations, and what they do where something is missing."""

import math

import pytest
import roma
import torch
from scipy.spatial.transform import Rotation

from smirk3d.geometry.camera import project_orthographic
from smirk3d.head.spec import Param, ParamSpec
from smirk3d.params import FaceParams
from smirk3d.train.losses.losses import (
    FACE_STD_M,
    LossTerms,
    TargetWeights,
    camera_distance,
    cycle_losses,
    emotion_loss,
    landmark_loss,
    photo_loss,
    regulariser,
    rotation_distance,
    shape_consistency,
    target_loss,
    total,
)

FLAME_LIKE = ParamSpec(
    (
        Param("shape", 4),
        Param("expression", 5),
        Param("eyelids", 2, 0.0, 1.0),
        Param("jaw", 3),
        Param("pose", 3),
        Param("camera", 3),
    )
)


def normal(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def random_params(count: int = 3, seed: int = 0) -> FaceParams:
    return FaceParams(**{p.name: normal(count, p.size, seed=seed + k) for k, p in enumerate(FLAME_LIKE.params)})


def test_landmarks_are_a_mean_square_over_the_known_points():
    points, target = normal(2, 6, 2), normal(2, 6, 2, seed=1)
    everywhere = landmark_loss(points, target, torch.full((2, 6), 0.3))
    torch.testing.assert_close(everywhere.mean(), torch.nn.functional.mse_loss(points, target))
    weight = torch.tensor([[1.0, 1, 0, 0, 0, 0]]).repeat(2, 1)
    torch.testing.assert_close(
        landmark_loss(points, target, weight), landmark_loss(points[:, :2], target[:, :2], weight[:, :2])
    )
    doubled = landmark_loss(points[:, :2], target[:, :2], torch.tensor([[2.0, 1.0]]).repeat(2, 1))
    each = (points - target).square().mean(dim=2)
    torch.testing.assert_close(doubled, (2 * each[:, 0] + each[:, 1]) / 3)


def test_unknown_landmarks_have_no_say_even_where_they_are_no_numbers():
    points = normal(2, 4, 2).requires_grad_()
    target, weight = torch.full((2, 4, 2), torch.nan), torch.zeros(2, 4)
    target[0, 1], weight[0, 1] = 0.5, 1.0
    loss = landmark_loss(points, target, weight)
    loss.sum().backward()
    assert loss[1] == 0 and loss[0] > 0
    assert points.grad is not None and points.grad.isfinite().all()
    assert points.grad.any(dim=2).tolist() == [[False, True, False, False], [False] * 4]


def test_photo_is_a_mean_over_the_mask():
    image, target = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(photo_loss(image, target), (image - target).abs().mean(dim=(1, 2, 3)))
    mask = torch.zeros(2, 1, 4, 4)
    mask[0, 0, :2, 1:] = 1
    found = photo_loss(image, target, mask)
    torch.testing.assert_close(found[0], (image - target)[0, :, :2, 1:].abs().mean())
    assert found[1] == 0
    assert photo_loss(image, image + 0.25, mask)[0] == pytest.approx(0.25)


def test_regulariser_is_the_squared_norm():
    values = normal(3, 5)
    torch.testing.assert_close(regulariser(values), values.norm(dim=1) ** 2)
    assert regulariser(None).item() == 0


@pytest.mark.parametrize("angle", [1e-4, 0.3, 2.0, 3.1])
def test_rotations_are_compared_as_rotations(angle):
    first = normal(4, 3)
    turn = torch.tensor([0.0, angle, 0.0])
    second = torch.from_numpy((Rotation.from_rotvec(first.numpy()) * Rotation.from_rotvec(turn.numpy())).as_rotvec())
    found = rotation_distance(first.double(), second)
    torch.testing.assert_close(found, torch.full_like(found, angle**2), rtol=1e-5, atol=1e-12)
    # The same rotation, written the long way round.
    axis = torch.tensor([[0.0, 0.0, 1.0]])
    assert rotation_distance(0.5 * axis, (0.5 - 2 * math.pi) * axis).item() < 1e-10


@pytest.mark.parametrize("angle", [0.0, 1e-9, math.pi])
def test_rotations_have_finite_gradients_where_they_agree_and_where_they_are_opposite(angle):
    first = torch.zeros(1, 3, requires_grad=True)
    rotation_distance(first, angle * torch.tensor([[0.36, 0.48, 0.8]])).sum().backward()
    assert first.grad is not None and first.grad.isfinite().all()


def test_cameras_are_compared_by_where_they_put_a_face():
    points = normal(20000, 3)
    points = (points - points.mean(0)) / points.std(0) * FACE_STD_M
    first, second = torch.tensor([7.0, 0.02, -0.03]), torch.tensor([8.5, -0.01, 0.01])
    moved = project_orthographic(points, first) - project_orthographic(points, second)
    torch.testing.assert_close(camera_distance(first, second), moved[:, :2].square().mean(), rtol=1e-3, atol=0)


def test_known_parameters_cost_nothing_and_others_what_the_fields_say():
    params, target = random_params(), random_params(seed=20)
    weight = torch.tensor([1.0, 0.5, 0.0])
    assert target_loss(params, params, weight, FLAME_LIKE).abs().max() < 1e-10
    only = TargetWeights(shape=0, expression=3, eyelids=0, jaw=2, pose=0, camera=0)
    found = target_loss(params, target, weight, FLAME_LIKE, only)
    expression = (params.expression - target.expression).square().mean(dim=1)
    rotmats = (roma.rotvec_to_rotmat(p.jaw) for p in (params, target))
    torch.testing.assert_close(found, weight * (3 * expression + 2 * roma.rotmat_geodesic_distance(*rotmats) ** 2))


@pytest.mark.parametrize("name", FLAME_LIKE.names)
def test_every_field_is_supervised_and_may_be_missing(name):
    params = random_params()
    other = params.replace(**{name: getattr(params, name) + 0.1})
    weight = torch.ones(3)
    assert (target_loss(other, params, weight, FLAME_LIKE) > 0).all()
    assert target_loss(other, params.replace(**{name: None}), weight, FLAME_LIKE).max() < 1e-10
    assert target_loss(params.replace(**{name: None}), params, weight, FLAME_LIKE).max() < 1e-10
    without = ParamSpec(tuple(p for p in FLAME_LIKE.params if p.name != name))
    assert target_loss(other, params, weight, without).max() < 1e-10


def test_targets_without_trust_may_be_anything():
    params = FaceParams(pose=normal(2, 3).requires_grad_())
    unknown = FaceParams(pose=torch.tensor([[0.1, 0, 0], [torch.nan] * 3]))
    loss = target_loss(params, unknown, torch.tensor([1.0, 0.0]), FLAME_LIKE)
    loss.sum().backward()
    assert params.pose is not None and params.pose.grad is not None
    assert loss[1] == 0 and not params.pose.grad[1].any() and params.pose.grad[0].abs().sum() > 0
    assert not target_loss(params, None, torch.ones(2), FLAME_LIKE).any()
    with pytest.raises(ValueError, match="'pose' has sizes 1 and 3, not 3"):
        target_loss(FaceParams(pose=torch.zeros(2, 1)), unknown, torch.ones(2), FLAME_LIKE)


def test_shapes_of_one_person_vary_as_torch_says():
    shape, person = normal(6, 4).requires_grad_(), torch.tensor([7, 3, 7, 9, 3, 7])
    found = shape_consistency(shape, person)
    for who in (3, 7):
        variance = shape[person == who].var(dim=0, unbiased=False).mean()
        torch.testing.assert_close(found[person == who].mean(), variance)
    assert found[3] == 0
    found.sum().backward()
    assert shape.grad is not None and not shape.grad[3].any() and shape.grad[0].any()


def test_cycle_errors_are_mean_squares_of_the_named_fields():
    estimated, wanted = random_params(), random_params(seed=20)
    found = cycle_losses(estimated, wanted, ("expression", "jaw", "shape"))
    assert found.names == ("expression", "jaw", "shape")
    for name in found.names:
        expected = (getattr(estimated, name) - getattr(wanted, name)).square().mean(dim=1)
        torch.testing.assert_close(found[name], expected)


def test_cycle_takes_what_one_side_lacks_for_zeros():
    estimated, wanted = FaceParams(expression=normal(2, 52)), FaceParams(expression=normal(2, 52, seed=1))
    assert cycle_losses(estimated, wanted, ["jaw"])["jaw"].item() == 0
    jaw = normal(2, 3)
    for pair in ((estimated.replace(jaw=jaw), wanted), (estimated, wanted.replace(jaw=jaw))):
        torch.testing.assert_close(cycle_losses(*pair, ["jaw"])["jaw"], jaw.square().mean(dim=1))
    with pytest.raises(ValueError, match="shapes"):
        cycle_losses(FaceParams(jaw=jaw), FaceParams(jaw=jaw[:, :1]), ["jaw"])


def test_emotion_is_a_mean_square_of_features_and_leaves_the_photo_alone():
    image, photo = (torch.rand(2, 3, 4, 4).requires_grad_() for _ in range(2))
    found = emotion_loss(lambda images: images.flatten(1) ** 3, image, photo)
    torch.testing.assert_close(found, (image**3 - photo**3).square().mean(dim=(1, 2, 3)))
    found.sum().backward()
    assert image.grad is not None and image.grad.any() and photo.grad is None


def test_the_total_needs_a_weight_for_each_term_and_a_term_for_each_weight():
    terms = LossTerms({"photo": torch.tensor([1.0, 3.0]), "jaw": torch.tensor(5.0)})
    assert total(terms, {"jaw": 0.5, "photo": 10.0}).item() == 22.5
    assert terms.names == ("photo", "jaw") and terms.means()["photo"].item() == 2.0
    with pytest.raises(ValueError, match="'jaw' has no weight"):
        total(terms, {"photo": 1.0})
    with pytest.raises(ValueError, match="'emotion' has no term"):
        total(terms, {"photo": 1.0, "jaw": 1.0, "emotion": 0.0})
    with pytest.raises(ValueError, match="there are none"):
        total(LossTerms({}), {})
