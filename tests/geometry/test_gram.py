"""Products A A^T against plain matrix products."""

from __future__ import annotations

import pytest
import torch

from smirk3d.geometry.gram import gram


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("has_gradient", [False, True])
@pytest.mark.parametrize("shape", [(1, 5, 7), (3, 159, 616), (2, 1, 1)])
def test_equals_the_plain_product(shape: tuple[int, int, int], has_gradient: bool, dtype: torch.dtype) -> None:
    wide = torch.randn(shape[0], shape[1], 2 * shape[2], generator=torch.Generator().manual_seed(0)).to(dtype)
    for matrices in (wide[..., : shape[2]], wide[..., : shape[2]].contiguous()):
        with torch.set_grad_enabled(has_gradient):
            found = gram(matrices)
        torch.testing.assert_close(found.double(), matrices.double() @ matrices.double().mT, atol=1e-3, rtol=1e-5)
