"""Features of clips to emotions, key expressions and agreement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from smirk3d.fer.clips.agreement import agreement
from smirk3d.fer.clips.network import ClipNetwork
from smirk3d.fer.clips.sampling import evaluation_sub_clips

BATCH = 256
KEY_LEVEL = 0.5
"""A frame belongs to the key expression where its probability is at least this share of the clip's largest one."""


@dataclass(frozen=True, eq=False)
class SubClipPredictions:
    """What the network predicts of K sub-clips of each of N clips of T frames.

    Attributes:
        probabilities: (K, N, 8) float64.
        key: (N, T) float64 probability of each frame to belong to the key expression, over all sub-clips.
    """

    probabilities: np.ndarray
    key: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """(N, 8) mean probabilities."""
        return self.probabilities.mean(axis=0)

    @property
    def agreement(self) -> np.ndarray:
        """(N,) in [0, 1], see `smirk3d.fer.clips.agreement`."""
        return agreement(self.probabilities)

    @property
    def key_spans(self) -> np.ndarray:
        """(N, 3) first frame, middle and last frame of the key expression, fractional."""
        return np.stack([key_span(row) for row in self.key]) if len(self.key) else np.zeros((0, 3))


@torch.no_grad()
def sub_clip_predictions(network: ClipNetwork, clips: Tensor) -> SubClipPredictions:
    """Predict the fixed sub-clips of clips.

    Args:
        network: In the mode for inference.
        clips: (N, T, D), T at least 2.
    """
    probabilities, keys = [], []
    for block in clips.split(BATCH):
        features, positions = evaluation_sub_clips(block)
        found = network(features.flatten(0, 1))
        logits = found.logits.unflatten(0, features.shape[:2])
        probabilities.append((logits / network.temperature).softmax(2))
        key = found.key_logits.sigmoid().unflatten(0, features.shape[:2])
        keys.append(_on_frames(key, positions, clips.shape[1]))
    return SubClipPredictions(torch.cat(probabilities, 1).double().numpy(), torch.cat(keys).double().numpy())


def _on_frames(values: Tensor, positions: Tensor, n_frames: int) -> Tensor:
    """Return the means (N, T) over sub-clips of values (K, N, L), linear between their positions."""
    frame = torch.arange(n_frames, dtype=values.dtype)
    # A frame takes from the two nearest samples; sub-clips that do not reach it count little.
    first, last = positions[..., :1], positions[..., -1:]
    step = (last - first) / (positions.shape[-1] - 1)
    place = (frame - first) / step
    share = (1 - (place[..., None] - torch.arange(positions.shape[-1])).abs()).clamp(min=0)  # (K, N, T, L)
    inside = share.sum(-1).clamp(max=1)
    mixed = (share * values[:, :, None]).sum(-1)
    return mixed.sum(0) / inside.sum(0).clamp(min=1e-6)


def key_span(probability: np.ndarray) -> np.ndarray:
    """Return first frame, middle and last frame (3,) of the run of probable frames (T,) about the most probable one.

    The ends are where the probability, linear between frames, crosses `KEY_LEVEL` of its largest value.
    """
    peak = int(probability.argmax())
    level = KEY_LEVEL * probability[peak]
    ends = []
    for step in (-1, 1):
        frame = peak
        while 0 <= frame + step < len(probability) and probability[frame + step] >= level:
            frame += step
        beyond = frame + step
        if 0 <= beyond < len(probability):
            drop = probability[frame] - probability[beyond]
            ends.append(frame + step * min((probability[frame] - level) / max(drop, 1e-9), 1.0))
        else:
            ends.append(float(frame))
    return np.array([ends[0], sum(ends) / 2, ends[1]])
