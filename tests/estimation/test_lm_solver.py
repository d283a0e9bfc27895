"""Landmark fitting recovers known heads from their landmarks."""

from dataclasses import fields, replace

import pytest
import roma
import torch
from torch import Tensor

from smirk3d.estimation.expression_prior import ExpressionPrior
from smirk3d.estimation.landmark_model import LandmarkModel, landmark_model
from smirk3d.estimation.lm_solver import Fit, FitConfig, LandmarkTargets, fit_landmarks, procrustes_pose
from smirk3d.estimation.projection import Pose, project
from smirk3d.geometry.euler import rotation_from_angles
from smirk3d.head.arkit import ARKIT_MIRROR, ARKIT_NAMES
from smirk3d.head.landmark_indices import MIRROR

FOCALS = pytest.mark.parametrize("focal_px", [float("inf"), 900.0])
WIDTH_PX, HEIGHT_PX = 640.0, 480.0
PER_FACE = ("points_px", "depth_px", "center_px", "focal_px", "person")
CLOSE = FitConfig(noise=0.005)


@pytest.fixture(scope="module")
def model(open_head) -> LandmarkModel:
    return landmark_model(open_head)


def observe(model: LandmarkModel, coefficients: Tensor, pose: Pose, person: Tensor | None = None) -> LandmarkTargets:
    points = model.points(coefficients)
    return LandmarkTargets(
        points_px=project(points, pose)[0],
        depth_px=-(points @ pose.rotmat.mT)[..., 2] * pose.scale[:, None],
        center_px=pose.center_px,
        focal_px=pose.focal_px,
        prior=None,
        person=torch.arange(len(coefficients)) if person is None else person,
    )


def scene(model: LandmarkModel, focal_px: float, count: int = 6, seed: int = 0) -> tuple[Tensor, Pose, LandmarkTargets]:
    """Random people with four blendshapes each, from random directions."""
    random = torch.Generator().manual_seed(seed)
    n = model.n_shape
    coefficients = torch.zeros(count, n + 52)
    coefficients[:, :n] = 0.7 * torch.randn(count, n, generator=random)
    for row in coefficients:
        row[n + torch.randperm(52, generator=random)[:4]] = 0.3 + 0.6 * torch.rand(4, generator=random)
    angles = (torch.rand(count, 3, generator=random) * 2 - 1) * torch.tensor([25.0, 12.0, 12.0])
    pose = Pose(
        torch.stack([torch.from_numpy(rotation_from_angles(*row)).float() for row in angles.tolist()]),
        800 + 700 * torch.rand(count, generator=random),
        40 * torch.randn(count, 2, generator=random),
        torch.tensor([[WIDTH_PX / 2, HEIGHT_PX / 2]]).expand(count, 2),
        torch.full((count,), focal_px),
    )
    return coefficients, pose, observe(model, coefficients, pose)


def only(targets: LandmarkTargets, index: Tensor) -> LandmarkTargets:
    """Select faces; people are renumbered."""
    chosen = {name: getattr(targets, name) for name in PER_FACE}
    chosen = {name: value[index] for name, value in chosen.items() if value is not None}
    chosen["person"] = chosen["person"].unique(return_inverse=True)[1]
    return replace(targets, **chosen)


def angle_deg(fit: Fit, pose: Pose) -> Tensor:
    return torch.rad2deg(roma.rotmat_geodesic_distance(fit.pose.rotmat, pose.rotmat))


def distance_mm(model: LandmarkModel, a: Tensor, b: Tensor) -> Tensor:
    return 1000 * (model.points(a) - model.points(b)).norm(dim=-1).mean(1)


# What was put in comes out


@FOCALS
@pytest.mark.parametrize("config", [FitConfig(), CLOSE], ids=["usual", "close"])
def test_known_heads_are_recovered(model, focal_px, config):
    truth, pose, targets = scene(model, focal_px, seed=6)
    fit = fit_landmarks(model, targets, config)
    assert fit.residual.mean() < 0.003  # of the distance of the eye corners
    assert angle_deg(fit, pose).max() < 1.5
    assert distance_mm(model, fit.coefficients, truth).max() < 1.0
    assert (fit.coefficients - truth)[:, model.n_shape :].abs().mean() < 0.02


