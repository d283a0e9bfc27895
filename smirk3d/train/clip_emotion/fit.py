"""The training loop of the clip network, on clips in memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from smirk3d.errors import Smirk3dError
from smirk3d.fer.clips.frame_features import ANGLES, WEIGHTS
from smirk3d.fer.clips.network import ClipNetwork
from smirk3d.fer.clips.predictor import sub_clip_predictions
from smirk3d.fer.clips.sampling import held_sub_clips, random_sub_clips
from smirk3d.head.arkit import ARKIT_MIRROR
from smirk3d.train.clip_emotion.clip_set import ClipSet
from smirk3d.train.clip_emotion.config import ClipTrainConfig
from smirk3d.train.clip_emotion.label_review import LabelReview
from smirk3d.train.clip_emotion.losses import ClipTargets, clip_losses
from smirk3d.train.schedule import step_generator, warm_cosine

WARM_UP_SHARE = 0.1
Report = Callable[[str], None]
Weights = Callable[[int, ClipNetwork], np.ndarray]
"""Number of an epoch and the averaged network so far -> weights (N,) float32 of the clips."""


@dataclass(frozen=True, eq=False)
class FittedClips:
    """A trained network and what it tells of the labels.

    Attributes:
        network: The averaged weights.
        review: Judgement of the training clips.
    """

    network: ClipNetwork
    review: LabelReview


def fit_clip_network(
    clips: ClipSet,
    config: ClipTrainConfig,
    report: Report = lambda text: None,
    *,
    weights: Weights | None = None,
    network: ClipNetwork | None = None,
) -> FittedClips:
    """Train a clip network.

    Args:
        clips: The clips to learn from, at least two.
        config: Settings; `data` and `out_dir` do not count here.
        report: Receives a line now and then.
        weights: Returns the weights (N,) of the clips in an epoch, instead of those by verdicts.
        network: The network that learns, with its first weights; None: a new one.

    Raises:
        Smirk3dError: The loss is not finite.
    """
    network = _initial(config) if network is None else network
    network.set_scale(clips.features)
    ema = copy.deepcopy(network.train()).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    review = LabelReview(clips.label.numpy(), config.review)
    per_epoch = max(1, len(clips) // config.batch_size)
    for epoch in range(config.epochs):
        order = torch.randperm(len(clips), generator=step_generator(config.seed, epoch, 1))
        weight = torch.from_numpy(review.weight if weights is None else weights(epoch, ema))
        total = 0.0
        for k in range(per_epoch):
            step = epoch * per_epoch + k
            _set_rate(optimizer, config, step, per_epoch * config.epochs)
            rows = order[k * config.batch_size : (k + 1) * config.batch_size]
            total += _step(network, optimizer, clips, rows, (review, weight), config, step)
            _average(ema, network, min(config.ema, (1 + step) / (10 + step)))
        is_last = epoch + 1 == config.epochs
        if is_last or (weights is None and _is_judged(epoch, config)):
            review.update(sub_clip_predictions(ema, clips.features).probabilities)
        if is_last or epoch % 4 == 3:
            report(f"epoch {epoch + 1} of {config.epochs}: loss {total / per_epoch:.3f}")
    return FittedClips(ema, review)


def _is_judged(epoch: int, config: ClipTrainConfig) -> bool:
    """Return whether labels are judged after an epoch."""
    beyond = epoch + 1 - config.review.warm_up
    return config.review.enabled and beyond >= 0 and beyond % config.review.every == 0


def _set_rate(optimizer: torch.optim.Optimizer, config: ClipTrainConfig, step: int, steps: int) -> None:
    for group in optimizer.param_groups:
        group["lr"] = config.lr * warm_cosine(step, steps, max(1.0, WARM_UP_SHARE * steps))


def _initial(config: ClipTrainConfig) -> ClipNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return ClipNetwork(config.streams, config.resamples, config.dropout)


def _step(
    network: ClipNetwork,
    optimizer: torch.optim.Optimizer,
    clips: ClipSet,
    rows: Tensor,
    judged: tuple[LabelReview, Tensor],
    config: ClipTrainConfig,
    step: int,
) -> float:
    """Take one step; returns the loss."""
    generator = step_generator(config.seed, step, 0)
    torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))  # of the dropout
    review, weights = judged
    features, positions = _sub_clips(clips, rows, config.held, generator)
    features = _augmented(features, network.std, config.feature_noise, generator)
    index = rows.numpy()
    targets = ClipTargets(
        shares=torch.from_numpy(review.shares[index]),
        weight=weights[rows],
        label=clips.label[rows],
        key=clips.key[rows],
        positions=positions,
        mean=torch.from_numpy(review.mean[index]),
        is_hard=torch.from_numpy(review.is_hard[index]),
    )
    losses = clip_losses(network(features), targets, config)
    loss = torch.stack(list(losses.values())).sum()
    if not bool(loss.isfinite()):
        raise Smirk3dError(f"step {step}: the loss is not finite; take a smaller lr")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimizer.step()
    return float(loss.detach())


def _sub_clips(clips: ClipSet, rows: Tensor, held: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return a random sub-clip of each clip, or its key expression alone, and their frames."""
    features, positions = random_sub_clips(clips.features[rows], generator)
    has_key = clips.key[rows].isfinite().all(1)
    if held and bool(has_key.any()):
        is_held = has_key & (torch.rand(len(rows), generator=generator) < held)
        features[is_held], positions[is_held] = held_sub_clips(clips.features[rows][is_held], clips.key[rows][is_held])
    return features, positions


def _augmented(features: Tensor, std: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    """Mirror half of the sub-clips, and add noise: half of it alike in all frames of a clip."""
    count, length, size = features.shape
    flip = torch.rand(count, 1, 1, generator=generator) < 0.5
    reflected = features.clone()
    reflected[..., WEIGHTS] = features[..., WEIGHTS][..., list(ARKIT_MIRROR)]
    reflected[..., ANGLES] *= torch.tensor([-1.0, 1.0, -1.0])
    features = torch.where(flip, reflected, features)
    shift = torch.randn(count, 1, size, generator=generator) + torch.randn(count, length, size, generator=generator)
    return features + noise * std * shift


@torch.no_grad()
def _average(ema: nn.Module, network: nn.Module, decay: float) -> None:
    for mean, value in zip(ema.state_dict().values(), network.state_dict().values()):
        mean.lerp_(value, 1 - decay) if mean.is_floating_point() else mean.copy_(value)
