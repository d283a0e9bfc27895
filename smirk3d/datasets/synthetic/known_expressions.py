"""Random expressions in which every ARKit blendshape varies."""

from __future__ import annotations

import torch
from torch import Tensor

from smirk3d.datasets.synthetic.expression_templates import template_tensor
from smirk3d.datasets.synthetic.scene_sampling import REQUIRED, random_expression
from smirk3d.head.arkit import ARKIT_NAMES, resolve_antagonists

FORCED_RANGE = (0.4, 1.0)
"""Range of the weight of the blendshape that each face is sure to have."""


def known_expressions(count: int, generator: torch.Generator) -> Tensor:
    """Return expressions in which every blendshape varies, from 52 faces on.

    Templates and random combinations alternate; face k also has blendshape k mod 52 with a weight in `FORCED_RANGE`.

    Args:
        count: Number of faces.
        generator: Source of the random numbers, on the CPU.

    Returns:
        (count, 52) float32 ARKit weights in [0, 1].
    """
    templates = template_tensor()
    row = torch.randint(len(templates), (count,), generator=generator)
    combined = torch.stack([random_expression("combination", generator) for _ in range(count)])
    is_template = (torch.arange(count) // len(ARKIT_NAMES) + torch.arange(count)) % 2 == 0
    weights = torch.where(is_template[:, None], templates[row], combined)
    strength = FORCED_RANGE[0] + (FORCED_RANGE[1] - FORCED_RANGE[0]) * torch.rand(count, generator=generator)
    forced = torch.zeros_like(weights)
    forced[torch.arange(count), torch.arange(count) % len(ARKIT_NAMES)] = strength
    weights = resolve_antagonists(weights.maximum(forced))
    for name, (needed, share) in REQUIRED.items():
        minimum = share * weights[:, ARKIT_NAMES.index(name)]
        weights[:, ARKIT_NAMES.index(needed)] = weights[:, ARKIT_NAMES.index(needed)].maximum(minimum)
    return weights
