"""Labelled clips in memory, as features of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from smirk3d.train.provenance import tensor_fingerprint

N_CLIP_FRAMES = 32
"""Frames to which all clips are resampled."""


@dataclass(frozen=True, eq=False)
class ClipSet:
    """N labelled clips.

    Attributes:
        features: (N, T, D) float32, see `smirk3d.fer.clips.frame_features`.
        label: (N,) int64 index of the emotion.
        key: (N, 2) float32 first and last frame of the key expression; not a number where it is unknown.
        names: N names.
    """

    features: Tensor
    label: Tensor
    key: Tensor
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.label)

    def take(self, index: np.ndarray | Tensor) -> ClipSet:
        """Return some of the clips, by index or mask."""
        rows = torch.as_tensor(index)
        rows = torch.nonzero(rows)[:, 0] if rows.dtype == torch.bool else rows
        names = tuple(self.names[k] for k in rows.tolist())
        return ClipSet(self.features[rows], self.label[rows], self.key[rows], names)

    def relabelled(self, label: np.ndarray) -> ClipSet:
        """Return the clips with other labels (N,)."""
        return replace(self, label=torch.from_numpy(np.asarray(label, dtype=np.int64)))

    def without_keys(self) -> ClipSet:
        """Return the clips with unknown key expressions."""
        return replace(self, key=torch.full_like(self.key, float("nan")))

    @property
    def fingerprint(self) -> str:
        """Hexadecimal digest of features and labels."""
        return tensor_fingerprint(self.features, self.label)

    @staticmethod
    def joined(parts: Sequence[ClipSet]) -> ClipSet:
        """Return the clips of all parts, at least one."""
        return ClipSet(
            features=torch.cat([each.features for each in parts]),
            label=torch.cat([each.label for each in parts]),
            key=torch.cat([each.key for each in parts]),
            names=tuple(name for each in parts for name in each.names),
        )
