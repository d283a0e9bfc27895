"""Near-duplicate pictures, by a perceptual hash that a second look at the pixels confirms."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy.fft import dctn

HASH_SIDE, THUMBNAIL_PX = 8, 32
N_BITS = HASH_SIDE**2 - 1
MAX_DISTANCE = 8
"""Bits by which the hashes of near-duplicates differ at most, of 63."""
MIN_CORRELATION = 0.97
"""Correlation of the thumbnails of near-duplicates."""
_BLOCK = 1024


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """Return a picture in grey, reduced to (32, 32) float32, with mean 0 and norm 1; flat ones are all 0.

    Args:
        pixels: (H, W) or (H, W, 3) uint8.
    """
    grey = Image.fromarray(pixels).convert("L").resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX)
    values = np.asarray(grey, dtype=np.float32)
    values = values - values.mean()
    norm = float(np.linalg.norm(values))
    return values / norm if norm > 0 else values


def perceptual_hashes(thumbnails: np.ndarray) -> np.ndarray:
    """Return the signs of the low frequencies, relative to their median, as (N, 63) float32 of 1 and -1.

    Source: Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010), the hash by the
    discrete cosine transform, here without the constant term.

    Args:
        thumbnails: (N, 32, 32) of `thumbnail`.
    """
    frequencies = np.asarray(dctn(thumbnails, axes=(1, 2), norm="ortho"))
    low = frequencies[:, :HASH_SIDE, :HASH_SIDE].reshape(len(thumbnails), -1)[:, 1:]
    return np.where(low > np.median(low, axis=1, keepdims=True), 1.0, -1.0).astype(np.float32)


def near_duplicates(thumbnails: np.ndarray, others: np.ndarray) -> list[tuple[int, int]]:
    """Return the pairs of near-duplicates between two sets of pictures.

    Args:
        thumbnails: (N, 32, 32) of `thumbnail`.
        others: (M, 32, 32) likewise.

    Returns:
        Pairs of indices into both, in order.
    """
    hashes, other_hashes = perceptual_hashes(thumbnails), perceptual_hashes(others)
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(hashes), _BLOCK):
        distance = (N_BITS - hashes[start : start + _BLOCK] @ other_hashes.T) / 2
        for row, column in zip(*np.nonzero(distance <= MAX_DISTANCE)):
            correlation = float((thumbnails[start + row] * others[column]).sum())
            if correlation >= MIN_CORRELATION:
                pairs.append((start + int(row), int(column)))
    return pairs