@FOCALS
def test_fewer_points_do_nearly_as_well(open_head, model, focal_px):
    truth, pose, targets = scene(model, focal_px)
    few = landmark_model(open_head, spacing_m=0.006)
    fit = fit_landmarks(few, targets)
    assert fit.residual.shape == (6, len(few.index)) and fit.residual.mean() < 0.003
    assert angle_deg(fit, pose).max() < 2
    assert distance_mm(model, fit.coefficients, truth).max() < 1.5


@FOCALS
def test_more_steps_change_little(model, focal_px):
    _, _, targets = scene(model, focal_px)
    few = fit_landmarks(model, targets, CLOSE)
    many = fit_landmarks(model, targets, replace(CLOSE, steps=3 * CLOSE.steps))
    assert distance_mm(model, few.coefficients, many.coefficients).max() < 0.8


@FOCALS
def test_the_mean_head_is_recovered(model, focal_px):
    _, pose, _ = scene(model, focal_px)
    fit = fit_landmarks(model, observe(model, torch.zeros(6, model.n_shape + 52), pose))
    assert fit.residual.max() < 0.01 and angle_deg(fit, pose).max() < 0.5
    assert fit.coefficients.abs().max() < 0.2
    torch.testing.assert_close(fit.pose.scale, pose.scale, rtol=0.01, atol=0)


def test_initial_pose_of_the_mean_head_is_exact(model):
    _, pose, _ = scene(model, float("inf"))
    found = procrustes_pose(model, observe(model, torch.zeros(6, model.n_shape + 52), pose))
    for name in ("rotmat", "scale", "offset_px"):
        torch.testing.assert_close(getattr(found, name), getattr(pose, name), rtol=1e-3, atol=1e-3)


@FOCALS
def test_the_residual_is_the_distance_from_the_landmarks(model, focal_px):
    _, _, targets = scene(model, focal_px)
    fit = fit_landmarks(model, targets)
    image, _, _ = project(model.points(fit.coefficients), fit.pose)
    eyes = (targets.points_px[:, 33] - targets.points_px[:, 263]).norm(dim=-1)
    height = targets.points_px[..., 1].amax(1) - targets.points_px[..., 1].amin(1)
    unit = torch.maximum(eyes, 0.35 * height)
    torch.testing.assert_close(
        fit.residual, (targets.points_px - image).norm(dim=-1) / unit[:, None], atol=1e-5, rtol=0
    )


def test_weights_stay_within_their_bounds(model):
    truth, pose, _ = scene(model, 900.0)
    truth[:, model.n_shape :] *= 3  # more than there is
    fit = fit_landmarks(model, observe(model, truth, pose))
    weights = fit.coefficients[:, model.n_shape :]
    assert weights.min() >= 0 and weights.max() <= 1 and (weights == 0).any() and (weights == 1).any()
    assert fit.coefficients.isfinite().all() and fit.pose.rotmat.isfinite().all()


def test_blendshapes_are_distinguished(model):
    for name in ("jawOpen", "mouthSmileLeft", "browInnerUp", "mouthPucker", "eyeBlinkRight"):
        _, pose, _ = scene(model, float("inf"), count=1, seed=3)
        truth = torch.zeros(1, model.n_shape + 52)
        truth[0, model.n_shape + ARKIT_NAMES.index(name)] = 0.9
        weights = fit_landmarks(model, observe(model, truth, pose)).coefficients[0, model.n_shape :]
        assert ARKIT_NAMES[int(weights.argmax())] == name
        assert 0.5 < weights.max() <= 1


# Independence of faces


@FOCALS
def test_a_batch_equals_single_faces(model, focal_px):
    _, _, targets = scene(model, focal_px)
    together = fit_landmarks(model, targets)
    for index in range(6):
        alone = fit_landmarks(model, only(targets, torch.tensor([index])))
        # Single precision sums differ with the batch, and the steps pass on what differs.
        assert distance_mm(model, alone.coefficients, together.coefficients[index : index + 1]) < 0.1
        torch.testing.assert_close(alone.residual[0], together.residual[index], atol=1e-3, rtol=0)


