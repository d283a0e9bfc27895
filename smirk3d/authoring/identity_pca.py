"""The identity space of the open head: a PCA over random MakeHuman people."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from smirk3d.authoring.makehuman import MakeHuman
from smirk3d.geometry.align import align

HEAD_CATEGORIES = ("cheek", "chin", "ears", "eyebrows", "eyes", "forehead", "head", "mouth", "nose", "neck")
LOCAL_TARGET_STD = 0.30
"""Standard deviation of the weight of a local target; MakeHuman's sliders end at ±1."""
ASYMMETRY_STD = 0.06
"""Standard deviation of what distinguishes the weight of a left target from that of its right partner."""

GENDERS = ("male", "female")
AGES = ("child", "young", "old")
MUSCLES = ("minmuscle", "averagemuscle", "maxmuscle")
WEIGHTS = ("minweight", "averageweight", "maxweight")
RACES = ("african", "asian", "caucasian")
HEIGHTS = ("minheight", "maxheight")
PROPORTIONS = ("uncommonproportions", "idealproportions")
"""Words in the names of MakeHuman's macro targets; the order is from low to high values of the slider."""


@dataclass(frozen=True)
class IdentityBasis:
    """Mean head and principal components of identity.

    Attributes:
        mean: (V, 3) metres, symmetric in x.
        shapedirs: (V, 3, S) metres per standard deviation, by decreasing variance; each component is either symmetric
            or antisymmetric in x.
        mirror_sign: (S,) +1 for symmetric components, -1 for antisymmetric ones: the factor under mirroring.
        kept_variance: Fraction of the variance that the S components explain, in [0, 1].
    """

    mean: Tensor
    shapedirs: Tensor
    mirror_sign: Tensor
    kept_variance: float


def build_identity(
    source: MakeHuman, mirror: Tensor, face_weight: Tensor, components: int, samples: int, seed: int
) -> IdentityBasis:
    """Sample people, align them on the face and return their principal components.

    Size is not observable in a single image, so it is removed: all faces are scaled to that of the base mesh.

    Args:
        source: The MakeHuman data.
        mirror: (V,) int64 partner of each vertex in the mirrored head.
        face_weight: (V,) weight of each vertex in the alignment.
        components: Number of components S.
        samples: Number of people, each used with its mirror image; must exceed S.
        seed: Seed of the sampling.
    """
    generator = torch.Generator().manual_seed(seed)
    directions, weights = [], []
    for part in (_macro_targets(source, samples, generator), _local_targets(source, samples, generator)):
        directions += part[0]
        weights.append(part[1])
    # All people are linear combinations of the targets: one matrix product makes them all.
    basis = torch.from_numpy(np.stack(directions)).flatten(1)
    template = torch.from_numpy(source.head_vertices())
    people = template + (torch.cat(weights, dim=1) @ basis).unflatten(-1, template.shape)
    people = align(people, template.expand_as(people), face_weight).apply(people)
    return principal_components(people, mirror, components)


def principal_components(people: Tensor, mirror: Tensor, components: int) -> IdentityBasis:
    """Return the PCA of N people together with their mirror images.

    The principal components of a set that is closed under mirroring are exactly symmetric or antisymmetric, so the
    symmetric and the antisymmetric part are decomposed separately.

    Args:
        people: (N, V, 3) vertices, metres.
        mirror: (V,) int64 partner of each vertex in the mirrored head.
        components: Number of components S.
    """
    flipped = people[:, mirror] * people.new_tensor([-1.0, 1.0, 1.0])
    mean = (people + flipped).mean(0) / 2
    halves = {1.0: (people + flipped) / 2 - mean, -1.0: (people - flipped) / 2}
    variance, signs, directions, total = [], [], [], 0.0
    for sign, half in halves.items():
        # In double precision: in single precision the small components would differ from machine to machine.
        rows = half.flatten(1).double() / len(people) ** 0.5
        # There are fewer people than coordinates: the Gram matrix (N, N) has the same non-zero eigenvalues as the
        # covariance.
        eigenvalue, vector = torch.linalg.eigh(rows @ rows.T)
        total += float(eigenvalue.sum())
        eigenvalue, vector = eigenvalue[-components:].clamp_min(1e-20), vector[:, -components:]
        variance.append(eigenvalue)
        signs.append(torch.full_like(eigenvalue, sign))
        # rows = U diag(s) V^T; the direction per standard deviation is s V^T = U^T rows.
        directions.append(
            _with_canonical_sign((vector.T @ rows).unflatten(1, mean.shape), mean).flatten(1).to(mean.dtype)
        )
    order = torch.cat(variance).argsort(descending=True)[:components]
    kept = float(torch.cat(variance)[order].sum()) / total
    directions = torch.cat(directions)[order].T.reshape(*mean.shape, components)
    return IdentityBasis(mean, directions.contiguous(), torch.cat(signs)[order].to(mean.dtype), kept)


