"""What a step is given by its number alone: the learning rate, random numbers, and who learns in the cycle path.

Nothing here has a state, so that a run that goes on at a step does what an uninterrupted one would have done.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from smirk3d.train.config import StageConfig, TrainConfig
from smirk3d.train.recipes.analysis_by_synthesis import UpdateTarget


def rate_factor(config: TrainConfig, step: int) -> float:
    """Return the share of the learning rate at a step, from 1 down to `cosine_floor` along half a cosine.

    It falls over `cosine_samples` faces and then starts anew, or, where that is None, once over the whole stage.

    Args:
        config: The run.
        step: From 0.

    Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (2017), equation 5.
    """
    cosine_samples, floor = config.optimizer.cosine_samples, config.optimizer.cosine_floor
    if cosine_samples is None:
        progress = step / config.stage.steps
    else:
        progress = step * config.data.batch_size % cosine_samples / cosine_samples
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def step_generator(seed: int, step: int, rank: int) -> torch.Generator:
    """Return the source of a step's random numbers, on the CPU; another one for every step and process."""
    (mixed,) = np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(mixed))


def cycle_learner(stage: StageConfig, step: int) -> UpdateTarget | None:
    """Say which network learns in the cycle path: both alternate where both learn; None where there is no such path.

    Source: METHOD section 7, "encoder and generator alternate batch by batch".
    """
    if stage.cycle is None:
        return None
    learners: list[UpdateTarget] = []
    if set(stage.trainable) - {"neural_renderer"}:
        learners.append("encoder")
    if "neural_renderer" in stage.trainable:
        learners.append("neural_renderer")
    return learners[step % len(learners)]
