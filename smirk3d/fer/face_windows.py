"""The small grey window of a face that the expression network reads."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import avg_pool2d, grid_sample

from smirk3d.detection.face_patch import PatchFrame

WINDOW_PX = 48
"""Side of the window in pixels, that of the faces in FER2013."""
FRAME_SHIFT, FRAME_SCALE = (0.0, -0.1), 0.96
"""Shift (half sides, right and down) and scale from the square about the landmarks to the framing of FER2013's faces.

Medians over 271 of its pictures in which the landmarker finds the face.
"""
MAX_SAMPLES = 8
"""Most samples of the photo along a pixel of the window."""
_LUMA = (0.299, 0.587, 0.114)


def window_frame(landmarks_px: np.ndarray) -> PatchFrame:
    """Return where the window about the landmarks (478, 2) of a face lies in its photo."""
    return PatchFrame.from_landmarks(landmarks_px).moved(FRAME_SHIFT, FRAME_SCALE, 0.0)


def face_window(pixels: np.ndarray, landmarks_px: np.ndarray, side_px: int = WINDOW_PX) -> np.ndarray:
    """Return the upright window about the landmarks of a face.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        landmarks_px: (478, 2) float, pixels of the photo.
        side_px: Side of the window S.

    Returns:
        (S, S) uint8, the luma; beyond the photo its border is repeated.
    """
    return _sampled(pixels, window_frame(landmarks_px), side_px)


def crop_window(pixels: np.ndarray, side_px: int = WINDOW_PX) -> np.ndarray:
    """Return the window of a picture that is a face crop already: its central square.

    Args:
        pixels: (H, W, 3) uint8 RGB, a face framed as in FER2013.
        side_px: Side of the window S.

    Returns:
        (S, S) uint8.
    """
    height, width = pixels.shape[:2]
    half_px = min(height, width) / 2
    return _sampled(pixels, PatchFrame(np.array([width / 2, height / 2]), np.array([half_px, 0.0])), side_px)


def box_window(pixels: np.ndarray, box_px: tuple[float, float, float, float], side_px: int = WINDOW_PX) -> np.ndarray:
    """Return the window of a face that a data set states by a box: the square about its centre.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        box_px: x0, y0, x1, y1.
        side_px: Side of the window S.

    Returns:
        (S, S) uint8; beyond the photo its border is repeated.
    """
    x0, y0, x1, y1 = box_px
    half_px = max(x1 - x0, y1 - y0, 1.0) / 2
    return _sampled(pixels, PatchFrame(np.array([x0 + x1, y0 + y1]) / 2, np.array([half_px, 0.0])), side_px)


def _sampled(pixels: np.ndarray, frame: PatchFrame, side_px: int) -> np.ndarray:
    """Average the luma of a photo over the pixels of a frame."""
    height, width = pixels.shape[:2]
    reach = float(np.abs(frame.right_px).sum()) + 2.0
    low = np.floor(frame.center_px - reach).clip(0, [width - 1, height - 1]).astype(int)
    high = np.ceil(frame.center_px + reach).clip(low + 1, [width, height]).astype(int)
    part = torch.from_numpy(np.ascontiguousarray(pixels[low[1] : high[1], low[0] : high[0]])).float()
    luma = (part @ torch.tensor(_LUMA))[None, None]
    covered_px = 2 * float(np.hypot(*frame.right_px))
    samples = int(np.clip(np.ceil(covered_px / side_px), 1, MAX_SAMPLES))
    steps = (torch.arange(side_px * samples) + 0.5) * (2 / (side_px * samples)) - 1
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    right, down = (torch.tensor(each, dtype=torch.float32) for each in (frame.right_px, frame.down_px))
    start = torch.tensor(frame.center_px - low, dtype=torch.float32)
    points = start + x[..., None] * right + y[..., None] * down
    scale = torch.tensor([2.0 / luma.shape[3], 2.0 / luma.shape[2]])
    sampled = grid_sample(luma, (points * scale - 1)[None], padding_mode="border", align_corners=False)
    return avg_pool2d(sampled, samples)[0, 0].round().clamp(0, 255).to(torch.uint8).numpy()
