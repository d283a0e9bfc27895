"""The motion of one head over time, in the form in which it is smoothed and interpolated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class HeadMotion:
    """T frames of one person; all arrays float64.

    Attributes:
        arkit: (T, 52) ARKit weights in [0, 1].
        rotmat: (T, 3, 3) rotation from the head to the camera frame.
        offset_px: (T, 2) image of the head's origin relative to the principal point, in pixels, y down.
        scale_px_per_m: (T,) pixels a metre at the head's origin.
        residual: (T,) mean distance of projected and detected landmarks, in units of the distance between the outer
            eye corners.
        native: Name -> (T, K), parameters of the head that do not follow from the ARKit weights; empty where all do.
    """

    arkit: np.ndarray
    rotmat: np.ndarray
    offset_px: np.ndarray
    scale_px_per_m: np.ndarray
    residual: np.ndarray
    native: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.arkit)

    def __getitem__(self, rows: slice | np.ndarray) -> HeadMotion:
        """Return some of the frames."""
        return self.map_arrays(lambda values: values[rows])

    @staticmethod
    def concatenate(parts: Sequence[HeadMotion]) -> HeadMotion:
        """Return motions one after another, at least one."""
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS}
        native = {name: np.concatenate([part.native[name] for part in parts]) for name in parts[0].native}
        return HeadMotion(**columns, native=native)

    def map_arrays(self, function: Callable[[np.ndarray], np.ndarray]) -> HeadMotion:
        """Return the motion with a function applied to every array."""
        columns = {name: function(getattr(self, name)) for name in _COLUMNS}
        return HeadMotion(**columns, native={name: function(values) for name, values in self.native.items()})

    def translation_m(self, focal_px: float | None) -> np.ndarray:
        """Return the position (T, 3) of the head's origin in metres, see `smirk3d.geometry.camera.Camera`.

        Args:
            focal_px: Focal length in pixels; None for a scaled orthographic camera, whose depth is 0.
        """
        side_m = self.offset_px / self.scale_px_per_m[:, None] * (1.0, -1.0)
        depth_m = np.zeros(len(self)) if focal_px is None else -focal_px / self.scale_px_per_m
        return np.concatenate([side_m, depth_m[:, None]], axis=1)

    def replace(self, **changes: np.ndarray | Mapping[str, np.ndarray]) -> HeadMotion:
        """Return a copy with some fields changed."""
        return replace(self, **changes)


_COLUMNS = tuple(f.name for f in fields(HeadMotion) if f.name != "native")
