"""The open head's identity space: a PCA over random MakeHuman people."""

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
"""Standard deviation of a local change; its sliders end at ±1."""
ASYMMETRY_STD = 0.06
"""Standard deviation of the difference between a left change and the right one."""

GENDERS = ("male", "female")
AGES = ("child", "young", "old")
MUSCLES = ("minmuscle", "averagemuscle", "maxmuscle")
WEIGHTS = ("minweight", "averageweight", "maxweight")
RACES = ("african", "asian", "caucasian")
HEIGHTS = ("minheight", "maxheight")
PROPORTIONS = ("uncommonproportions", "idealproportions")


@dataclass(frozen=True)
class IdentityBasis:
    """Mean head and principal components of identity.

    Attributes:
        mean: (V, 3) metres, symmetric in x.
        shapedirs: (V, 3, S) metres per standard deviation, by falling variance; each component is either
            symmetric or antisymmetric in x.
        mirror_sign: (S,) +1 for symmetric components, -1 for the others: mirroring a face multiplies by it.
        kept_variance: share of the variance that the S components hold.
    """

    mean: Tensor
    shapedirs: Tensor
    mirror_sign: Tensor
    kept_variance: float


def build_identity(
    source: MakeHuman, mirror: Tensor, face_weight: Tensor, components: int, samples: int, seed: int
) -> IdentityBasis:
    """Sample people, align them on the face and return their principal components.

    Size is not observable in a photo, so it is removed: all faces get the size of the undeformed one.

    Args:
        source: the MakeHuman data. mirror: (V,) partner of each vertex in the mirrored head.
        face_weight: (V,) trust in each vertex for the alignment; the rest of the head follows.
        components: S. samples: number of people, each used with its mirror image. seed: of the sampling.
    """
    generator = torch.Generator().manual_seed(seed)
    directions, weights = [], []
    for part in (_macro_targets(source, samples, generator), _local_targets(source, samples, generator)):
        directions += part[0]
        weights.append(part[1])
    basis = torch.from_numpy(np.stack(directions)).flatten(1)
    template = torch.from_numpy(source.head_vertices())
    people = template + (torch.cat(weights, dim=1) @ basis).unflatten(-1, template.shape)
    people = align(people, template.expand_as(people), face_weight).apply(people)
    return principal_components(people, mirror, components)


def principal_components(people: Tensor, mirror: Tensor, components: int) -> IdentityBasis:
    """Return the PCA of `people` (N, V, 3) together with their mirror images.

    A set that is closed under mirroring has components that are exactly symmetric or antisymmetric,
    so the two halves are decomposed on their own.
    """
    flipped = people[:, mirror] * people.new_tensor([-1.0, 1.0, 1.0])
    mean = (people + flipped).mean(0) / 2
    halves = {1.0: (people + flipped) / 2 - mean, -1.0: (people - flipped) / 2}
    variance, signs, directions, total = [], [], [], 0.0
    for sign, half in halves.items():
        # In float64: in single precision the small components would come out otherwise on every machine.
        rows = half.flatten(1).double() / len(people) ** 0.5
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
    """Return directions (S, V, 3) with the sign by which what is largest on the subject's left side is positive.

    An eigenvector's own sign is chance: what was learned for one build of the head must hold for the next.
    """
    largest = directions[:, mean[:, 0] > 0].pow(3).sum((1, 2))
    return directions * torch.where(largest < 0, -1.0, 1.0)[:, None, None]


def _interpolation_weights(value: Tensor, names: tuple[str, ...]) -> dict[str, Tensor]:
    """Split value (N,) in [0, 1] linearly over equally spaced anchors."""
    position = value * (len(names) - 1)
    return {name: (1 - (position - k).abs()).clamp_min(0) for k, name in enumerate(names)}


def _macro_targets(source: MakeHuman, samples: int, generator: torch.Generator) -> tuple[list, Tensor]:
    """Return targets and weights (N, targets) of random sex, age, build, race, height and proportions.

    A target's weight is the product of the weights of the words in its name.
    """

    def uniform() -> Tensor:
        return torch.rand(samples, generator=generator)

    # Normalised exponentials are a flat Dirichlet; the power prefers one ancestry over an even mixture.
    share = torch.rand(samples, len(RACES), generator=generator).log().neg() ** 1.5
    share = share / share.sum(1, keepdim=True)
    words = (
        _interpolation_weights(uniform(), GENDERS)
        | _interpolation_weights(uniform() ** 0.7, AGES)
        | _interpolation_weights(uniform(), MUSCLES)
        | _interpolation_weights(uniform(), WEIGHTS)
    )
    words |= dict(zip(RACES, share.unbind(1)))
    for names in (HEIGHTS, PROPORTIONS):
        low, high = names
        value = uniform() * 2 - 1
        words |= {low: (-value).clamp_min(0), high: value.clamp_min(0)}
    build = list(product(GENDERS, AGES, MUSCLES, WEIGHTS))
    files = [("universal-" + "-".join(words_), words_) for words_ in build]
    files += [("-".join(words_), words_) for words_ in product(RACES, GENDERS, AGES)]
    files += [("height/" + "-".join((*b, h)), (*b, h)) for b in build for h in HEIGHTS]
    files += [("proportions/" + "-".join((*b, p)), (*b, p)) for b in build for p in PROPORTIONS]
    folder = source.root / "mpfb2/targets/macrodetails"
    targets = [source.target(folder / f"{name}.target.gz") for name, _ in files]
    weights = [torch.stack([words[word] for word in words_]).prod(0) for _, words_ in files]
    return targets, torch.stack(weights, dim=1)


def _local_targets(source: MakeHuman, samples: int, generator: torch.Generator) -> tuple[list, Tensor]:
    """Return targets and weights (N, targets) of random local changes, left and right nearly alike."""
    changes = source.local_targets(HEAD_CATEGORIES)
    shared: dict[str, Tensor] = {}
    targets, weights = [], []
    for name, (plus, minus) in changes.items():
        key = name[2:] if name[:2] in ("l-", "r-") else name
        if key not in shared:
            shared[key] = LOCAL_TARGET_STD * torch.randn(samples, generator=generator)
        value = shared[key]
        if key != name or _is_lateral(plus):
            own = ASYMMETRY_STD * torch.randn(samples, generator=generator)
            value = own if key == name else value + own
        value = value.clamp(-1, 1)
        targets += [plus, minus]
        weights += [value.clamp_min(0), (-value).clamp_min(0)]
    return targets, torch.stack(weights, dim=1)


def _is_lateral(offsets: np.ndarray) -> bool:
    """Tell whether a change moves its region sideways (nose or mouth off the middle), on average."""
    mean = np.abs(offsets.mean(0))
    return bool(mean[0] > 2 * mean[1:].max())
