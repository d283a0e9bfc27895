"""Sub-clips: parts of a clip with different beginnings and spans, always of the same number of frames."""

from __future__ import annotations

import torch
from torch import Tensor

SUB_CLIP_FRAMES = 24
"""Frames of a sub-clip."""
MAX_CLIP_FRAMES = 32
"""Frames of the longest clip that one sub-clip spans: 4 s."""
EVALUATION_SUB_CLIPS: tuple[tuple[float, float], ...] = ((1.0, 0.5), (0.8, 0.0), (0.8, 1.0), (0.9, 0.25), (0.9, 0.75))
"""Span over the length of the clip, and where the sub-clip lies in what remains, of the sub-clips of a prediction."""
_MIN_SPAN = 0.75


def sub_clip(clips: Tensor, span: Tensor, place: Tensor, jitter: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return a sub-clip of each clip, linear between frames.

    Args:
        clips: (B, T, D), T at least 2.
        span: (B,) length over the length of the clip, in (0, 1].
        place: (B,) where it lies in what remains, in [0, 1].
        jitter: (B, L) shift of each frame in steps; None: none.

    Returns:
        (B, L, D) with L = `SUB_CLIP_FRAMES`, and the frames (B, L) of the clip at which they lie.
    """
    last = clips.shape[1] - 1
    steps = torch.linspace(0, 1, SUB_CLIP_FRAMES)
    if jitter is not None:
        steps = steps + jitter / (SUB_CLIP_FRAMES - 1)
    positions = last * ((1 - span) * place)[:, None] + last * span[:, None] * steps
    positions = positions.clamp(0, last)
    return frames_at(clips, positions), positions


def frames_at(clips: Tensor, positions: Tensor) -> Tensor:
    """Return the frames (B, L, D) at fractional positions (B, L) of clips (B, T, D), linear between frames."""
    before = positions.floor().long().clamp(max=max(0, clips.shape[1] - 2))
    share = (positions - before)[..., None]
    index = before[..., None].expand(-1, -1, clips.shape[2])
    first = clips.gather(1, index)
    second = clips.gather(1, (index + 1).clamp(max=clips.shape[1] - 1))
    return first + share * (second - first)


def random_sub_clips(clips: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return a random sub-clip of each clip (B, T, D), and its frames; see `sub_clip`."""
    count = len(clips)
    span = _MIN_SPAN + (1 - _MIN_SPAN) * torch.rand(count, generator=generator)
    jitter = torch.rand(count, SUB_CLIP_FRAMES, generator=generator) - 0.5
    return sub_clip(clips, span, torch.rand(count, generator=generator), jitter)


def held_sub_clips(clips: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """Return the key expression of each clip, as if it were held throughout, and its frames; see `sub_clip`.

    Args:
        clips: (B, T, D).
        key: (B, 2) first and last frame of the key expression.
    """
    last = clips.shape[1] - 1
    first, length = key[:, 0] / last, ((key[:, 1] - key[:, 0]) / last).clamp(1e-3, 1)
    return sub_clip(clips, length, (first / (1 - length).clamp(min=1e-3)).clamp(0, 1))


def evaluation_sub_clips(clips: Tensor) -> tuple[Tensor, Tensor]:
    """Return the K fixed sub-clips (K, B, L, D) of clips (B, T, D), and their frames (K, B, L)."""
    ones = torch.ones(len(clips))
    parts = [sub_clip(clips, span * ones, place * ones) for span, place in EVALUATION_SUB_CLIPS]
    features, positions = zip(*parts)
    return torch.stack(features), torch.stack(positions)
