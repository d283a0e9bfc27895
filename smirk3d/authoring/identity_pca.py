"""The identity space of the open head: a PCA over random MakeHuman people."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from smirk3d.authoring.makehuman import MakeHuman
from smirk3d.authoring.population import MEAN_SLIDERS
from smirk3d.geometry.align import align

FACE_CATEGORIES = ("cheek", "chin", "eyebrows", "eyes", "mouth", "nose")
SKULL_CATEGORIES = ("ears", "forehead", "head", "neck")
"""Categories of MakeHuman's sliders; those of the skull also move the face."""
FACE_TARGET_STD, SKULL_TARGET_STD = 0.29, 0.18
"""Standard deviations of the weights of local targets; MakeHuman's sliders end at ±1."""
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
AGE_ANCHORS_YEARS = (10.0, 25.0, 90.0)
"""Ages that MakeHuman's words child, young and old stand for."""
AGE_RANGE_YEARS = (14.0, 80.0)
SEX_SPREAD = 0.15
"""Standard deviation of the distance from the male or female end of the slider."""
BUILD_STD = 0.22
"""Standard deviation of the sliders of muscles, weight, height and proportions, in [0, 1]."""
MACRO_DIRECTIONS = 8
"""Principal components of sex, age, build and ancestry."""
FREE_SHARE = 0.35
"""Share that remains of how the rest of a head deviates from what its face leads one to expect."""
FACE_COMPONENTS = 40
"""Principal components of the face by which the rest of the head is predicted."""
TRANSITION_M = 0.02
"""Distance from the face over which its own deviation goes over into the shared one, metres."""


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
    template = torch.from_numpy(source.head_vertices())
    people = random_people(source, samples, torch.Generator().manual_seed(seed))
    people = align(people, template.expand_as(people), face_weight).apply(people)
    return principal_components(tied_to_face(people, template, face_weight > 0), mirror, components)


def random_people(source: MakeHuman, samples: int, generator: torch.Generator) -> Tensor:
    """Return the heads (N, V, 3), metres, of random people; `random_word_weights` draws first."""
    directions, weights = [], []
    for part in (_macro_targets(source, samples, generator), _local_targets(source, samples, generator)):
        directions += part[0]
        weights.append(part[1])
    # All people are linear combinations of the targets: one matrix product makes them all.
    basis = torch.from_numpy(np.stack(directions)).flatten(1)
    template = torch.from_numpy(source.head_vertices())
    return template + (torch.cat(weights, dim=1) @ basis).unflatten(-1, template.shape)


def tied_to_face(people: Tensor, template: Tensor, face: Tensor) -> Tensor:
    """Return people whose skulls, ears and necks deviate less from what their faces lead one to expect.

    What lies outside the face is predicted from the face by principal component regression over all people; of what
    remains only `FREE_SHARE` is kept, with a smooth transition at the border of the face. Photos show faces: the rest
    of a head is then the likely one of its face.

    Args:
        people: (N, V, 3) aligned on the face, metres.
        template: (V, 3) the undeformed head, for distances from the face.
        face: (V,) bool mask.
    """
    offset = people - people.mean(0)
    # Scores of the leading components of the face, which are uncorrelated: regression is a projection on them.
    scores = torch.linalg.svd(offset[:, face].flatten(1), full_matrices=False)[0][:, :FACE_COMPONENTS]
    expected = (scores @ (scores.T @ offset.flatten(1))).view_as(offset)
    distance = torch.cdist(template, template[face]).amin(1)
    share = FREE_SHARE + (1 - FREE_SHARE) * torch.exp(-((distance / TRANSITION_M) ** 2))
    tied = people.mean(0) + expected + share[:, None] * (offset - expected)
    return torch.where(face[:, None], people, tied)


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
    word_weights = random_word_weights(samples, generator)
    build = list(product(GENDERS, AGES, MUSCLES, WEIGHTS))
    files = [("universal-" + "-".join(words), words) for words in build]
    files += [("-".join(words), words) for words in product(RACES, GENDERS, AGES)]
    files += [("height/" + "-".join((*b, h)), (*b, h)) for b in build for h in HEIGHTS]
    files += [("proportions/" + "-".join((*b, p)), (*b, p)) for b in build for p in PROPORTIONS]
    folder = source.root / "mpfb2/targets/macrodetails"
    targets = [source.target(folder / f"{name}.target.gz") for name, _ in files]
    weights = [torch.stack([word_weights[word] for word in words]).prod(0) for _, words in files]
    return targets, torch.stack(weights, dim=1)


