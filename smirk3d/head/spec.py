"""What a head can be told: names, sizes and ranges of its parameters."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from smirk3d.params import FaceParams


@dataclass(frozen=True)
class Param:
    """One parameter vector: its name in `FaceParams`, its size and the range of each entry."""

    name: str
    size: int
    low: float = float("-inf")
    high: float = float("inf")


@dataclass(frozen=True)
class ParamSpec:
    """All parameter vectors of one head, in the order in which an encoder emits them."""

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
        """Return parameters that are all zero, with the batch shape `batch`."""
        return FaceParams(**{p.name: torch.zeros(*batch, p.size, dtype=dtype) for p in self.params})

    def clamp(self, params: FaceParams) -> FaceParams:
        """Return `params` with every entry moved into its range."""
        limited = {name: value.clamp(self[name].low, self[name].high) for name, value in params.items()}
        return FaceParams(**limited)
