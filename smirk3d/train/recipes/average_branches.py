"""Average the weights of branches that `smirk3d/train/recipes/branch_regression.py` wrote, each gone on with from the same one.

    python smirk3d/train/recipes/average_branches.py a/expression.pt b/expression.pt --shares 0.4 0.6 --out out/expression.pt

Legs of training that start from one set of weights err each in its own way; their mean errs less than any of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from torch import Tensor

from smirk3d.assets import atomic_path


@dataclass(frozen=True)
class Options:
    """What is averaged."""

    branches: tyro.conf.Positional[tuple[Path, ...]]
    shares: tuple[float, ...]
    """Of each; they sum to 1."""
    out: Path


def averaged(states: list[dict[str, Tensor]], shares: tuple[float, ...]) -> dict[str, Tensor]:
    """Return the mean of state dicts by their shares; whole numbers, such as counts, are those of the first.

    Raises:
        ValueError: The shares are not one for each that sum to 1, or the names or shapes differ.
    """
    if len(states) != len(shares) or abs(sum(shares) - 1) > 1e-6:
        raise ValueError("give one share for each branch; they must sum to 1")
    shapes = [{name: value.shape for name, value in state.items()} for state in states]
    if any(each != shapes[0] for each in shapes):
        raise ValueError("the branches differ in the names or shapes of their weights")
    return {
        name: sum(share * state[name].double() for state, share in zip(states, shares)).to(first)  # type: ignore[union-attr]
        if first.is_floating_point()
        else first
        for name, first in states[0].items()
    }


def main(options: Options) -> None:
    """Write the mean."""
    states = [torch.load(path, weights_only=True) for path in options.branches]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(options.out) as temporary:
        torch.save(averaged(states, options.shares), temporary)


if __name__ == "__main__":
    main(tyro.cli(Options))
