"""The conditions under which repair is measured: faces behind drawn things, and how they are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from smirk3d.datasets.synthetic.occluded_windows import UNSEEN_KINDS, occluded_window
from smirk3d.fer.occlusion.patches import GRID, SIDE_PX, patch_shares

CONDITIONS = ("block of 25 %", "block of 40 %", "mask", "sunglasses", "hand")
"""What is drawn before the faces. Things of the last three kinds are never met in training."""
_KIND = {"mask": "face_mask", "sunglasses": "sunglasses", "hand": "hand"}
_BLOCK_SHARE = {"block of 25 %": 0.25, "block of 40 %": 0.4}


@dataclass(frozen=True, eq=False)
class OccludedWindows:
    """N windows with something drawn before the face.

    Attributes:
        windows: (N, 96, 96) uint8.
        shares: (N, 12, 12) float32, covered share of each patch.
    """

    windows: np.ndarray
    shares: np.ndarray


def draw_condition(windows: np.ndarray, name: str, seed: int) -> OccludedWindows:
    """Draw something before each of N windows (N, 96, 96) uint8.

    Args:
        windows: The faces.
        name: One of `CONDITIONS` or of `UNSEEN_KINDS`.
        seed: Of what is drawn.
    """
    rng = np.random.default_rng([seed, *name.encode()])
    drawn, covered = [], []
    for number, window in enumerate(windows):
        if name in _BLOCK_SHARE:
            pixels, coverage = block_before(window, _BLOCK_SHARE[name], rng)
        else:
            kind = UNSEEN_KINDS[_KIND.get(name, name)]
            pixels, coverage = occluded_window(window, kind, windows[number - 1], rng)
        drawn.append(pixels)
        covered.append(coverage)
    shares = patch_shares(torch.from_numpy(np.stack(covered))[:, None])
    return OccludedWindows(np.stack(drawn), shares.numpy().reshape(-1, GRID, GRID))


def block_before(window: np.ndarray, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a window (S, S) uint8 with a rectangle of one grey that covers a share of it, and the coverage (S, S)."""
    side = len(window)
    ratio = float(np.exp(rng.uniform(-0.4, 0.4)))
    height = min(side, round(side * np.sqrt(share * ratio)))
    width = min(side, round(share * side**2 / height))
    top, left = (int(rng.integers(0, side - length + 1)) for length in (height, width))
    coverage = np.zeros((side, side), dtype=np.float32)
    coverage[top : top + height, left : left + width] = 1
    return np.where(coverage > 0, np.uint8(rng.integers(0, 256)), window), coverage


def rebuilt_by_inpainting(window: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Return a window (96, 96) uint8 with its hidden patches (12, 12) filled by OpenCV's inpainting (Telea, 2004)."""
    import cv2

    area = np.kron(hidden, np.ones((SIDE_PX // GRID,) * 2)).astype(np.uint8)
    return np.asarray(cv2.inpaint(window, area, 3, cv2.INPAINT_TELEA))


def rebuilt_by_mean_face(window: np.ndarray, hidden: np.ndarray, mean_face: np.ndarray) -> np.ndarray:
    """Return a window (96, 96) uint8 with its hidden patches (12, 12) from a mean face (96, 96).

    Brightness and contrast of the mean face are those of the visible pixels, by least squares.
    """
    area = np.kron(hidden, np.ones((SIDE_PX // GRID,) * 2)) > 0
    gain, offset = np.polyfit(mean_face[~area], window[~area].astype(np.float64), 1)
    return np.where(area, (gain * mean_face + offset).clip(0, 255), window).astype(np.float64)


def psnr_in(rebuilt: np.ndarray, true: np.ndarray, hidden: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in dB of windows (96, 96) within hidden patches (12, 12)."""
    area = np.kron(hidden, np.ones((SIDE_PX // GRID,) * 2)) > 0
    error = np.square(rebuilt[area].astype(np.float64) - true[area]).mean()
    return float(10 * np.log10(255**2 / max(error, 0.1)))
