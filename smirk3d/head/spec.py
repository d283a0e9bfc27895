"""Names, sizes and ranges of the parameters of a head."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from smirk3d.params import FaceParams


@dataclass(frozen=True)
class Param:
    """One parameter vector.

    Attributes:
        name: Its field in `FaceParams`.
        size: Number of entries.
        low: Smallest value of each entry.
        high: Largest value of each entry.
    """

    name: str
    size: int
    low: float = float("-inf")
    high: float = float("inf")


@dataclass(frozen=True)
class ParamSpec:
    """All parameter vectors of one head.

    Attributes:
        params: The vectors, in the order in which an encoder outputs them.
    """

    params: tuple[Param, ...]

    def __getitem__(self, name: str) -> Param:
        for param in self.params:
            if param.name == name:
                return param
        raise KeyError(f"this head has no parameter {name!r}; it has {', '.join(self.names)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameter vectors."""
        return tuple(param.name for param in self.params)

    def zeros(self, *batch: int, dtype: torch.dtype = torch.float32) -> FaceParams:
        """Return parameters that are all zero.

        Args:
            batch: Leading shape of the vectors.
            dtype: Type of the numbers.

        Returns:
            Fields of shape (*batch, size).
        """
        return FaceParams(**{p.name: torch.zeros(*batch, p.size, dtype=dtype) for p in self.params})

    def clamp(self, params: FaceParams) -> FaceParams:
        """Return `params`, fields (..., size), with every entry clamped to its range.

        Raises:
            KeyError: The head has no parameter of this name.
        """
        limited = {name: value.clamp(self[name].low, self[name].high) for name, value in params.items()}
        return FaceParams(**limited)
