"""The principal components of a set of people that is closed under mirroring."""

import numpy as np
import pytest
import torch

from smirk3d.authoring.identity_pca import HEAD_CATEGORIES, build_identity, principal_components
from smirk3d.authoring.makehuman import load_makehuman, mirror_pairs

MIRROR = torch.tensor([3, 4, 2, 0, 1])
FLIP = torch.tensor([-1.0, 1.0, 1.0])


def people(count: int = 12, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(count, 5, 3, generator=random) * torch.linspace(0.1, 1.0, 15).reshape(5, 3) + 1


def covariance() -> np.ndarray:
    both = torch.cat([people(), people()[:, MIRROR] * FLIP]).flatten(1).double().numpy()
    return np.cov(both.T, bias=True)


def test_all_components_reproduce_the_covariance_of_people_and_their_mirror_images():
    basis = principal_components(people(), MIRROR, 15)
    directions = basis.shapedirs.flatten(0, 1).double().numpy()
    np.testing.assert_allclose(directions @ directions.T, covariance(), atol=1e-4)
    assert basis.kept_variance == pytest.approx(1.0, abs=1e-5)


def test_components_are_the_leading_eigenvectors():
    basis = principal_components(people(), MIRROR, 4)
    eigenvalues = np.sort(np.linalg.eigvalsh(covariance()))[::-1]
    variance = basis.shapedirs.square().sum((0, 1)).numpy()
    np.testing.assert_allclose(variance, eigenvalues[:4], rtol=1e-4)
    assert basis.kept_variance == pytest.approx(eigenvalues[:4].sum() / eigenvalues.sum(), rel=1e-4)
    directions = basis.shapedirs.flatten(0, 1).double().numpy()
    np.testing.assert_allclose(covariance() @ directions, directions * eigenvalues[:4], atol=2e-4)


def test_mean_and_components_are_symmetric_or_antisymmetric():
    basis = principal_components(people(), MIRROR, 6)
    torch.testing.assert_close(basis.mean[MIRROR] * FLIP, basis.mean)
    mirrored = basis.shapedirs[MIRROR] * FLIP[:, None] * basis.mirror_sign
    torch.testing.assert_close(mirrored, basis.shapedirs, atol=1e-5, rtol=0)
    assert set(basis.mirror_sign.tolist()) == {1.0, -1.0}


def test_the_sign_of_a_component_depends_on_the_people_alone():
    # Other orders of the same people, as other threads sum them, end in other signs of LAPACK's eigenvectors.
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    both = torch.cat([people(), people()[:, MIRROR] * FLIP])
    bases = [principal_components(some, MIRROR, 8) for some in (people(), people()[order], both, both.flip(0))]
    for basis in bases[1:]:
        torch.testing.assert_close(basis.shapedirs, bases[0].shapedirs, atol=1e-4, rtol=0)
    left = bases[0].shapedirs[bases[0].mean[:, 0] > 0]
    assert (left.pow(3).sum((0, 1)) > 0).all()


@pytest.mark.slow
def test_people_depend_on_the_seed_alone_and_have_one_size():
    source = load_makehuman()
    base = torch.from_numpy(source.head_vertices())
    mirror, trust = mirror_pairs(base), (base[:, 2] > 0.05).float()
    first, again, other = (build_identity(source, mirror, trust, 5, 6, seed) for seed in (0, 0, 1))
    assert first.mean.equal(again.mean) and first.shapedirs.equal(again.shapedirs)
    assert not first.mean.equal(other.mean)
    assert set(HEAD_CATEGORIES) >= {"nose", "eyes", "mouth"}
    spread = [points[trust > 0].std(0).norm() for points in (first.mean, other.mean, base)]
    assert max(spread) / min(spread) < 1.02
