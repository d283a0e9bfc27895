"""Lips that touch in the photo touch on the head."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from smirk3d.estimation import lip_contact as contact_module
from smirk3d.estimation.expression_prior import ExpressionPrior
from smirk3d.estimation.landmark_model import LandmarkModel, landmark_model
from smirk3d.estimation.lip_contact import LIP_PAIRS, lip_contact
from smirk3d.estimation.lm_solver import LandmarkTargets, fit_landmarks
from smirk3d.estimation.projection import Pose, project
from smirk3d.head.arkit import ARKIT_NAMES

EYES_PX = 100.0


@pytest.fixture(scope="module")
def model(open_head) -> LandmarkModel:
    return landmark_model(open_head)


def _lips(model: LandmarkModel, opening: float) -> Tensor:
    """Return landmarks (1, L, 2) px whose lips are so far open, relative to the distance of the eyes."""
    points = 300 * torch.rand(1, len(model.index), 2, generator=torch.Generator().manual_seed(0))
    for upper, lower in LIP_PAIRS:
        points[:, lower] = points[:, upper] + torch.tensor([0.0, opening * EYES_PX])
    return points


def _weights(**values: float) -> Tensor:
    return torch.tensor([[values.get(name, 0.0) for name in ARKIT_NAMES]])


def _observed(model: LandmarkModel, weights: Tensor) -> LandmarkTargets:
    """Return a frontal face; its prior lets the lips be less closed than they are."""
    pose = Pose(
        torch.eye(3)[None],
        torch.tensor([1000.0]),
        torch.zeros(1, 2),
        torch.full((1, 2), 200.0),
        torch.full((1,), torch.inf),
    )
    points = model.points(torch.nn.functional.pad(weights, (model.n_shape, 0)))
    half_closed = weights * torch.where(_weights(mouthClose=1.0) > 0, 0.5, 1.0)
    prior = ExpressionPrior(half_closed, torch.full((52,), 0.02))
    return LandmarkTargets(
        project(points, pose)[0], -points[..., 2] * 1000, pose.center_px, pose.focal_px, prior, torch.arange(1)
    )


def _opening(model: LandmarkModel, targets: LandmarkTargets) -> float:
    """Return the opening of the fitted lips, in eye distances."""
    return _opening_of(model, fit_landmarks(model, targets).coefficients)


def _opening_of(model: LandmarkModel, coefficients: Tensor) -> float:
    points = model.points(coefficients)
    eyes = (points[0, 33] - points[0, 263]).norm()
    return float((points[0, 13] - points[0, 14]).norm() / eyes)


def test_open_lips_are_left_alone(model: LandmarkModel) -> None:
    contact = lip_contact(model, _lips(model, 0.05), torch.tensor([EYES_PX]))
    assert not contact.is_active
    assert contact.energy(torch.randn(1, len(model.index), 2)) == 0


def test_only_the_opening_costs_not_the_place(model: LandmarkModel) -> None:
    contact = lip_contact(model, _lips(model, 0.0), torch.tensor([EYES_PX]))
    residual = torch.zeros(1, len(model.index), 2)
    residual[:] = torch.tensor([0.3, -0.2])
    assert contact.is_active and contact.energy(residual) == 0
    residual[0, LIP_PAIRS[0][0], 1] += 0.1
    assert contact.energy(residual) == pytest.approx((0.1 / contact_module.CONTACT_NOISE) ** 2, rel=1e-4)


def test_the_influence_fades_between_the_thresholds(model: LandmarkModel) -> None:
    low, high = contact_module.CLOSED_BELOW, contact_module.OPEN_ABOVE
    openings = (0.0, low - 1e-3, (low + high) / 2, high + 1e-3)
    precision = [float(lip_contact(model, _lips(model, x), torch.tensor([EYES_PX])).precision[0, 0]) for x in openings]
    assert precision[0] == precision[1] > precision[2] > precision[3] == 0
    assert precision[2] == pytest.approx(precision[0] / 2, rel=0.05)


def test_a_fit_closes_the_lips_against_its_prior(model: LandmarkModel, monkeypatch: pytest.MonkeyPatch) -> None:
    shut = _observed(model, _weights(jawOpen=0.5, mouthClose=0.5))
    with_contact = _opening(model, shut)
    is_open = _observed(model, _weights(jawOpen=0.5, mouthClose=0.2))
    open_with_contact = _opening(model, is_open)
    monkeypatch.setattr(contact_module, "CLOSED_BELOW", -2.0)
    monkeypatch.setattr(contact_module, "OPEN_ABOVE", -1.0)
    assert with_contact < 0.7 * _opening(model, shut)
    assert open_with_contact == pytest.approx(_opening(model, is_open), abs=1e-6)


def test_a_slit_between_lips_that_touch_is_no_opening(model: LandmarkModel) -> None:
    seen = contact_module.TOUCHING_BELOW - 1e-3
    contact = lip_contact(model, _lips(model, seen), torch.tensor([EYES_PX]))
    as_seen, shut = torch.zeros(2, 1, len(model.index), 2)
    for upper, lower in LIP_PAIRS:  # residuals are observations less the model's landmarks
        shut[0, lower] = torch.tensor([0.0, seen]) + shut[0, upper]
    assert contact.energy(shut) < 1e-6 < contact.energy(as_seen)
    assert contact.is_broken(as_seen).all() and not contact.is_broken(shut).any()


def test_lips_shut_even_where_the_prior_is_sure_of_actions_that_part_them(model: LandmarkModel) -> None:
    targets = _observed(model, _weights())
    prior = ExpressionPrior(_weights(mouthShrugUpper=0.2, mouthFunnel=0.18), torch.full((52,), 0.01))
    parted = _opening_of(model, torch.nn.functional.pad(prior.mean, (model.n_shape, 0)))
    assert parted > 0.03
    assert _opening(model, replace(targets, prior=prior)) < 0.01
