"""The colour window of a face that the autoencoder reads, and where it lies in a photo."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import avg_pool2d, grid_sample

from smirk3d.detection.face_patch import PatchFrame
from smirk3d.fer.vae.network import SIDE_PX

FRAME_SCALE = 1.04
"""Side of the window over that of the square about the landmarks, `PatchFrame.from_landmarks`."""
MAX_SAMPLES = 8
"""Most samples of the photo along a pixel of the window."""


def window_frame(landmarks_px: np.ndarray) -> PatchFrame:
    """Return where the window of a face lies: upright about its landmarks (478, 2) in pixels of the photo."""
    return PatchFrame.from_landmarks(landmarks_px).moved((0.0, 0.0), FRAME_SCALE, 0.0)


def crop_frame(width: int, height: int) -> PatchFrame:
    """Return the frame of a picture that is a face crop already: its central square."""
    return PatchFrame(np.array([width / 2, height / 2]), np.array([min(width, height) / 2, 0.0]))


def colour_window(pixels: np.ndarray, frame: PatchFrame) -> np.ndarray:
    """Average a photo over the pixels of a window.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        frame: Where the window lies.

    Returns:
        (64, 64, 3) uint8 RGB; beyond the photo its border is repeated.
    """
    height, width = pixels.shape[:2]
    reach = float(np.abs(frame.right_px).sum()) + 2.0
    low = np.floor(frame.center_px - reach).clip(0, [width - 1, height - 1]).astype(int)
    high = np.ceil(frame.center_px + reach).clip(low + 1, [width, height]).astype(int)
    part = torch.from_numpy(np.ascontiguousarray(pixels[low[1] : high[1], low[0] : high[0]])).float()
    side_px = 2 * float(np.hypot(*frame.right_px))
    samples = int(np.clip(np.ceil(side_px / SIDE_PX), 1, MAX_SAMPLES))
    steps = (torch.arange(SIDE_PX * samples) + 0.5) * (2 / (SIDE_PX * samples)) - 1
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    right, down = (torch.tensor(each, dtype=torch.float32) for each in (frame.right_px, frame.down_px))
    start = torch.tensor(frame.center_px - low, dtype=torch.float32)
    points = start + x[..., None] * right + y[..., None] * down
    scale = torch.tensor([2.0 / part.shape[1], 2.0 / part.shape[0]])
    image = part.permute(2, 0, 1)[None]
    sampled = grid_sample(image, (points * scale - 1)[None], padding_mode="border", align_corners=False)
    averaged = avg_pool2d(sampled, samples)[0].permute(1, 2, 0)
    return averaged.round().clamp(0, 255).to(torch.uint8).numpy()


def as_images(windows: np.ndarray) -> torch.Tensor:
    """Return windows (N, 64, 64, 3) uint8 as images (N, 3, 64, 64) float32 in [0, 1]."""
    return torch.from_numpy(windows).permute(0, 3, 1, 2).float() / 255


def as_windows(images: torch.Tensor) -> np.ndarray:
    """Return images (N, 3, 64, 64) as windows (N, 64, 64, 3) uint8, the inverse of `as_images`."""
    return (images.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
