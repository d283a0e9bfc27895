"""The clip network: two sequence models on the features of frames, and the key expression between them.

Source: "RDFER: Robust Dynamic Facial Expression Recognition" (IEEE T-BIOM 7(4), 2025, arXiv 2502.16129) for the idea of
a long-term and a short-term stream with re-sampling about key expressions. Here one soft window is sampled linearly, so
that its place and width learn by gradients.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, gelu, interpolate

from smirk3d.assets import printable
from smirk3d.errors import Smirk3dError
from smirk3d.fer.clips.frame_features import N_FRAME_FEATURES
from smirk3d.fer.clips.sampling import frames_at
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.fer.network import vectors_digest
from smirk3d.networks.half_file import load_half
from smirk3d.zoo.registry import find

WIDTH, HIDDEN = 64, 48
EXPRESSION_DIGEST = "expression"
"""Entry of a file's description: digest of the expression network's file."""
KEY_SAMPLES = 16
"""Frames that are sampled about the key expression."""
KEY_REACH = 1.5
"""Half of the sampled window over half of the key expression."""
_MIN_HALF_FRAMES = 1.0
_LONG_POOL = 2
_FRAME_STEPS = (1, 4)
"""Differences that the short-term stream reads, in sampled frames."""


class ClipPrediction(NamedTuple):
    """What the network predicts of B sub-clips of L frames.

    Attributes:
        logits: (B, 8) of `EMOTIONS`, of both streams fused.
        long_logits: (B, 8) of the long-term stream alone.
        frame_logits: (B, L, 8) of single frames.
        key_logits: (B, L), that a frame belongs to the key expression.
        key_center: (B,) its middle, in frames.
        key_half: (B,) half of its length, in frames.
    """

    logits: Tensor
    long_logits: Tensor
    frame_logits: Tensor
    key_logits: Tensor
    key_center: Tensor
    key_half: Tensor


class ClipNetwork(nn.Module):
    """Sub-clips to emotions and key expressions.

    Args:
        streams: Which sequence models classify.
        resamples: The short-term stream reads frames about the key expression; otherwise of the whole sub-clip.

    Attributes:
        mean: (D,) mean of the features of frames.
        std: (D,) their standard deviation.
        temperature: () by which logits are divided to give calibrated probabilities.
    """

    mean: Tensor
    std: Tensor
    temperature: Tensor

    def __init__(self, streams: str = "both", resamples: bool = True, dropout: float = 0.3) -> None:
        super().__init__()
        self.streams, self.resamples = streams, resamples
        n_emotions = len(EMOTIONS)
        self.register_buffer("mean", torch.zeros(N_FRAME_FEATURES))
        self.register_buffer("std", torch.ones(N_FRAME_FEATURES))
        self.register_buffer("temperature", torch.tensor(1.0))
        self.own = nn.Linear(N_FRAME_FEATURES, WIDTH)
        self.relative = nn.Linear(N_FRAME_FEATURES, WIDTH, bias=False)
        self.normalize = nn.LayerNorm(WIDTH)
        self.dropout = nn.Dropout(dropout)
        self.frame_head = nn.Linear(WIDTH, n_emotions)
        self.gru = nn.GRU(WIDTH, HIDDEN, batch_first=True, bidirectional=True)
        self.attention = nn.Linear(2 * HIDDEN, 1)
        self.key = nn.Sequential(nn.Linear(WIDTH + 2 * HIDDEN, 32), nn.GELU(), nn.Linear(32, 1))
        self.movement = nn.Linear((1 + len(_FRAME_STEPS)) * WIDTH, WIDTH)
        self.convolutions = nn.ModuleList(_TemporalBlock(WIDTH) for _ in range(2))
        self.short_out = nn.Linear(2 * WIDTH, 2 * HIDDEN)
        self.gate = nn.Linear(4 * HIDDEN, 2 * HIDDEN)
        self.long_head = nn.Linear(2 * HIDDEN, n_emotions)
        self.head = nn.Linear(2 * HIDDEN, n_emotions)

    def set_scale(self, features: Tensor) -> None:
        """Standardise by the features (N, T, D) of training clips from now on; some may be missing."""
        rows = features.flatten(0, 1)
        mean = rows.nanmean(0)
        self.mean.copy_(mean.nan_to_num(0))
        self.std.copy_((rows - mean).square().nanmean(0).sqrt().nan_to_num(1).clamp(min=1e-3))

    def forward(self, clips: Tensor) -> ClipPrediction:
        """Predict.

        Args:
            clips: (B, L, D) features of the frames of sub-clips; what is not a number is missing.
        """
        scaled = ((clips - self.mean) / self.std).clamp(-6, 6).nan_to_num(0)
        # Beside each number its difference from the clip's mean, in which the person's own face cancels:
        # A x + B (m - x) with the mean m, in which B x is part of A x already.
        values = self.own(scaled) + self.relative(scaled.mean(1, keepdim=True))
        frames = self.dropout(gelu(self.normalize(values)))
        states, long = self._long(frames)
        key_logits = self.key(torch.cat([frames, states], 2))[..., 0]
        center, half = _key_window(key_logits)
        long_logits = self.long_head(self.dropout(long))
        fused = self._fused(long, frames, center, half)
        return ClipPrediction(
            self.head(self.dropout(fused)), long_logits, self.frame_head(frames), key_logits, center, half
        )

    def _long(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return the states (B, L, 2H) of the long-term stream, and their weighted mean (B, 2H)."""
        tokens = avg_pool1d(frames.transpose(1, 2), _LONG_POOL).transpose(1, 2)
        states, _ = self.gru(tokens)
        weight = self.attention(states).softmax(1)
        spread = interpolate(states.transpose(1, 2), size=frames.shape[1], mode="linear")
        return spread.transpose(1, 2), (weight * states).sum(1)

    def _fused(self, long: Tensor, frames: Tensor, center: Tensor, half: Tensor) -> Tensor:
        """Return the gated sum (B, 2H) of both streams, or one of them."""
        if self.streams == "long":
            return long
        short = self._short(frames, center, half)
        if self.streams == "short":
            return short
        gate = self.gate(torch.cat([long, short], 1)).sigmoid()
        return gate * long + (1 - gate) * short

    def _short(self, frames: Tensor, center: Tensor, half: Tensor) -> Tensor:
        """Return the short-term stream (B, 2H): movements in the window about the key expression."""
        last = frames.shape[1] - 1
        steps = torch.linspace(-1, 1, KEY_SAMPLES)
        if self.resamples:
            positions = center[:, None] + KEY_REACH * half[:, None] * steps
        else:
            positions = (last * (steps + 1) / 2).expand(len(frames), -1)
        sampled = frames_at(frames, positions.clamp(0, last))
        changes = [sampled - torch.cat([sampled[:, :1].expand(-1, k, -1), sampled[:, :-k]], 1) for k in _FRAME_STEPS]
        values = self.movement(torch.cat([sampled, *changes], 2)).transpose(1, 2)
        for block in self.convolutions:
            values = block(values)
        return self.short_out(torch.cat([values.mean(2), values.amax(2)], 1))


