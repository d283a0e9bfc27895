"""Steps of the landmark fit: shared shapes against one dense system, and bounds."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from smirk3d.estimation.bounded_step import (
    MAX_INDEPENDENT_FACES,
    CoefficientPrior,
    People,
    bounded_step,
)
from smirk3d.estimation.landmark_model import LandmarkModel

P, N, K = 6, 3, 5
PEOPLE = People.of(torch.tensor([0, 1, 0]), torch.float64)


def model(bound: float = torch.inf) -> LandmarkModel:
    """A model of which only the sizes and the bounds matter."""
    empty, high = torch.zeros(0), torch.full((K,), bound, dtype=torch.float64)
    return LandmarkModel(empty, empty, empty, empty, empty, N, -high, high)


@pytest.fixture
def problem() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, CoefficientPrior]:
    random = torch.Generator().manual_seed(0)
    rows = torch.randn(3, 30, P + K, generator=random, dtype=torch.float64)
    residual = torch.randn(3, 30, 1, generator=random, dtype=torch.float64)
    coefficients = 0.1 * torch.randn(3, K, generator=random, dtype=torch.float64)
    coefficients[2, :N] = coefficients[0, :N]  # the shape of one person
    return rows.mT @ rows, (rows.mT @ residual).squeeze(-1), coefficients, prior_of(PEOPLE)


def prior_of(people: People) -> CoefficientPrior:
    """A prior of mean 0 and precision 2."""
    values = torch.zeros(len(people.person), K, dtype=torch.float64)
    return CoefficientPrior(values, people.divide(values + 2, N))


def test_a_shared_shape_solves_the_joint_system(problem) -> None:
    hessian, gradient, start, prior = problem
    pose_step, coefficients = bounded_step(hessian, gradient, start, model(), prior, torch.zeros(3).double(), PEOPLE)
    # Faces 0 and 2 as one system of two poses, two expressions and one shape.
    own = P + K - N
    order = [*range(P), *range(P + N, P + K), *range(P, P + N)]
    joint, right = torch.zeros(2 * own + N, 2 * own + N).double(), torch.zeros(2 * own + N).double()
    slope = torch.nn.functional.pad(PEOPLE.divide(-2.0 * start, N), (P, 0))
    stiffness = torch.nn.functional.pad(PEOPLE.divide(torch.full((3, K), 2.0).double(), N), (P, 0))
    for number, face in enumerate((0, 2)):
        index = torch.tensor([*range(number * own, (number + 1) * own), *range(2 * own, 2 * own + N)])
        joint[index[:, None], index] += (hessian[face] + torch.diag(stiffness[face]))[order][:, order]
        right[index] += (gradient[face] + slope[face])[order]
    step = torch.linalg.solve(joint, right)
    torch.testing.assert_close(pose_step[0], step[:P], atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(coefficients[2, :N] - start[2, :N], step[-N:], atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(coefficients[0, :N], coefficients[2, :N])
    assert (coefficients[0, :N] - coefficients[1, :N]).abs().max() > 1e-3


def test_steps_end_within_the_bounds_and_fixed_coefficients_stay(problem) -> None:
    hessian, gradient, start, _ = problem
    start = start.clamp(-0.05, 0.05)
    alone = People.of(torch.arange(3))
    _, coefficients = bounded_step(
        hessian, gradient, start, model(0.05), prior_of(alone), torch.zeros(3).double(), alone
    )
    assert coefficients.abs().max() <= 0.05
    outward = (start == 0.05) & (gradient[:, P:] - 2.0 * start > 0)
    assert outward.any() and coefficients[outward].eq(0.05).all()


def test_the_prior_of_a_shared_shape_counts_once() -> None:
    values = PEOPLE.divide(torch.ones(3, K), N)
    assert values[:, :N].tolist() == [[0.5] * N, [1.0] * N, [0.5] * N] and values[:, N:].eq(1).all()


def test_many_faces_of_one_person_leave_the_shape_as_uncertain_as_a_few() -> None:
    faces = 50
    values = People.of(torch.zeros(faces, dtype=torch.int64)).divide(torch.ones(faces, K), N)
    assert values[:, :N].eq(1 / MAX_INDEPENDENT_FACES).all() and values[:, N:].eq(1).all()


def test_copies_of_a_face_change_the_shape_no_more_than_a_few_of_them(problem) -> None:
    hessian, gradient, start, _ = problem

    def shape_of(copies: int) -> torch.Tensor:
        rows = torch.zeros(copies, dtype=torch.int64)
        people = People.of(rows, torch.float64)
        stack = (hessian[rows], gradient[rows], start[rows])
        return bounded_step(*stack, model(), prior_of(people), torch.zeros(copies).double(), people)[1][0, :N]

    few, many = shape_of(MAX_INDEPENDENT_FACES), shape_of(20 * MAX_INDEPENDENT_FACES)
    torch.testing.assert_close(many, few, atol=2e-3, rtol=0)
    assert (shape_of(1) - few).abs().max() > 2e-3


def test_a_bound_holds_for_all_faces_of_a_person(problem) -> None:
    hessian, gradient, start, prior = problem
    start = start.clamp(-0.02, 0.02)
    start[2, :N] = start[0, :N]
    _, coefficients = bounded_step(hessian, gradient, start, model(0.02), prior, torch.zeros(3).double(), PEOPLE)
    assert coefficients.abs().max() <= 0.02
    torch.testing.assert_close(coefficients[0, :N], coefficients[2, :N])


def correlated(prior: CoefficientPrior, mean: torch.Tensor, matrix: torch.Tensor) -> CoefficientPrior:
    """A prior whose shape coefficients have an inverse covariance (3, N, N), not shared."""
    precision = prior.precision.clone()
    precision[:, :N] = 0.0
    return replace(prior, mean=mean, precision=precision, shape_precision=matrix)


def test_a_covariance_of_the_shape_that_is_diagonal_changes_nothing(problem) -> None:
    hessian, gradient, start, prior = problem
    diagonal = correlated(prior, prior.mean, torch.diag_embed(prior.precision[:, :N]))
    damping = torch.full((3,), 0.1).double()
    plain, full = (bounded_step(hessian, gradient, start, model(), each, damping, PEOPLE) for each in (prior, diagonal))
    for one, other in zip(plain, full, strict=True):
        torch.testing.assert_close(one, other)


def test_the_energy_of_correlated_shapes_falls_along_the_descent(problem) -> None:
    _, _, start, prior = problem
    random = torch.Generator().manual_seed(5)
    root = torch.randn(3, N, N, generator=random).double()
    mean = torch.randn(3, K, generator=random).double()
    prior = correlated(prior, mean, root @ root.mT)
    point = start.clone().requires_grad_()
    prior.energy(point).sum().backward()
    assert point.grad is not None
    torch.testing.assert_close(point.grad, -2 * prior.descent(start))
    assert prior.energy(mean).abs().max() < 1e-12


def test_without_landmarks_the_shape_is_that_of_its_prior(problem) -> None:
    hessian, gradient, start, _ = problem
    root = torch.randn(3, N, N, generator=torch.Generator().manual_seed(6)).double()
    mean = torch.full_like(start, 0.3)
    alone = People.of(torch.arange(3), torch.float64)
    prior = correlated(prior_of(alone), mean, root @ root.mT + torch.eye(N))
    _, found = bounded_step(0 * hessian, 0 * gradient, start, model(), prior, torch.zeros(3).double(), alone)
    torch.testing.assert_close(found, mean, atol=2e-3, rtol=0)
