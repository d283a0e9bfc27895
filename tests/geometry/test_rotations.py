"""Rotations against the package roma."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import roma
import torch
from torch import Tensor

from smirk3d.geometry import rotations


def rotvecs() -> Tensor:
    """Return rotation vectors of all angles up to almost pi, tiny ones and zero among them."""
    random = torch.Generator().manual_seed(0)
    axis = torch.nn.functional.normalize(torch.randn(400, 3, generator=random, dtype=torch.float64), dim=1)
    angle = torch.rand(400, 1, generator=random, dtype=torch.float64) * (math.pi - 1e-3)
    tiny = axis[:20] * torch.logspace(-12, -3, 20, dtype=torch.float64)[:, None]
    return torch.cat([axis * angle, tiny, torch.zeros(1, 3, dtype=torch.float64), axis[:9] * (math.pi - 1e-6)])


CASES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "matrix": (rotations.rotvec_to_rotmat, roma.rotvec_to_rotmat, lambda v: v),
    "quaternion": (rotations.rotvec_to_unitquat, roma.rotvec_to_unitquat, lambda v: v),
    "quaternion of a matrix": (rotations.rotmat_to_unitquat, roma.rotmat_to_unitquat, roma.rotvec_to_rotmat),
    "vector of a matrix": (rotations.rotmat_to_rotvec, roma.rotmat_to_rotvec, roma.rotvec_to_rotmat),
    "vector of a quaternion": (rotations.unitquat_to_rotvec, roma.unitquat_to_rotvec, roma.rotvec_to_unitquat),
    "vector of a negative quaternion": (
        rotations.unitquat_to_rotvec,
        roma.unitquat_to_rotvec,
        lambda v: -roma.rotvec_to_unitquat(v),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_equal_to_roma(name: str) -> None:
    own, peer, prepare = CASES[name]
    given = prepare(rotvecs())
    torch.testing.assert_close(own(given), peer(given), atol=1e-9, rtol=0)
    torch.testing.assert_close(own(given.reshape(10, 43, *given.shape[1:])).flatten(0, 1), own(given))
    torch.testing.assert_close(own(given[0]), own(given)[0])
    torch.testing.assert_close(own(given.float()), own(given).float(), atol=2e-3 if "vector" in name else 1e-6, rtol=0)


def test_product_equal_to_roma() -> None:
    first, second = roma.rotvec_to_unitquat(rotvecs()), roma.rotvec_to_unitquat(rotvecs().flip(0))
    torch.testing.assert_close(rotations.quat_product(first, second), roma.quat_product(first, second))


@pytest.mark.parametrize("name", ["matrix", "quaternion"])
def test_gradients_are_those_of_roma_and_finite_at_the_identity(name: str) -> None:
    own, peer, _ = CASES[name]
    gradients = []
    for function in (own, peer):
        given = rotvecs().requires_grad_()
        value = function(given)
        (value * torch.linspace(-1, 1, value[0].numel(), dtype=value.dtype).reshape(value[0].shape)).sum().backward()
        gradients.append(given.grad)
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=0)