def test_equal_input_gives_equal_output(model):
    _, _, targets = scene(model, 900.0)
    first, second = fit_landmarks(model, targets), fit_landmarks(model, targets)
    assert first.coefficients.equal(second.coefficients) and first.residual.equal(second.residual)


def test_invariance_to_position_and_size_in_the_image(model):
    _, _, targets = scene(model, float("inf"))
    moved = replace(
        targets, points_px=2 * targets.points_px + 100, depth_px=2 * targets.depth_px, center_px=2 * targets.center_px
    )
    fit, other = fit_landmarks(model, targets), fit_landmarks(model, moved)
    assert distance_mm(model, fit.coefficients, other.coefficients).max() < 0.1
    torch.testing.assert_close(other.pose.scale, 2 * fit.pose.scale, rtol=1e-2, atol=0)


# Mirror


def mirrored(targets: LandmarkTargets) -> LandmarkTargets:
    points = targets.points_px * torch.tensor([-1.0, 1.0]) + torch.tensor([WIDTH_PX, 0.0])
    prior = targets.prior and replace(targets.prior, mean=targets.prior.mean[:, list(ARKIT_MIRROR)])
    return replace(targets, points_px=points[:, list(MIRROR)], depth_px=targets.depth_px[:, list(MIRROR)], prior=prior)


def mirrored_coefficients(open_head, coefficients: Tensor) -> Tensor:
    shape, expression = coefficients.split([open_head.n_shape, 52], dim=1)
    return torch.cat([shape * open_head.data.shape_mirror_sign, expression[:, list(ARKIT_MIRROR)]], dim=1)


@FOCALS
def test_a_mirrored_face_gives_the_mirrored_head(open_head, model, focal_px):
    _, _, targets = scene(model, focal_px)
    fit, other = fit_landmarks(model, targets), fit_landmarks(model, mirrored(targets))
    expected = mirrored_coefficients(open_head, fit.coefficients)
    # The landmarks of the head are mirror images of their partners to within 0.1 mm.
    assert distance_mm(model, other.coefficients, expected).max() < 0.01
    torch.testing.assert_close(other.coefficients, expected, atol=1e-2, rtol=0)
    flip = torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
    turned = flip @ fit.pose.rotmat @ flip
    assert torch.rad2deg(roma.rotmat_geodesic_distance(turned, other.pose.rotmat)).max() < 0.1


# Outliers, priors, identity


def test_a_few_gross_outliers_hardly_matter(model):
    _, _, targets = scene(model, float("inf"))
    random = torch.Generator().manual_seed(1)
    points = targets.points_px.clone()
    for row in points:
        wrong = torch.randperm(478, generator=random)[:24]
        wrong = wrong[(wrong != 33) & (wrong != 263)]  # they define the unit
        row[wrong] += 40 * torch.randn(len(wrong), 2, generator=random)
    clean, dirty = fit_landmarks(model, targets), fit_landmarks(model, replace(targets, points_px=points))
    assert distance_mm(model, clean.coefficients, dirty.coefficients).mean() < 2
    trusting = fit_landmarks(model, replace(targets, points_px=points), replace(FitConfig(), outlier=1e3))
    assert (
        distance_mm(model, clean.coefficients, trusting.coefficients).mean()
        > 2 * distance_mm(model, clean.coefficients, dirty.coefficients).mean()
    )


def test_a_prior_of_smaller_std_pulls_the_weights_harder(model):
    truth, _, targets = scene(model, float("inf"))
    wrong = torch.full((6, 52), 0.5)
    errors = []
    for std in (1e-3, 0.1, 10.0):
        fit = fit_landmarks(model, replace(targets, prior=ExpressionPrior(wrong, torch.full((52,), std), 0.4)))
        errors.append(float((fit.coefficients[:, model.n_shape :] - 0.5).abs().mean()))
    assert errors[0] < 0.05 and errors[0] < errors[1] < errors[2]
    right = replace(targets, prior=ExpressionPrior(truth[:, model.n_shape :], torch.full((52,), 0.1), 0.4))
    helped = (fit_landmarks(model, right).coefficients - truth)[:, model.n_shape :].abs().mean()
    assert helped < (fit_landmarks(model, targets).coefficients - truth)[:, model.n_shape :].abs().mean()


