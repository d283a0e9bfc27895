"""How one head moves and what it does, in the form in which it can be smoothed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class Motion:
    """T frames of one person; float64.

    Attributes:
        arkit: (T, 52) ARKit weights in [0, 1].
        own: Name -> (T, K), parameters of a head that do not follow from ARKit weights; empty where all of them do.
        rotmat: (T, 3, 3) head to camera. offset_px: (T, 2) image of the head's origin relative to the principal
            point, y down. scale_px_per_m: (T,) at the head's origin.
        residual: (T,) mean distance of fitted and detected landmarks over that of the outer eye corners.
    """

    arkit: np.ndarray
    rotmat: np.ndarray
    offset_px: np.ndarray
    scale_px_per_m: np.ndarray
    residual: np.ndarray
    own: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.arkit)

    def translation_m(self, focal_px: float | None) -> np.ndarray:
        """Return where the head's origin is (T, 3), see `smirk3d.geometry.camera.Camera`."""
        side_m = self.offset_px / self.scale_px_per_m[:, None] * (1.0, -1.0)
        depth_m = np.zeros(len(self)) if focal_px is None else -focal_px / self.scale_px_per_m
        return np.concatenate([side_m, depth_m[:, None]], axis=1)

    def replace(self, **changes: np.ndarray | Mapping[str, np.ndarray]) -> Motion:
        """Return a copy with some fields changed."""
        return replace(self, **changes)
