"""The prior of the shapes: photos of one person, and what it does to a fit."""

import torch

from smirk3d.estimation.landmark_model import landmark_model
from smirk3d.estimation.lm_solver import LandmarkTargets, fit_landmarks
from smirk3d.estimation.projection import Pose, project
from smirk3d.estimation.shape_prior import ShapePrior


def test_photos_of_a_person_share_the_mean_of_their_means():
    mean = torch.tensor([[1.0, 0.0], [5.0, 5.0], [3.0, 2.0]])
    prior = ShapePrior(mean, torch.eye(2).expand(3, 2, 2))
    shared = prior.of_people(torch.tensor([0, 1, 0]))
    torch.testing.assert_close(shared.mean, torch.tensor([[2.0, 1.0], [5.0, 5.0], [2.0, 1.0]]))
    assert shared.precision.equal(prior.precision)


def test_a_photo_that_tells_nothing_does_not_change_the_mean_of_the_others():
    mean = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    prior = ShapePrior(mean, torch.stack([1e4 * torch.eye(2), torch.eye(2)]))
    torch.testing.assert_close(prior.of_people(torch.tensor([0, 0])).mean[1], mean[0], atol=1e-3, rtol=1e-3)


def test_a_certain_prior_holds_the_shape_and_an_uncertain_one_leaves_it_to_the_landmarks(open_head):
    model = landmark_model(open_head, spacing_m=0.006)
    random = torch.Generator().manual_seed(0)
    truth = torch.zeros(3, model.n_shape + 52)
    truth[:, : model.n_shape] = 0.7 * torch.randn(3, model.n_shape, generator=random)
    pose = Pose(
        torch.eye(3).expand(3, 3, 3),
        torch.full((3,), 900.0),
        torch.zeros(3, 2),
        torch.full((3, 2), 200.0),
        torch.full((3,), torch.inf),
    )
    points = model.points(truth)
    points_px = torch.full((3, 478, 2), 200.0)
    points_px[:, model.index] = project(points, pose)[0]
    depth_px = torch.zeros(3, 478)
    depth_px[:, model.index] = -900 * points[..., 2]
    believed = torch.full((3, model.n_shape), 0.2)
    found = {}
    for precision in (1e7, 1e-3):
        prior = ShapePrior(believed, precision * torch.eye(model.n_shape).expand(3, -1, -1))
        targets = LandmarkTargets(points_px, depth_px, pose.center_px, pose.focal_px, None, torch.arange(3), prior)
        found[precision] = fit_landmarks(model, targets)
    certain, uncertain = (fit.coefficients[:, : model.n_shape] for fit in found.values())
    torch.testing.assert_close(certain, believed, atol=0.02, rtol=0)
    assert found[1e-3].residual.mean() < 0.5 * found[1e7].residual.mean()
    assert (uncertain - believed).abs().mean() > 0.2
