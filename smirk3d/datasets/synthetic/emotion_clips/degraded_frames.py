"""What a camera and things before a face do to the frames of a synthetic clip."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch.nn.functional import interpolate

from smirk3d.datasets.synthetic.emotion_clips.clip_frames import ClipFrames
from smirk3d.datasets.synthetic.occluders import HELD_OUT_KINDS, TRAINING_KINDS, occlude, visible_shares
from smirk3d.fer.face_windows import WINDOW_PX, window_frame

_OCCLUDERS = ("hand", "face_mask", "block", "sunglasses", "microphone", "scarf")
_BLURRED_PX, _USUAL_PX = (14, 21), (30, 2 * WINDOW_PX)
"""Sides of the face window in pixels of the camera."""
_MAX_NOISE, _BLURRED_NOISE = 6.0, 3.0
_GAIN = (0.8, 1.2)
_MIN_COVERED = 0.35
_N_REGIONS = 4


def degraded_frames(frames: ClipFrames, kind: str, rng: np.random.Generator) -> tuple[ClipFrames, np.ndarray]:
    """Return frames as a camera takes them, occluded or blurred where that is the hardness.

    Args:
        frames: The frames.
        kind: One of `smirk3d.datasets.synthetic.emotion_clips.motion.HARDNESS`.
        rng: All randomness.

    Returns:
        The frames, and the visible share (4,) float32 of each of `smirk3d.detection.face_regions.REGIONS`.
    """
    pixels, visible = frames.pixels, np.ones(_N_REGIONS, dtype=np.float32)
    if kind == "occluded":
        pixels, visible = _occluded(pixels, frames.points_px[0], rng)
    is_blurred = kind == "blurred"
    side_px = int(rng.integers(*(_BLURRED_PX if is_blurred else _USUAL_PX)))
    window_px = 2 * float(np.hypot(*window_frame(frames.points_px[0]).right_px))
    noise = rng.uniform(0, _MAX_NOISE) + is_blurred * _BLURRED_NOISE
    taken = _taken(pixels, side_px / window_px, rng.uniform(*_GAIN), noise, rng)
    return replace(frames, pixels=taken), visible


def _taken(pixels: np.ndarray, scale: float, gain: float, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Return frames (T, S, S, 3) reduced by `scale` where that is below 1, with noise there, and enlarged again."""
    values = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    size = values.shape[-1]
    small = min(max(round(scale * size), 2), size)
    if small < size:
        values = interpolate(values, (small, small), mode="bilinear", antialias=True)
    values = gain * values + torch.from_numpy(rng.normal(0, noise, values.shape).astype(np.float32))
    if small < size:
        values = interpolate(values, (size, size), mode="bilinear")
    return values.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()


def _occluded(frames: np.ndarray, points_px: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw an occluder, which moves with the face, before frames (T, S, S, 3); also return the visible shares (4,)."""
    grey, other = np.full_like(frames[0], 128), frames[0].mean(2).astype(np.uint8)
    kinds = {**TRAINING_KINDS, **HELD_OUT_KINDS}
    for _ in range(8):
        kind = kinds[_OCCLUDERS[rng.integers(len(_OCCLUDERS))]]
        painted, coverage = occlude(grey, points_px, kind, other, rng)
        visible = visible_shares(coverage, points_px)
        if visible.min() < 1 - _MIN_COVERED:
            break
    cover = coverage[..., None]
    layer = np.where(cover > 0.02, (painted - (1 - cover) * grey) / np.maximum(cover, 0.02), 0).clip(0, 255)
    mixed = frames + cover * (layer - frames)
    return mixed.round().clip(0, 255).astype(np.uint8), visible
