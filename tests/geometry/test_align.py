"""Similarity and rigid alignment: known transforms are recovered, other data are fitted optimally."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from smirk3d.geometry.align import align


def random_points(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_rotation(seed: int) -> torch.Tensor:
    return torch.from_numpy(Rotation.from_rotvec(np.random.default_rng(seed).normal(size=3)).as_matrix())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 9999), scale=st.floats(0.01, 100), count=st.integers(4, 30))
def test_recovers_a_similarity(seed, scale, count):
    source, rotmat, offset = random_points(seed, count), random_rotation(seed), random_points(seed + 1)
    target = scale * source @ rotmat.T + offset
    found = align(source, target)
    torch.testing.assert_close(found.apply(source), target, atol=1e-8 * scale, rtol=1e-8)
    torch.testing.assert_close(found.scale, torch.tensor(scale, dtype=torch.float64))
    torch.testing.assert_close(found.rotmat, rotmat, atol=1e-7, rtol=0)
    torch.testing.assert_close(found.offset, offset, atol=1e-7 * max(scale, 1), rtol=1e-7)


def test_rotation_agrees_with_scipy():
    source, target = random_points(0, 20), random_points(1, 20)
    weight = torch.rand(20, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    centered = [p - (weight[:, None] * p).sum(0) / weight.sum() for p in (source, target)]
    expected = Rotation.align_vectors(centered[1].numpy(), centered[0].numpy(), weight.numpy())[0]
    found = align(source, target, weight, scaled=False)
    np.testing.assert_allclose(found.rotmat.numpy(), expected.as_matrix(), atol=1e-8)
    assert found.scale == 1


def test_never_a_reflection():
    source = random_points(3, 12)
    found = align(source, source * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64))
    torch.testing.assert_close(torch.det(found.rotmat), torch.tensor(1.0, dtype=torch.float64))


def test_no_small_change_is_better():
    source, target = random_points(4, 15), random_points(5, 15)
    found = align(source, target)

    def cost(scale: torch.Tensor, rotmat: torch.Tensor, offset: torch.Tensor) -> float:
        return float((scale * source @ rotmat.T + offset - target).square().sum())

    best = cost(found.scale, found.rotmat, found.offset)
    assert best <= min(cost(found.scale * f, found.rotmat, found.offset) for f in (0.99, 1.01))
    for axis in torch.eye(3, dtype=torch.float64):
        for angle in (-0.01, 0.01):
            rotation = torch.from_numpy(Rotation.from_rotvec(angle * axis.numpy()).as_matrix())
            assert best <= cost(found.scale, rotation @ found.rotmat, found.offset)
            assert best <= cost(found.scale, found.rotmat, found.offset + angle * axis)


def test_points_without_weight_do_not_count():
    source = random_points(6, 10)
    target = 2 * source @ random_rotation(7).T + 1
    target[3] += 100
    weight = torch.ones(10, dtype=torch.float64)
    weight[3] = 0
    found = align(source, target, weight)
    kept = weight > 0
    torch.testing.assert_close(found.apply(source)[kept], target[kept])
    torch.testing.assert_close(found.scale, torch.tensor(2.0, dtype=torch.float64))


def test_a_batch_is_a_loop():
    source, target = random_points(8, 2, 3, 9), random_points(9, 2, 3, 9)
    weight = torch.rand(9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = align(source, target, weight)
    assert found.scale.shape == (2, 3) and found.rotmat.shape == (2, 3, 3, 3)
    for i in range(2):
        for j in range(3):
            one = align(source[i, j], target[i, j], weight)
            torch.testing.assert_close(found.rotmat[i, j], one.rotmat)
            torch.testing.assert_close(found.apply(source)[i, j], one.apply(source[i, j]))