def random_word_weights(samples: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Return the weights (N,) of the words in the names of macro targets, of random people."""
    # Normalised exponential variates have a flat Dirichlet distribution; the power favours one ancestry over an even
    # mixture.
    ancestry = torch.rand(samples, len(RACES), generator=generator).log().neg() ** 1.5
    ancestry = ancestry / ancestry.sum(1, keepdim=True)
    word_weights = (
        _interpolation_weights(_sex(samples, generator), GENDERS)
        | _interpolation_weights(_age(samples, generator), AGES)
        | _interpolation_weights(_middling(samples, generator), MUSCLES)
        | _interpolation_weights(_middling(samples, generator), WEIGHTS)
    )
    word_weights |= dict(zip(RACES, ancestry.unbind(1)))
    for names in (HEIGHTS, PROPORTIONS):
        low, high = names
        value = 2 * _middling(samples, generator) - 1
        word_weights |= {low: (-value).clamp_min(0), high: value.clamp_min(0)}
    return word_weights


def macro_directions(source: MakeHuman) -> list[np.ndarray]:
    """Return the offsets (V, 3), metres, by which mean women, old people, three ancestries and heavy people differ."""
    generator = torch.Generator().manual_seed(0)
    targets, weights = _macro_targets(source, 512, generator)
    people = weights.numpy() @ np.stack(targets).reshape(len(targets), -1)
    return [component.reshape(targets[0].shape) for component in _leading(people - people.mean(0), MACRO_DIRECTIONS)]


def _leading(rows: np.ndarray, count: int) -> np.ndarray:
    """Return the leading principal directions (count, D) of centred rows (N, D), one standard deviation each."""
    _, singular, directions = np.linalg.svd(rows, full_matrices=False)
    scaled = singular[:count, None] / len(rows) ** 0.5 * directions[:count]
    return scaled.astype(np.float32)


def _sex(samples: int, generator: torch.Generator) -> Tensor:
    """Return positions (N,) from 0, male, to 1, female: as many women as men, most of them near the ends."""
    distance = (SEX_SPREAD * torch.randn(samples, generator=generator)).abs().clamp_max(0.5)
    is_female = torch.arange(samples) % 2 == 1
    return torch.where(is_female, 1 - distance, distance)


def _age(samples: int, generator: torch.Generator) -> Tensor:
    """Return positions (N,) from 0, child, by 0.5, young, to 1, old; ages are evenly distributed."""
    low, high = AGE_RANGE_YEARS
    years = low + (high - low) * torch.rand(samples, generator=generator)
    child, young, old = AGE_ANCHORS_YEARS
    return torch.where(years < young, (years - child) / (young - child), 1 + (years - young) / (old - young)) / 2


def _middling(samples: int, generator: torch.Generator) -> Tensor:
    """Return positions (N,) in [0, 1] of a slider of the build, few of them near the ends."""
    return (0.5 + BUILD_STD * torch.randn(samples, generator=generator)).clamp(0, 1)


def _local_targets(source: MakeHuman, samples: int, generator: torch.Generator) -> tuple[list, Tensor]:
    """Return local targets and their random weights (N, targets), nearly equal on the left and on the right."""
    stds = {
        name: (pair, std)
        for categories, std in ((FACE_CATEGORIES, FACE_TARGET_STD), (SKULL_CATEGORIES, SKULL_TARGET_STD))
        for name, pair in source.local_targets(categories).items()
    }
    shared: dict[str, Tensor] = {}
    targets, weights = [], []
    for name, ((plus, minus), std) in stds.items():
        # Left and right targets of one slider share the larger part of their weight.
        key = name[2:] if name[:2] in ("l-", "r-") else name
        if key not in shared:
            mean = MEAN_SLIDERS.get(key, 0.0)
            shared[key] = mean + std * torch.randn(samples, generator=generator)
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
