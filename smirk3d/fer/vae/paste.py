"""A changed window put back into its photo."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from smirk3d.detection.face_patch import PatchFrame

PasteMode = Literal["change", "face"]
INNER_RADIUS, OUTER_RADIUS = 0.62, 0.97
"""Radii, over half a side of the window, within which a window is wholly taken and beyond which the photo is."""


def pasted(
    pixels: np.ndarray, frame: PatchFrame, before: Tensor, after: Tensor, mode: PasteMode = "change"
) -> np.ndarray:
    """Put a changed face into a photo, with a soft border.

    Args:
        pixels: (H, W, 3) uint8 RGB, the photo.
        frame: Where the window lies in it.
        before: (3, S, S) reconstruction of the window, RGB in [0, 1].
        after: (3, S, S) the same with a changed code.
        mode: "change" adds the difference of both to the photo, which keeps its detail; "face" takes `after` itself.

    Returns:
        (H, W, 3) uint8 RGB; equal to the photo beyond `OUTER_RADIUS`.
    """
    height, width = pixels.shape[:2]
    reach = np.abs(frame.right_px) + np.abs(frame.down_px)
    low = np.floor(frame.center_px - reach).clip(0, [width, height]).astype(int)
    high = np.ceil(frame.center_px + reach).clip(0, [width, height]).astype(int)
    result = pixels.copy()
    if (high <= low).any():
        return result
    points = _window_points(frame, low, high)
    part = torch.from_numpy(pixels[low[1] : high[1], low[0] : high[0]].astype(np.float32) / 255)
    source = after - before if mode == "change" else after
    grid = points[None].float()
    drawn = grid_sample(source[None], grid, mode="bicubic", padding_mode="border", align_corners=False)[0]
    drawn = drawn.permute(1, 2, 0)
    share = _border(points)[..., None]
    mixed = part + share * drawn if mode == "change" else part + share * (drawn.clamp(0, 1) - part)
    patch = (mixed.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    result[low[1] : high[1], low[0] : high[0]] = patch
    return result


def _window_points(frame: PatchFrame, low: np.ndarray, high: np.ndarray) -> Tensor:
    """Return where the pixels of a part of the photo lie in the window, (h, w, 2) in [-1, 1] within it."""
    x, y = (np.arange(low[k], high[k]) + 0.5 - frame.center_px[k] for k in range(2))
    offset = np.stack(np.meshgrid(x, y), axis=-1)
    axes = np.stack([frame.right_px, frame.down_px], axis=1)
    return torch.from_numpy(offset @ axes / float(frame.right_px @ frame.right_px)).float()


def _border(points: Tensor) -> Tensor:
    """Return the share of the window at points (h, w, 2): 1 inside, a smooth fall to 0."""
    radius = points.norm(dim=-1)
    fall = ((OUTER_RADIUS - radius) / (OUTER_RADIUS - INNER_RADIUS)).clamp(0, 1)
    return fall * fall * (3 - 2 * fall)
