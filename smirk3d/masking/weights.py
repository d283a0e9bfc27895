"""How densely each part of the face is sampled."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from smirk3d.head.model import HeadModel

_NAMES = {"eye_regions": ("left_eye_region", "right_eye_region", "eye_regions")}
"""Regions of heads that share a weight of another name."""


@dataclass(frozen=True)
class RegionWeights:
    """Relative density of the sampled points, per region of the head; >= 0, and 0 in no region.

    Where regions overlap, the later field counts: the face contains the lips, for instance. The skin of the
    face outside the other regions is the "clean face" of the released masks.

    Source: METHOD section 6.
    """

    face: float = 1.0
    scalp: float = 0.0
    forehead: float = 1.0
    nose: float = 0.5
    lips: float = 0.5
    eye_regions: float = 1.0
    ears: float = 0.0
    neck: float = 0.0
    eyeballs: float = 0.0

    def __post_init__(self) -> None:
        negative = [name for name, weight in asdict(self).items() if not weight >= 0]
        if negative:
            raise ValueError(f"weights must not be negative: {', '.join(negative)}")


def sampling_weights(head: HeadModel, weights: RegionWeights | None = None) -> Tensor:
    """Weigh the triangles of a head.

    Args:
        head: Any head; a region that it lacks is simply not there.
        weights: Per region, the method's by default.

    Returns:
        (F,) float32 >= 0 for `head.faces`. A triangle belongs to a region that holds its three corners.
    """
    per_face = torch.zeros(len(head.faces), device=head.faces.device)
    for field, weight in asdict(weights or RegionWeights()).items():
        for name in _NAMES.get(field, (field,)):
            if name in head.data.regions:
                per_face[head.region_mask(name)[head.faces].all(dim=1)] = weight
    return per_face