class _TemporalBlock(nn.Module):
    """A residual convolution over time, depthwise and then over channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, 3, padding=1, groups=width)
        self.norm = nn.GroupNorm(1, width)
        self.mix = nn.Conv1d(width, width, 1)

    def forward(self, values: Tensor) -> Tensor:
        """Return (B, C, L) of (B, C, L)."""
        return values + self.mix(gelu(self.norm(self.depthwise(values))))


def _key_window(key_logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return middle and half length (B,) in frames of the key expression, both differentiable.

    The middle is the mean place of frames by their softmax; the length is the expected number of frames that belong.
    """
    frame = torch.arange(key_logits.shape[1], dtype=key_logits.dtype)
    center = (key_logits.softmax(1) * frame).sum(1)
    half = key_logits.sigmoid().sum(1) / 2
    return center, half.clamp(min=_MIN_HALF_FRAMES)


def expression_digest(path: Path | None) -> str:
    """Return the digest of the expression network whose vectors a file has; None: the packaged one."""
    return vectors_digest(find("expression") if path is None else path)


def load_clip_network(path: Path, expression: Path | None = None) -> ClipNetwork:
    """Read a network for inference.

    Args:
        path: The file.
        expression: The expression network whose vectors it will read; None: the packaged one.

    Raises:
        Smirk3dError: The file is missing or damaged, holds something else, or has learned from the vectors of another
            expression network.
    """
    network = ClipNetwork()
    load_half(network, path, "a clip network", "give a file that `smirk3d fer train` wrote, or reinstall smirk3d")
    with safe_open(path, framework="pt") as file:
        about = json.loads((file.metadata() or {}).get("about", "{}"))
    if about.get(EXPRESSION_DIGEST, expression_digest(expression)) != expression_digest(expression):
        raise Smirk3dError(
            f"{printable(path)}: has learned from the vectors of another expression network; name that one, or train "
            "the clip network again with configs/recipes/rdfer.yaml"
        )
    return network.eval().requires_grad_(False)
