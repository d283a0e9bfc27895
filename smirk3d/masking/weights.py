"""Sampling density of each part of the face."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from smirk3d.head.model import HeadModel

_REGIONS_OF_FIELD = {"eye_regions": ("left_eye_region", "right_eye_region", "eye_regions")}
"""Regions of heads that share one weight."""


@dataclass(frozen=True)
class RegionWeights:
    """Relative density of the sampled points by region of the head, each >= 0; 0 outside all regions.

    Where regions overlap, the later attribute counts: the face contains the lips, for instance. The defaults are
    SMIRK's: the skin of the face outside the other regions is the "clean face" of the released masks.

    Attributes:
        face: Skin of the face outside the regions below.
        scalp: Scalp.
        forehead: Forehead.
        nose: Nose.
        lips: Lips.
        eye_regions: Skin around both eyes.
        ears: Ears.
        neck: Neck.
        eyeballs: Eyeballs.

    Raises:
        ValueError: A weight is negative or NaN.

    Source: Retsinas et al. (CVPR 2024), and the released code.
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
        negative = [name for name, weight in asdict(self).items() if not weight >= 0]  # true of NaN as well
        if negative:
            raise ValueError(f"weights must not be negative: {', '.join(negative)}")


def sampling_weights(head: HeadModel, weights: RegionWeights | None = None) -> Tensor:
    """Return the sampling density of the triangles of a head.

    Args:
        head: Any head; regions that it lacks are skipped.
        weights: Density by region; None takes the defaults.

    Returns:
        (F,) float32 >= 0 for `head.faces`. A triangle belongs to a region that contains its three corners.
    """
    per_face = torch.zeros(len(head.faces), device=head.faces.device)
    for field, weight in asdict(weights or RegionWeights()).items():
        for name in _REGIONS_OF_FIELD.get(field, (field,)):
            if name in head.data.regions:
                per_face[head.region_mask(name)[head.faces].all(dim=1)] = weight
    return per_face
