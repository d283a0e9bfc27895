"""A Gaussian prior of the identities of several faces, for the landmark fit."""

# torch's own annotations are incomplete.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ShapePrior:
    """A Gaussian prior of the identity coefficients of B faces.

    Attributes:
        mean: (B, n) expected coefficients.
        precision: (B, n, n) inverses of the covariances of their errors.
    """

    mean: Tensor
    precision: Tensor

    def of_people(self, person: Tensor) -> ShapePrior:
        """Return the prior in which faces of one person share the precision-weighted mean of their means.

        Args:
            person: (B,) int64 person of each face, 0, 1, 2, ... without gaps.
        """
        count, n = int(person.max()) + 1, self.mean.shape[1]
        total = self.precision.new_zeros(count, n, n).index_add(0, person, self.precision)
        pull = (self.precision @ self.mean.unsqueeze(-1)).squeeze(-1)
        pull = pull.new_zeros(count, n).index_add(0, person, pull)
        return replace(self, mean=torch.linalg.solve(total, pull)[person])
