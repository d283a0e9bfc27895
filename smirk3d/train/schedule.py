"""Learning rate, random numbers and updated network of a step, as functions of its number.

Nothing here has a state, so that a resumed run repeats an uninterrupted one exactly.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch

from smirk3d.train.config import StageConfig, TrainConfig

UpdateTarget = Literal["encoder", "neural_renderer"]
"""The network that the cycle path updates."""


def learning_rate_factor(config: TrainConfig, step: int) -> float:
    """Return the factor on the learning rate at a step: a cosine from 1 to `cosine_floor`.

    `floor + (1 - floor) (1 + cos(π t)) / 2`, t in [0, 1) being the progress within a period of `cosine_samples` faces,
    after which the rate restarts; where that is None the period is the whole stage.

    Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, equation 5.

    Args:
        config: Training run.
        step: Number of the step, from 0.
    """
    cosine_samples, floor = config.optimizer.cosine_samples, config.optimizer.cosine_floor
    if cosine_samples is None:
        progress = step / config.synthesis.steps
    else:
        progress = step * config.data.batch_size % cosine_samples / cosine_samples
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def warm_cosine(step: int, steps: int, warm_up_steps: float) -> float:
    """Return a linear warm-up times half a cosine from 1 down to 2 %.

    Args:
        step: Number of the step, from 0.
        steps: Steps of the stage.
        warm_up_steps: Length of the warm-up, above 0.
    """
    rise = min(1.0, (step + 1) / warm_up_steps)
    return rise * (0.5 * (1 + math.cos(math.pi * step / steps)) * 0.98 + 0.02)


def step_generator(seed: int, step: int, rank: int) -> torch.Generator:
    """Return the random generator of a step, on the CPU; a different one for every step and process.

    Args:
        seed: Seed of the run.
        step: Number of the step, from 0.
        rank: Number of the process, from 0.
    """
    (mixed,) = np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(mixed))


def cycle_update_target(stage: StageConfig, step: int) -> UpdateTarget | None:
    """Return the network that the cycle path updates in a step; None in a stage without a cycle path.

    Encoder and neural renderer alternate step by step where both are trainable (Retsinas et al., CVPR 2024).
    """
    if stage.cycle is None:
        return None
    targets: list[UpdateTarget] = []
    if set(stage.trainable) - {"neural_renderer"}:
        targets.append("encoder")
    if "neural_renderer" in stage.trainable:
        targets.append("neural_renderer")
    return targets[step % len(targets)]
