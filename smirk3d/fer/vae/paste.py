"""A changed window put back into its photo."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from smirk3d.detection.face_patch import PatchFrame

PasteMode = Literal["change", "face"]
_FLOW_SCALE, _FLOW_SMOOTHNESS_PX = 4, 5.0
"""Enlargement of windows for the optical flow, and the standard deviation of its smoothing in enlarged pixels."""
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
        mode: "change" moves the photo's own pixels as the face moves from `before` to `after`, and adds the difference
            that is left, which keeps the photo's detail; "face" takes `after` itself.

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
    share = _border(points)[..., None]
    part = pixels[low[1] : high[1], low[0] : high[0]]
    if mode == "face":
        start = torch.from_numpy(part.astype(np.float32) / 255)
        mixed = start + share * (_sampled(after, points).clamp(0, 1) - start)
    else:
        motion = window_motion(before, after)
        offsets = share * _sampled(motion, points)
        mixed = _moved_pixels(pixels, frame, points + offsets)
        mixed = mixed + share * (_sampled(after, points) - _sampled(before, points + offsets))
    is_inside = (share > 0).numpy()
    patch = (mixed.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    result[low[1] : high[1], low[0] : high[0]] = np.where(is_inside, patch, part)
    return result


def window_motion(before: Tensor, after: Tensor) -> Tensor:
    """Return where the pixels of one window come from in another, (2, S, S) offsets x, y in half sides.

    Dense inverse search of optical flow on the luma, smoothed. Source: Kroeger et al., "Fast Optical Flow using Dense
    Inverse Search" (ECCV 2016).
    """
    import cv2

    side_px = before.shape[1] * _FLOW_SCALE
    images = [
        cv2.resize((each.mean(0).clamp(0, 1) * 255).byte().numpy(), (side_px, side_px), interpolation=cv2.INTER_CUBIC)
        for each in (after, before)
    ]
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow_px = cv2.GaussianBlur(search.calc(images[0], images[1], None), (0, 0), _FLOW_SMOOTHNESS_PX)  # type: ignore
    flow = cv2.resize(flow_px, before.shape[1:], interpolation=cv2.INTER_AREA) * (2 / side_px)
    return torch.from_numpy(flow).permute(2, 0, 1).contiguous()


def _sampled(image: Tensor, points: Tensor) -> Tensor:
    """Return an image (C, S, S) at points (h, w, 2), (h, w, C)."""
    drawn = grid_sample(image[None], points[None], mode="bicubic", padding_mode="border", align_corners=False)
    return drawn[0].permute(1, 2, 0)


def _moved_pixels(pixels: np.ndarray, frame: PatchFrame, points: Tensor) -> Tensor:
    """Return the photo at points (h, w, 2) of the window, (h, w, 3) in [0, 1]."""
    import cv2

    axes = np.stack([frame.right_px, frame.down_px])
    place_px = (points.double().numpy() @ axes + frame.center_px - 0.5).astype(np.float32)
    moved = cv2.remap(pixels, place_px[..., 0], place_px[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return torch.from_numpy(moved.astype(np.float32) / 255)


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
