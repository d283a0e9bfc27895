"""Losses of the clip network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from smirk3d.fer.clips.network import ClipPrediction
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.train.clip_emotion.config import ClipTrainConfig

NEUTRAL = EMOTIONS.index("neutral")
_MIN_CONTRAST = 0.15
"""Where the support of the label differs less over the frames, it does not show where the key expression is."""
CENTER_SCALE_FRAMES = 4.0


@dataclass(frozen=True, eq=False)
class ClipTargets:
    """What B sub-clips should be.

    Attributes:
        shares: (B, 8) soft labels, sum 1.
        weight: (B,) weights of the clips.
        label: (B,) labels as they were given.
        key: (B, 2) first and last frame of the key expression in the whole clip; not a number where unknown.
        positions: (B, L) frames of the whole clip at which the frames of the sub-clips lie.
        mean: (B, 8) mean prediction of the clip so far.
        is_hard: (B,) bool.
    """

    shares: Tensor
    weight: Tensor
    label: Tensor
    key: Tensor
    positions: Tensor
    mean: Tensor
    is_hard: Tensor


def clip_losses(predicted: ClipPrediction, targets: ClipTargets, config: ClipTrainConfig) -> dict[str, Tensor]:
    """Return the losses by name, weighted.

    Args:
        predicted: Of B sub-clips.
        targets: What they should be.
        config: Weights of the losses.
    """
    weight = targets.weight / targets.weight.sum().clamp(min=1e-6)
    is_key = key_target(predicted, targets)
    frames = _pooled(predicted.frame_logits, is_key)
    losses = {
        "clip": weight @ cross_entropy(predicted.logits, targets.shares),
        "long": config.auxiliary * (weight @ cross_entropy(predicted.long_logits, targets.shares)),
        "frames": config.auxiliary * (weight @ cross_entropy(frames, targets.shares)),
        "key": config.key_weight * _key_loss(predicted, is_key, weight),
    }
    if config.review.enabled and bool(targets.is_hard.any()):
        divergence = cross_entropy(predicted.logits, targets.mean) + (targets.mean * _log(targets.mean)).sum(1)
        losses["consistency"] = config.review.consistency * (weight * targets.is_hard) @ divergence
    return losses


def cross_entropy(logits: Tensor, shares: Tensor) -> Tensor:
    """Return the cross entropy (B,) of logits (B, C) with soft labels (B, C)."""
    return -(shares * logits.log_softmax(1)).sum(1)


def key_target(predicted: ClipPrediction, targets: ClipTargets) -> Tensor:
    """Return how much each frame belongs to the key expression, (B, L) in [0, 1]; not a number where unknown.

    From the truth where it is known. Else from the support of the label by single frames, over its range in the
    sub-clip: where a clip shows its label most. Neutral clips have no key expression.
    """
    first, last = targets.key[:, :1], targets.key[:, 1:]
    inside = ((targets.positions >= first) & (targets.positions <= last)).float()
    probabilities = predicted.frame_logits.detach().softmax(2)
    support = probabilities.gather(2, targets.label[:, None, None].expand(-1, probabilities.shape[1], 1))[..., 0]
    low, high = support.amin(1, keepdim=True), support.amax(1, keepdim=True)
    relative = (support - low) / (high - low).clamp(min=1e-6)
    is_unknown = (high - low < _MIN_CONTRAST) | (targets.label == NEUTRAL)[:, None]
    estimated = torch.where(is_unknown, torch.nan, relative)
    return torch.where(first.isnan(), estimated, inside)


def _pooled(frame_logits: Tensor, is_key: Tensor) -> Tensor:
    """Return mean logits (B, C) of frames (B, L, C), those of the key expression four times as heavy."""
    weight = 1 + 3 * is_key.nan_to_num(0)
    return (frame_logits * weight[..., None]).sum(1) / weight.sum(1, keepdim=True)


def _key_loss(predicted: ClipPrediction, is_key: Tensor, weight: Tensor) -> Tensor:
    """Return the loss of which frames belong to the key expression, and of its middle."""
    known = ~is_key.isnan().any(1) & (is_key.sum(1) > 0)
    if not bool(known.any()):
        return predicted.key_logits.sum() * 0
    wanted = is_key[known]
    belongs = binary_cross_entropy_with_logits(predicted.key_logits[known], wanted, reduction="none").mean(1)
    frame = torch.arange(wanted.shape[1], dtype=wanted.dtype)
    middle = (wanted * frame).sum(1) / wanted.sum(1)
    apart = ((predicted.key_center[known] - middle).abs() / CENTER_SCALE_FRAMES).clamp(max=3)
    return weight[known] @ (belongs + 0.25 * apart)


def _log(shares: Tensor) -> Tensor:
    return shares.clamp(min=1e-6).log()
