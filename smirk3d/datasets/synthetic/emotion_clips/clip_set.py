"""A set of synthetic clips, rendered once and kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from smirk3d.datasets.synthetic.emotion_clips.clip_encoder import ClipEncoder, encoder_digest
from smirk3d.datasets.synthetic.emotion_clips.degraded_frames import degraded_frames
from smirk3d.datasets.synthetic.emotion_clips.motion import HARDNESS, N_FRAMES, NEUTRAL, ClipMotion, random_motion
from smirk3d.datasets.synthetic.emotion_clips.photo_people import PhotoPeople
from smirk3d.datasets.synthetic.emotion_clips.rendering import ClipRenderer
from smirk3d.datasets.synthetic.shard_cache import GeneratedShard, ShardCache
from smirk3d.detection.face_regions import REGIONS
from smirk3d.fer.emotions import EMOTIONS
from smirk3d.fer.face_windows import WINDOW_PX, face_window
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadModel

SHARD = 32
"""Clips of a file."""
HARD_SHARE = 0.35
PHOTO_GROUPS = 4
"""Where there are photos, in one of so many groups of eight clips the people wear the pixels of photos."""
JITTER_PX = 0.6
"""Standard deviation of the detected position of the whole face in a frame, pixels of the crop."""
_CACHE_VERSION = 3
_SCALARS = 6 + len(REGIONS)
_N_WEIGHTS, _N_ANGLES = N_FRAMES * len(ARKIT_NAMES), N_FRAMES * 3
_N_TRUTH = _N_WEIGHTS + _N_ANGLES + N_FRAMES + _SCALARS
_N_NUMBERS = _N_TRUTH + _N_WEIGHTS


@dataclass(frozen=True, eq=False)
class ClipTruth:
    """The ground truth of N clips of T frames.

    Attributes:
        emotion: (N,) int64 index in `EMOTIONS`.
        hardness: (N,) int64 index in `HARDNESS`.
        weights: (N, T, 52) float32 ARKit weights in [0, 1].
        angles_deg: (N, T, 3) float32 yaw, pitch, roll.
        envelope: (N, T) float32 intensity of the emotion in [0, 1].
        apex: (N, 2) float32 first and last frame of the apex; not a number in neutral clips.
        key: (N, 2) float32 first and last frame of the key expression, likewise.
        visible: (N, 4) float32 visible share of each of `REGIONS`.
    """

    emotion: np.ndarray
    hardness: np.ndarray
    weights: np.ndarray
    angles_deg: np.ndarray
    envelope: np.ndarray
    apex: np.ndarray
    key: np.ndarray
    visible: np.ndarray


class SyntheticClips:
    """Clips of random people with ground truth, as many of each emotion; `HARD_SHARE` of them are hard.

    The same arguments give the same clips on the same machine; a longer set starts with the shorter one.

    Args:
        head: The open head.
        count: Number of clips.
        seed: Of everything random.
        folder: Folder in which the windows are kept between runs; None: in memory.
        photos: People in photos, in one of `PHOTO_GROUPS` clips; None: all people are rendered.

    Raises:
        ValueError: `count` is not positive.
    """

    def __init__(
        self, head: HeadModel, count: int, seed: int, folder: Path | None = None, photos: PhotoPeople | None = None
    ) -> None:
        if count < 1:
            raise ValueError(f"count must be positive, not {count}")
        self.count, self.seed, self._head, self._photos = count, seed, head, photos
        self._tools: tuple[ClipRenderer, ClipEncoder] | None = None
        settings = (_CACHE_VERSION, seed, N_FRAMES, HARD_SHARE, HARDNESS, encoder_digest())
        content = hashlib.sha256(repr((*settings, photos and photos.fingerprint)).encode())
        for part in (head.v_template, head.shapedirs):
            content.update(part.numpy().tobytes())
        shapes = (SHARD, N_FRAMES, WINDOW_PX, WINDOW_PX), (SHARD, _N_NUMBERS)
        self._cache = ShardCache(folder, f"clips_{content.hexdigest()[:12]}", *shapes, self._make)

    def __len__(self) -> int:
        return self.count

    @property
    def fingerprint(self) -> str:
        """Digest of seed, settings, head, encoder and photos, on which the clips depend."""
        return self._cache.prefix

    @property
    def is_photo(self) -> np.ndarray:
        """(N,) bool, whose people wear the pixels of photos."""
        return np.array([self._wears_photo(index) for index in range(self.count)])

    def prepare(self) -> Iterator[int]:
        """Render the missing clips; yields their number after each shard."""
        return self._cache.prepare(self.count)

    def windows(self) -> Iterator[np.ndarray]:
        """Yield the windows (K, T, 48, 48) uint8 of successive clips, rendered or read as needed."""
        for start in range(0, self.count, SHARD):
            yield np.array(self._cache.shard(start // SHARD).pixels[: self.count - start])

    def truth(self) -> ClipTruth:
        """Return the ground truth of all clips."""
        return _unpacked(self._numbers()[:, :_N_TRUTH])

    def regressed_weights(self) -> np.ndarray:
        """Return the ARKit weights (N, T, 52) float32 that the packaged encoder regresses from the frames."""
        return self._numbers()[:, _N_TRUTH:].reshape(self.count, N_FRAMES, -1)

    def _numbers(self) -> np.ndarray:
        rows = [np.asarray(self._cache.shard(start // SHARD).truth) for start in range(0, self.count, SHARD)]
        return np.concatenate(rows)[: self.count]

    def _wears_photo(self, index: int) -> bool:
        return self._photos is not None and index // len(EMOTIONS) % PHOTO_GROUPS == PHOTO_GROUPS - 1

    def _make(self, number: int) -> GeneratedShard:
        """Render one shard."""
        pixels = np.empty((SHARD, N_FRAMES, WINDOW_PX, WINDOW_PX), np.uint8)
        numbers = np.empty((SHARD, _N_NUMBERS), np.float32)
        for row in range(SHARD):
            pixels[row], numbers[row] = self._clip(number * SHARD + row)
        return GeneratedShard(pixels, numbers)

    def _clip(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return windows (T, 48, 48) uint8 and numbers of a clip."""
        if self._tools is None:
            self._tools = ClipRenderer(self._head), ClipEncoder(self._head)
        renderer, encoder = self._tools
        rng = np.random.default_rng([self.seed, index])
        motion = random_motion(*_kind(index, rng), rng)
        source = self._photos if self._photos is not None and self._wears_photo(index) else renderer
        frames, visible = degraded_frames(source.frames(motion, rng), HARDNESS[motion.hardness], rng)
        shown = replace(motion, weights=frames.weights, angles_deg=frames.angles_deg)
        found_px = frames.points_px + rng.normal(0, JITTER_PX, (N_FRAMES, 1, 2))
        windows = np.stack([face_window(*each) for each in zip(frames.pixels, found_px)])
        regressed = encoder.weights(replace(frames, points_px=found_px))
        return windows, np.concatenate([_packed(shown, visible), regressed.ravel()])