@FOCALS
def test_a_prior_of_scale_zero_fixes_the_expression(model, focal_px):
    truth, pose, targets = scene(model, focal_px, seed=6)
    weights = truth[:, model.n_shape :]
    held = ExpressionPrior(weights, torch.full((52,), 0.1), scale=0.0)
    fit = fit_landmarks(model, replace(targets, prior=held))
    assert fit.coefficients[:, model.n_shape :].equal(weights)
    assert angle_deg(fit, pose).max() < 1.5 and fit.residual.mean() < 0.003
    assert distance_mm(model, fit.coefficients, truth).max() < 1.0
    assert model.low.shape == (model.n_shape + 52,)  # the model is left alone
    wrong = fit_landmarks(model, replace(targets, prior=replace(held, mean=1 - weights)))
    assert wrong.coefficients[:, model.n_shape :].equal(1 - weights) and wrong.residual.mean() > fit.residual.mean()


def shared_scene(model: LandmarkModel, focal_px: float) -> tuple[Tensor, Pose, LandmarkTargets]:
    """Persons 0 and 1 with three photos each."""
    truth, pose, _ = scene(model, focal_px)
    truth[:, : model.n_shape] = truth[[0, 0, 0, 3, 3, 3], : model.n_shape]
    return truth, pose, observe(model, truth, pose, torch.tensor([0, 0, 0, 1, 1, 1]))


@FOCALS
def test_photos_of_one_person_share_a_shape_and_only_that(model, focal_px):
    _, _, targets = shared_scene(model, focal_px)
    shape, expression = fit_landmarks(model, targets).coefficients.split([model.n_shape, 52], dim=1)
    for person in (shape[:3], shape[3:]):
        torch.testing.assert_close(person, person[:1].expand_as(person), atol=1e-5, rtol=0)
    assert (shape[0] - shape[3]).abs().max() > 0.1
    assert (expression[0] - expression[1]).abs().max() > 0.1


@FOCALS
def test_people_do_not_influence_each_other(model, focal_px):
    _, _, targets = shared_scene(model, focal_px)
    both = fit_landmarks(model, targets)
    alone = fit_landmarks(model, only(targets, torch.arange(3, 6)))
    assert distance_mm(model, both.coefficients[3:], alone.coefficients).max() < 0.1


def test_the_order_of_photos_does_not_matter(model):
    _, _, targets = shared_scene(model, float("inf"))
    order = torch.tensor([4, 0, 3, 2, 5, 1])
    fit = fit_landmarks(model, targets)
    shuffled = fit_landmarks(model, replace(only(targets, order), person=targets.person[order]))
    assert distance_mm(model, shuffled.coefficients, fit.coefficients[order]).max() < 0.1


def test_more_photos_improve_the_identity(model):
    truth, _, targets = shared_scene(model, float("inf"))
    apart = fit_landmarks(model, replace(targets, person=torch.arange(6))).coefficients
    together = fit_landmarks(model, targets).coefficients
    neutral = [torch.cat([c[:, : model.n_shape], torch.zeros(6, 52)], dim=1) for c in (truth, apart, together)]
    assert distance_mm(model, neutral[2], neutral[0]).mean() < distance_mm(model, neutral[1], neutral[0]).mean()


def test_a_duplicate_photo_gets_the_same_result(model):
    _, _, targets = scene(model, float("inf"))
    twice = only(targets, torch.tensor([0, 0, 1]))
    fit = fit_landmarks(model, replace(twice, person=torch.tensor([0, 0, 1])))
    torch.testing.assert_close(fit.coefficients[0], fit.coefficients[1], atol=1e-3, rtol=0)


def test_targets_are_not_modified(model):
    _, _, targets = scene(model, 900.0)
    before = {field.name: getattr(targets, field.name) for field in fields(targets)}
    copies = {name: value.clone() for name, value in before.items() if isinstance(value, Tensor)}
    fit_landmarks(model, targets)
    for name, copy in copies.items():
        assert before[name].equal(copy)


def test_no_faces_are_refused(model):
    _, _, targets = scene(model, 900.0)
    with pytest.raises(ValueError, match="no faces"):
        fit_landmarks(model, only(targets, torch.arange(0)))
