"""How one head moves and what it does, in the form in which it can be smoothed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

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

    def __getitem__(self, rows: slice | np.ndarray) -> Motion:
        """Return some of the frames."""
        return self.each(lambda values: values[rows])

    @staticmethod
    def joined(parts: Sequence[Motion]) -> Motion:
        """Return motions one after another."""
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS}
        own = {name: np.concatenate([part.own[name] for part in parts]) for name in parts[0].own}
        return Motion(**columns, own=own)

    def each(self, change: Callable[[np.ndarray], np.ndarray]) -> Motion:
        """Return the motion with every array changed in the same way."""
        columns = {name: change(getattr(self, name)) for name in _COLUMNS}
        return Motion(**columns, own={name: change(values) for name, values in self.own.items()})

    def translation_m(self, focal_px: float | None) -> np.ndarray:
        """Return where the head's origin is (T, 3), see `smirk3d.geometry.camera.Camera`."""
        side_m = self.offset_px / self.scale_px_per_m[:, None] * (1.0, -1.0)
        depth_m = np.zeros(len(self)) if focal_px is None else -focal_px / self.scale_px_per_m
        return np.concatenate([side_m, depth_m[:, None]], axis=1)

    def replace(self, **changes: np.ndarray | Mapping[str, np.ndarray]) -> Motion:
        """Return a copy with some fields changed."""
        return replace(self, **changes)


_COLUMNS = tuple(f.name for f in fields(Motion) if f.name != "own")
