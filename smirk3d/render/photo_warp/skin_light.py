"""The light on the face in a photo, and the appearance model in this light."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from smirk3d.render.photo_warp.image_fields import blur
from smirk3d.render.photo_warp.mesh_parts import EYE, MOUTH

RELIGHT_RANGE = (0.7, 1.35)
MOUTH_LIGHT = 0.8
"""Most light that falls into a mouth: that on skin is inferred from a guess of its albedo, which may be too dark."""
_RIDGE = 0.05
"""Ridge penalty of the light, per pixel."""


@dataclass(frozen=True)
class SkinLight:
    """Brightness of skin as a linear function of the normal: an ambient and a directional light.

    Attributes:
        weights: (4,) of the normal and 1.
    """

    weights: Tensor

    @staticmethod
    def fit(image: Tensor, normal: Tensor, trust: Tensor) -> SkinLight:
        """Fit the brightness (3, S, S) of trusted points (S, S) with normals (S, S, 3)."""
        rows = trust > 0.5
        points = torch.cat([normal[rows], torch.ones(int(rows.sum()), 1)], dim=1)
        penalty = _RIDGE * max(len(points), 1) * torch.diag(torch.tensor([1.0, 1.0, 1.0, 1e-4]))
        return SkinLight(torch.linalg.solve(points.T @ points + penalty, points.T @ image.mean(0)[rows]))

    def shading(self, normal: Tensor) -> Tensor:
        """Return the brightness (S, S), positive, of normals (S, S, 3)."""
        return (normal @ self.weights[:3] + self.weights[3]).clamp_min(0.02)

    def ratio(self, before: Tensor, after: Tensor) -> Tensor:
        """Return by how much the light on points changes with their normals, (S, S)."""
        return (self.shading(after) / self.shading(before)).clamp(*RELIGHT_RANGE)


def lit_appearance(image: Tensor, albedo: Tensor, trust: Tensor, shading: Tensor, part: Tensor) -> Tensor:
    """Return the appearance model (3, S, S), of parts (S, S), in the colours and the light of the photo."""
    lit = albedo * shading
    if is_grey(image):
        lit = lit.mean(0, keepdim=True).expand(3, -1, -1)
    level = fill_level(image, lit, trust)
    level = torch.where(part < EYE, level, level.mean(0, keepdim=True))  # teeth do not have the skin's tint
    level = torch.where(part == MOUTH, level.minimum((MOUTH_LIGHT / shading).log()), level)
    return (lit.clamp_min(0.02).log() + level).exp()


def fill_level(image: Tensor, lit: Tensor, trust: Tensor) -> Tensor:
    """Return the logarithm of a photo over the lit appearance, both (3, S, S), smooth; trust (S, S) in [0, 1]."""
    weight = trust * (lit.mean(0) > 0.01)
    ratio = (image.clamp_min(0.02) / lit.clamp_min(0.02)).log()
    middle = (ratio * weight).sum((1, 2)) / weight.sum().clamp_min(1e-6)
    local, total = blur(ratio * weight, 0.08), blur(weight, 0.08)
    return (local + 0.02 * middle[:, None, None]) / (total + 0.02)


def is_grey(image: Tensor) -> bool:
    """Return whether a picture (3, S, S) has no colours."""
    return float((image.amax(0) - image.amin(0)).mean()) < 0.01