def random_motions(count: int, seed: int) -> ClipTruth:
    """Return the ground truth of clips that are not rendered; nothing is hidden in them.

    They are not those of a `SyntheticClips` with the same seed.
    """
    rows = []
    for index in range(count):
        rng = np.random.default_rng([seed, index, 1])
        rows.append(_packed(random_motion(*_kind(index, rng), rng), np.ones(len(REGIONS), np.float32)))
    return _unpacked(np.stack(rows))


def _kind(index: int, rng: np.random.Generator) -> tuple[int, int]:
    """Return emotion and hardness of a clip."""
    emotion = index % len(EMOTIONS)
    kinds = [name for name in HARDNESS[1:] if emotion != NEUTRAL or name not in ("faint", "short")]
    name = kinds[rng.integers(len(kinds))] if rng.random() < HARD_SHARE else HARDNESS[0]
    return emotion, HARDNESS.index(name)


def _packed(motion: ClipMotion, visible: np.ndarray) -> np.ndarray:
    scalars = [motion.emotion, motion.hardness, *motion.apex, *motion.key]
    parts = motion.weights.ravel(), motion.angles_deg.ravel(), motion.envelope, scalars, visible
    return np.concatenate(parts).astype(np.float32)


def _unpacked(rows: np.ndarray) -> ClipTruth:
    weights, angles, envelope, scalars = np.split(rows, np.cumsum([_N_WEIGHTS, _N_ANGLES, N_FRAMES]), axis=1)
    return ClipTruth(
        emotion=scalars[:, 0].astype(np.int64),
        hardness=scalars[:, 1].astype(np.int64),
        weights=weights.reshape(len(rows), N_FRAMES, -1),
        angles_deg=angles.reshape(len(rows), N_FRAMES, 3),
        envelope=envelope,
        apex=scalars[:, 2:4],
        key=scalars[:, 4:6],
        visible=scalars[:, 6:],
    )
