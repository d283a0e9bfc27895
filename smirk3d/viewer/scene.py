"""What there is to show of a head: a mesh with morph targets, its curves over time, and pictures beside it."""

from __future__ import annotations

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
    """Values of K frames, K at least 1; a still has one frame.

    Attributes:
        time_s: (K,) float64, rising.
        weights: (K, T) float32 of the morph targets.
        rotation_rotmat: (K, 3, 3) how the head is turned. translation_m: (K, 3) where it is.
        status: (K,) uint8, see `smirk3d.track.Status`.
        rate_fps: Nominal frames a second.
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
        """Whether there is anything to play."""
        return len(self) > 1

    def frame_at(self, time_s: float) -> int:
        """Return the frame that is shown at a time: the last that has begun."""
        begun = np.searchsorted(self.time_s, time_s + 1e-6, side="right")
        return int(np.clip(begun - 1, 0, len(self) - 1))

    def angles_deg(self, frame: int) -> tuple[float, float, float]:
        """Return yaw, pitch and roll of a frame."""
        return angles_from_rotation(self.rotation_rotmat[frame].astype(np.float64))

    @property
    def lasting_s(self) -> float:
        """From the first frame to the end of the last."""
        return float(self.time_s[-1] - self.time_s[0] + 1 / self.rate_fps)


@dataclass(frozen=True, eq=False)
class ViewScene:
    """One head, ready to be shown; metres in the head frame.

    Attributes:
        name: For the title.
        points: (V, 3) float32, all weights 0. moves: (T, V, 3) float32, what each target adds at weight 1.
        patches: What to draw: parts in one colour.
        names: T names of the targets.
        curves: Weights and pose over time.
        picture: A picture or video to show beside the head, see `smirk3d.viewer.side_pictures`; None where there is none.
    """

    name: str
    points: np.ndarray = field(repr=False)
    moves: np.ndarray = field(repr=False)
    patches: tuple[Patch, ...] = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    curves: Curves = field(repr=False)
    picture: Path | None = None

    def vertices(self, weights: np.ndarray) -> np.ndarray:
        """Return the mesh (V, 3) float32 for weights (T,) of the targets."""
        offsets = np.asarray(weights, dtype=np.float32) @ self.moves.reshape(len(self.moves), -1)
        return self.points + offsets.reshape(-1, 3)

    def vertices_at(self, time_s: float) -> np.ndarray:
        """Return the mesh (V, 3) float32 at a time of the clip."""
        return self.vertices(self.curves.weights[self.curves.frame_at(time_s)])

    @property
    def partners(self) -> tuple[int, ...]:
        """For each target the same of the other side; itself where there is none."""
        place = {name: index for index, name in enumerate(self.names)}
        return tuple(place.get(mirror_name(name), index) for index, name in enumerate(self.names))

    @property
    def regions(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Parts of the face with the rows of their targets, left beside right; parts without any are left out."""
        of_target = [_region(name) for name in self.names]
        order = sorted(range(len(self.names)), key=lambda k: (min(k, self.partners[k]), k))
        titles = [*(title for title, _ in REGIONS), OTHER_REGION]
        rows = ((title, tuple(k for k in order if of_target[k] == title)) for title in titles)
        return tuple((title, members) for title, members in rows if members)

    def limits(self) -> np.ndarray:
        """Return least and largest value (T, 2) of each target's slider: 0 to 1, or more where the clip has more."""
        weights = self.curves.weights
        return np.stack([np.minimum(weights.min(axis=0), 0), np.maximum(weights.max(axis=0), 1)], axis=1)

    def frame_box(self) -> tuple[np.ndarray, float]:
        """Return the middle (3,) of the face and its size in metres: of what the targets move, else of all."""
        moved = np.abs(self.moves).max(axis=(0, 2), initial=0.0) > 1e-4
        shown = self.points[moved] if moved.any() else self.points
        low, high = shown.min(axis=0), shown.max(axis=0)
        return (low + high) / 2, float((high - low).max())

    def describe(self, frame: int) -> str:
        """Return one line about the frame for people."""
        curves = self.curves
        if not curves.is_clip:
            return ""
        state = {Status.FILLED: " · filled in", Status.LOST: " · face lost"}.get(Status(int(curves.status[frame])), "")
        return f"frame {frame + 1} of {len(curves)} · {curves.time_s[frame]:.2f} s{state}"


def short_name(name: str) -> str:
    """Return an ARKit name without the part of the face and with one letter for the side: `blink L`."""
    start = next((start for _, starts in REGIONS for start in starts if name.startswith(start)), "")
    rest = name[len(start) :] or name
    for side in ("Left", "Right"):
        rest = rest.removesuffix(side) + f" {side[0]}" if rest.endswith(side) and rest != side else rest
    return rest[:1].lower() + rest[1:]


def _region(name: str) -> str:
    lower = name.lower()
    return next((title for title, starts in REGIONS if lower.startswith(starts)), OTHER_REGION)


def held(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return values (K, ...) with those of unknown frames replaced by the last known before them, else by the first.

    Raises:
        ValueError: No frame is known.
    """
    if not known.any():
        raise ValueError("no frame has values")
    last = np.maximum.accumulate(np.where(known, np.arange(len(known)), -1))
    return values[np.where(last < 0, int(np.argmax(known)), last)]
