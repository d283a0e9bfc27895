"""The scene of the viewer: a mesh with morph targets, curves over time, and an optional image beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from smirk3d.geometry.euler import angles_from_rotation
from smirk3d.head.arkit import mirror_name
from smirk3d.track import Status
from smirk3d.viewer.color_patches import Patch

REGIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("eyes", ("eye",)),
    ("brows", ("brow",)),
    ("jaw", ("jaw",)),
    ("mouth", ("mouth",)),
    ("cheeks, nose", ("cheek", "nose")),
    ("tongue", ("tongue",)),
)
OTHER_REGION = "other"


@dataclass(frozen=True, eq=False)
class Curves:
    """Weights and pose of K frames, K at least 1; a still has one frame.

    Attributes:
        time_s: (K,) float64, seconds, increasing.
        weights: (K, T) float32, weights of the morph targets.
        rotation_rotmat: (K, 3, 3) float, rotations of the head.
        translation_m: (K, 3) float, positions of the head in metres.
        status: (K,) uint8, see `smirk3d.track.Status`.
        rate_fps: Nominal frames per second.
    """

    time_s: np.ndarray
    weights: np.ndarray
    rotation_rotmat: np.ndarray
    translation_m: np.ndarray
    status: np.ndarray
    rate_fps: float

    def __len__(self) -> int:
        return len(self.time_s)

    @property
    def is_clip(self) -> bool:
        """Whether there is more than one frame."""
        return len(self) > 1

    def frame_at(self, time_s: float) -> int:
        """Return the frame at a time: the last one that has begun.

        Args:
            time_s: Seconds.
        """
        begun = np.searchsorted(self.time_s, time_s + 1e-6, side="right")
        return int(np.clip(begun - 1, 0, len(self) - 1))

    def angles_deg(self, frame: int) -> tuple[float, float, float]:
        """Return yaw, pitch and roll of a frame in degrees.

        Args:
            frame: Row of the frame.
        """
        return angles_from_rotation(self.rotation_rotmat[frame].astype(np.float64))

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame to the end of the last."""
        return float(self.time_s[-1] - self.time_s[0] + 1 / self.rate_fps)


@dataclass(frozen=True, eq=False)
class ViewScene:
    """One head to show; positions in metres, head frame.

    Attributes:
        name: Title.
        points: (V, 3) float32, vertices with all weights 0.
        displacements: (T, V, 3) float32, displacement of each target at weight 1.
        patches: Parts of the mesh with one colour each.
        names: Names of the T targets.
        curves: Weights and pose over time.
        side_image: Image or video to show beside the head, see `smirk3d.viewer.side_images`; None for none.
        moved_image: Returns the image (H, W, 3) uint8 beside the head for weights (T,), in place of `side_image`.
    """

    name: str
    points: np.ndarray = field(repr=False)
    displacements: np.ndarray = field(repr=False)
    patches: tuple[Patch, ...] = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    curves: Curves = field(repr=False)
    side_image: Path | None = None
    moved_image: Callable[[np.ndarray], np.ndarray] | None = field(default=None, repr=False)

    def vertices(self, weights: np.ndarray) -> np.ndarray:
        """Return the mesh with some expression.

        Args:
            weights: (T,) float, weights of the targets.

        Returns:
            (V, 3) float32, metres.
        """
        offsets = np.asarray(weights, dtype=np.float32) @ self.displacements.reshape(len(self.displacements), -1)
        return self.points + offsets.reshape(-1, 3)

    def vertices_at(self, time_s: float) -> np.ndarray:
        """Return the mesh (V, 3) float32, metres, at a time of the clip in seconds."""
        return self.vertices(self.curves.weights[self.curves.frame_at(time_s)])

    @property
    def partners(self) -> tuple[int, ...]:
        """Row of each target's partner on the other side; its own row where there is none."""
        row = {name: index for index, name in enumerate(self.names)}
        return tuple(row.get(mirror_name(name), index) for index, name in enumerate(self.names))

    @property
    def regions(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Regions that have targets, with the rows of these; both sides of a pair are adjacent."""
        of_target = [_region(name) for name in self.names]
        partners = self.partners
        order = sorted(range(len(self.names)), key=lambda k: (min(k, partners[k]), k))
        titles = [*(title for title, _ in REGIONS), OTHER_REGION]
        rows = ((title, tuple(k for k in order if of_target[k] == title)) for title in titles)
        return tuple((title, members) for title, members in rows if members)

    def limits(self) -> np.ndarray:
        """Return minimum and maximum (T, 2) of each target's slider: 0 and 1, extended to the values of the clip."""
        weights = self.curves.weights
        return np.stack([np.minimum(weights.min(axis=0), 0), np.maximum(weights.max(axis=0), 1)], axis=1)

    def frame_box(self) -> tuple[np.ndarray, float]:
        """Return centre (3,) and size in metres of the vertices that targets move, or of all where none does."""
        is_displaced = np.abs(self.displacements).max(axis=(0, 2), initial=0.0) > 1e-4
        points = self.points[is_displaced] if is_displaced.any() else self.points
        low, high = points.min(axis=0), points.max(axis=0)
        return (low + high) / 2, float((high - low).max())

    def describe(self, frame: int) -> str:
        """Return a line of text about a frame; "" for stills.

        Args:
            frame: Row of the frame.
        """
        curves = self.curves
        if not curves.is_clip:
            return ""
        state = {Status.FILLED: " · filled in", Status.LOST: " · face lost"}.get(Status(int(curves.status[frame])), "")
        return f"frame {frame + 1} of {len(curves)} · {curves.time_s[frame]:.2f} s{state}"


def short_name(name: str) -> str:
    """Return an ARKit name without its region and with one letter for the side.

    Args:
        name: Such as `eyeBlinkLeft`, which becomes `blink L`.
    """
    start = next((start for _, starts in REGIONS for start in starts if name.startswith(start)), "")
    rest = name[len(start) :] or name
    for side in ("Left", "Right"):
        rest = rest.removesuffix(side) + f" {side[0]}" if rest.endswith(side) and rest != side else rest
    return rest[:1].lower() + rest[1:]


def _region(name: str) -> str:
    lower = name.lower()
    return next((title for title, starts in REGIONS if lower.startswith(starts)), OTHER_REGION)


def hold_last(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Replace the values of unknown frames by the last known value before them, else by the first known value.

    Args:
        values: (K, ...) array.
        known: (K,) bool.

    Returns:
        (K, ...) array.

    Raises:
        ValueError: No frame is known.
    """
    if not known.any():
        raise ValueError("no frame has values")
    last = np.maximum.accumulate(np.where(known, np.arange(len(known)), -1))
    return values[np.where(last < 0, int(np.argmax(known)), last)]
