"""The principal components of a set of people that is closed under mirroring."""

import numpy as np
import pytest
import torch

from smirk3d.authoring.identity_pca import (
    AGE_ANCHORS_YEARS,
    FACE_CATEGORIES,
    FREE_SHARE,
    _age,
    _sex,
    build_identity,
    principal_components,
    tied_to_face,
)
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


def test_what_a_face_does_not_tell_of_a_skull_is_reduced_and_what_it_tells_is_kept():
    random = torch.Generator().manual_seed(0)
    template = torch.tensor([[0.0, 0, 0], [0.01, 0, 0], [0.0, 0, 0.005], [0, 0, -0.3], [0, 0.1, -0.3]])
    face = torch.tensor([True, True, False, False, False])
    own = torch.randn(200, 5, 3, generator=random) * 0.01
    heads = template + own
    heads[:, 4] = template[4] + 2 * own[:, 0]  # follows from the face
    tied = tied_to_face(heads, template, face)
    assert tied[:, face].equal(heads[:, face])
    torch.testing.assert_close(tied[:, 4], heads[:, 4], atol=1e-5, rtol=0)
    spread = (tied - tied.mean(0)).std(0).norm(dim=-1) / (heads - heads.mean(0)).std(0).norm(dim=-1)
    assert spread[3] == pytest.approx(FREE_SHARE, abs=0.06) and spread[2] > 0.9
    torch.testing.assert_close(tied.mean(0), heads.mean(0))


def test_women_and_men_and_ages_are_even():
    sex, age = (draw(4000, torch.Generator().manual_seed(0)) for draw in (_sex, _age))
    assert (sex > 0.5).float().mean() == pytest.approx(0.5, abs=0.01) and ((sex - 0.5).abs() > 0.2).float().mean() > 0.9
    child, young, old = AGE_ANCHORS_YEARS
    years = torch.where(age < 0.5, child + 2 * age * (young - child), young + (2 * age - 1) * (old - young))
    quarters = torch.histc(years, 4) / len(years)
    assert quarters.sub(0.25).abs().max() < 0.03 and years.min() >= 14 and years.max() <= 80


@pytest.mark.slow
def test_people_depend_on_the_seed_alone_and_have_one_size():
    source = load_makehuman()
    base = torch.from_numpy(source.head_vertices())
    mirror, trust = mirror_pairs(base), (base[:, 2] > 0.05).float()
    first, again, other = (build_identity(source, mirror, trust, 5, 6, seed) for seed in (0, 0, 1))
    assert first.mean.equal(again.mean) and first.shapedirs.equal(again.shapedirs)
    assert not first.mean.equal(other.mean)
    assert set(FACE_CATEGORIES) >= {"nose", "eyes", "mouth"}
    spread = [points[trust > 0].std(0).norm() for points in (first.mean, other.mean, base)]
    assert max(spread) / min(spread) < 1.02