def _with_canonical_sign(directions: Tensor, mean: Tensor) -> Tensor:
    """Return directions (S, V, 3), each with the sign that makes its cubic sum on the subject's left side positive.

    The sign of an eigenvector is arbitrary; a fixed convention keeps trained weights valid for later builds of the
    head.
    """
    cubic_sum = directions[:, mean[:, 0] > 0].pow(3).sum((1, 2))
    return directions * torch.where(cubic_sum < 0, -1.0, 1.0)[:, None, None]


def _interpolation_weights(value: Tensor, names: tuple[str, ...]) -> dict[str, Tensor]:
    """Return the weights (N,) of linear interpolation of values (N,) in [0, 1] between equally spaced anchors."""
    position = value * (len(names) - 1)
    return {name: (1 - (position - k).abs()).clamp_min(0) for k, name in enumerate(names)}


def _macro_targets(source: MakeHuman, samples: int, generator: torch.Generator) -> tuple[list, Tensor]:
    """Return macro targets and their weights (N, targets) for random sex, age, build, ancestry, height and proportions.

    As in MakeHuman, the weight of a target is the product of the weights of the words in its name.
    """

    def uniform() -> Tensor:
        return torch.rand(samples, generator=generator)

    # Normalised exponential variates have a flat Dirichlet distribution; the power favours one ancestry over an even
    # mixture.
    ancestry = torch.rand(samples, len(RACES), generator=generator).log().neg() ** 1.5
    ancestry = ancestry / ancestry.sum(1, keepdim=True)
    word_weights = (
        _interpolation_weights(uniform(), GENDERS)
        | _interpolation_weights(uniform() ** 0.7, AGES)
        | _interpolation_weights(uniform(), MUSCLES)
        | _interpolation_weights(uniform(), WEIGHTS)
    )
    word_weights |= dict(zip(RACES, ancestry.unbind(1)))
    for names in (HEIGHTS, PROPORTIONS):
        low, high = names
        value = uniform() * 2 - 1
        word_weights |= {low: (-value).clamp_min(0), high: value.clamp_min(0)}
    build = list(product(GENDERS, AGES, MUSCLES, WEIGHTS))
    files = [("universal-" + "-".join(words), words) for words in build]
    files += [("-".join(words), words) for words in product(RACES, GENDERS, AGES)]
    files += [("height/" + "-".join((*b, h)), (*b, h)) for b in build for h in HEIGHTS]
    files += [("proportions/" + "-".join((*b, p)), (*b, p)) for b in build for p in PROPORTIONS]
    folder = source.root / "mpfb2/targets/macrodetails"
    targets = [source.target(folder / f"{name}.target.gz") for name, _ in files]
    weights = [torch.stack([word_weights[word] for word in words]).prod(0) for _, words in files]
    return targets, torch.stack(weights, dim=1)


def _local_targets(source: MakeHuman, samples: int, generator: torch.Generator) -> tuple[list, Tensor]:
    """Return local targets and their random weights (N, targets), nearly equal on the left and on the right."""
    pairs = source.local_targets(HEAD_CATEGORIES)
    shared: dict[str, Tensor] = {}
    targets, weights = [], []
    for name, (plus, minus) in pairs.items():
        # Left and right targets of one slider share the larger part of their weight.
        key = name[2:] if name[:2] in ("l-", "r-") else name
        if key not in shared:
            shared[key] = LOCAL_TARGET_STD * torch.randn(samples, generator=generator)
        value = shared[key]
        if key != name or _is_lateral(plus):
            difference = ASYMMETRY_STD * torch.randn(samples, generator=generator)
            value = difference if key == name else value + difference
        value = value.clamp(-1, 1)
        targets += [plus, minus]
        weights += [value.clamp_min(0), (-value).clamp_min(0)]
    return targets, torch.stack(weights, dim=1)


def _is_lateral(offsets: np.ndarray) -> bool:
    """Return whether a target (V, 3) moves its region laterally on average (nose or mouth away from the midline)."""
    mean = np.abs(offsets.mean(0))
    return bool(mean[0] > 2 * mean[1:].max())
