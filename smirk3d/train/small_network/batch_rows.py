"""Which samples belong to a step."""

from __future__ import annotations

import torch
from torch import Tensor

from smirk3d.train.schedule import step_generator


def batch_rows(count: int, batch_size: int, step: int, seed: int) -> Tensor:
    """Return the samples of a step: successive parts of a new permutation for each pass.

    Args:
        count: Number of samples.
        batch_size: Samples of a step; fewer where there are fewer.
        step: Number of the step, from 0.
        seed: Seed of the run.
    """
    per_pass = steps_per_pass(count, batch_size)
    permutation = torch.randperm(count, generator=step_generator(seed, step // per_pass, 1))
    start = step % per_pass * batch_size
    return permutation[start : start + batch_size]


def steps_per_pass(count: int, batch_size: int) -> int:
    """Return the steps of a pass over samples."""
    return max(1, count // batch_size)
