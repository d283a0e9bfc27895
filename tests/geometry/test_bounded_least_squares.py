"""Bounded least squares against SciPy's solver."""

import numpy as np
import pytest
import torch
from scipy.optimize import lsq_linear

from smirk3d.geometry.bounded_least_squares import bounded_lstsq


def problem(seed: int, spread: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A matrix (40, 12) whose columns have lengths from 1 down to `spread`, and 30 right-hand sides (30, 40)."""
    random = torch.Generator().manual_seed(seed)
    matrix = torch.randn(40, 12, generator=random, dtype=torch.float64) * torch.logspace(0, np.log10(spread), 12)
    true = torch.rand(30, 12, generator=random, dtype=torch.float64) * 1.6 - 0.3
    return matrix, true @ matrix.T + 0.1 * torch.randn(30, 40, generator=random, dtype=torch.float64)


@pytest.mark.parametrize("spread", [1.0, 0.1, 0.01])
def test_solution_agrees_with_scipy(spread):
    matrix, wanted = problem(0, spread)
    found = bounded_lstsq(matrix.T @ matrix, wanted @ matrix, 0.0, 1.0)
    expected = [lsq_linear(matrix.numpy(), row, (0, 1), tol=1e-12).x for row in wanted.numpy()]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_other_bounds_and_nearly_collinear_columns():
    matrix, wanted = problem(1, 1.0)
    matrix[:, 1] = matrix[:, 0] + 0.05 * matrix[:, 1]
    found = bounded_lstsq(matrix.T @ matrix, wanted @ matrix, -0.5, 0.25)
    assert found.min() >= -0.5 and found.max() <= 0.25
    expected = [lsq_linear(matrix.numpy(), row, (-0.5, 0.25), tol=1e-12).x for row in wanted.numpy()]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


def test_rough_solution_is_close_to_the_polished_one():
    matrix, wanted = problem(2, 0.3)
    gram, rhs = matrix.T @ matrix, wanted @ matrix
    assert (bounded_lstsq(gram, rhs, polish=False) - bounded_lstsq(gram, rhs)).abs().max() < 0.02


def test_rows_are_independent():
    matrix, wanted = problem(3, 0.1)
    gram, rhs = matrix.T @ matrix, wanted @ matrix
    alone = torch.cat([bounded_lstsq(gram, row[None]) for row in rhs[:5]])
    torch.testing.assert_close(bounded_lstsq(gram, rhs)[:5], alone)
    assert bounded_lstsq(gram.float(), rhs.float()).dtype == torch.float32
