"""Contact of the lips in landmark fitting: lips that touch in the photo touch on the head.

Landmarks of both lips carry errors of their own, so a fit leaves a slit between lips that are closed in the photo. The
opening itself, the difference of two opposite landmarks, is known far better: their errors are nearly the same.
"""

# torch's own annotations are incomplete.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from smirk3d.estimation.landmark_model import LandmarkModel

LIP_PAIRS = ((13, 14), (82, 87), (312, 317))
"""MediaPipe's landmarks of the upper lip's inner rim with those opposite, of the middle and beside it."""
CONTACT_NOISE = 0.003
"""Standard deviation of the opening of lips that touch, in units of the distance between the outer eye corners."""
FIRMNESS = 9.0
SHUT_BELOW = 0.01
"""Largest opening of lips that touch on the head, in the same unit; a wider one shows teeth."""
TOUCHING_BELOW = 0.012
"""Openings, in the same unit, that are none: the detector leaves a slit between lips that touch."""
CLOSED_BELOW, OPEN_ABOVE = 0.02, 0.04
"""Openings, in the same unit, up to which lips count as touching, and from which the term has no influence."""


@dataclass(frozen=True)
class LipContact:
    """The term of B faces for P pairs of landmarks.

    Attributes:
        upper: (P,) int64 rows of the landmark model.
        lower: (P,) int64 rows opposite to these.
        precision: (B, P) over the variance of the opening's error, 0 where the lips are open.
        slit: (B, 2, P) how far apart the detector sees lips that touch, in units of the outer eye corners' distance.
        is_active: Whether any of the lips touch.
    """

    upper: Tensor
    lower: Tensor
    precision: Tensor
    slit: Tensor
    is_active: bool

    def firmer(self) -> LipContact:
        """Return the term for faces whose prior keeps the lips apart."""
        return replace(self, precision=FIRMNESS * self.precision)

    def is_broken(self, residual: Tensor) -> Tensor:
        """Return whether the model's lips are apart where they touch, (B,) bool, for residuals (B, L, 2)."""
        opening = (residual[:, self.upper] - residual[:, self.lower] - self.slit.mT).norm(dim=-1)
        return ((opening > SHUT_BELOW) & (self.precision * CONTACT_NOISE**2 > 0.99)).any(1)

    def energy(self, residual: Tensor) -> Tensor:
        """Return (B,), for residuals (B, L, 2) of the landmarks in units of the outer eye corners' distance."""
        difference = residual[:, self.upper] - residual[:, self.lower] - self.slit.mT
        return (self.precision * difference.square().sum(-1)).sum(1)

    def differences(self, columns: Tensor) -> Tensor:
        """Return the differences (B, N, 2 P) of columns (B, N, 2, L) of the landmarks, over the standard deviation.

        Those of the residuals' derivatives are rows of the Jacobian; the last column is the residuals themselves.
        """
        root = self.precision.sqrt()[:, None, None]
        differences = columns[..., self.upper] - columns[..., self.lower]
        differences[:, -1] -= self.slit
        return (differences * root).flatten(2)


def lip_contact(model: LandmarkModel, points_px: Tensor, unit_px: Tensor) -> LipContact:
    """Return the term of B faces.

    Args:
        model: The landmark model.
        points_px: (B, L, 2) detected landmarks of its rows, pixels.
        unit_px: (B,) distances of the outer eye corners, pixels.
    """
    upper, lower = _pair_rows(model.index)
    apart = (points_px[:, upper] - points_px[:, lower]).mT / unit_px[:, None, None]
    opening = apart.norm(dim=1)
    share = ((OPEN_ABOVE - opening) / (OPEN_ABOVE - CLOSED_BELOW)).clamp(0, 1)
    touching = ((CLOSED_BELOW - opening) / (CLOSED_BELOW - TOUCHING_BELOW)).clamp(0, 1)
    return LipContact(upper, lower, share / CONTACT_NOISE**2, touching[:, None] * apart, bool(share.any()))


@functools.lru_cache(maxsize=8)
def _pair_rows(index: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows (P,) of the upper and of the lower landmarks of `LIP_PAIRS` in a model with landmarks `index`."""
    row_of = {landmark: row for row, landmark in enumerate(index.tolist())}
    pairs = [(row_of[a], row_of[b]) for a, b in LIP_PAIRS if a in row_of and b in row_of]
    rows = torch.tensor(pairs, dtype=torch.int64, device=index.device).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]
