"""Occluded patches of face windows, found and rebuilt with the packaged network or one of the user's."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from smirk3d.fer.face_windows import WINDOW_PX
from smirk3d.fer.network import enlarged
from smirk3d.fer.occlusion.network import OcclusionNetwork, load_occlusion_network
from smirk3d.fer.occlusion.patches import GRID, SIDE_PX, grown, majority, to_pixels
from smirk3d.networks.file_cache import cached_by_files
from smirk3d.zoo.registry import find

MAX_SHARE = 0.8
"""Windows of which a larger share is hidden are left as they are: too little is left to rebuild a face from."""
EDGE_SHARE = 0.5
"""A neighbour of a hidden patch is hidden as well beyond this share of the radius: an edge runs through it."""
FLATTENING = 1.0
"""Growth of the temperature of probabilities with the occluded share of a repaired window."""
_BATCH, _SEAM_PX = 32, 5


@dataclass(frozen=True, eq=False)
class Repaired:
    """What was found and rebuilt in N windows.

    Attributes:
        windows: (N, S, S) uint8; where nothing is hidden, the pixels that were passed in.
        hidden: (N, 12, 12) bool, occluded patches.
        core: (N, 12, 12) bool, those of them that lie beyond the radius themselves, in windows that were repaired.
        distances: (N, 12, 12) float32, how far each patch lies from visible ones; beyond the radius it is occluded.
    """

    windows: np.ndarray
    hidden: np.ndarray
    core: np.ndarray
    distances: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """(N,) occluded share of each window."""
        return self.hidden.mean(axis=(1, 2))


@cached_by_files
def _network(path: Path) -> OcclusionNetwork:
    return load_occlusion_network(path)


def occlusion_network(weights: str | os.PathLike[str] | None = None) -> OcclusionNetwork:
    """Return the network of a file of `smirk3d fer train`; None: the packaged one.

    Raises:
        Smirk3dError: The file is missing, or holds no such network.
    """
    return _network(find("occlusion") if weights is None else Path(weights))


@torch.inference_mode()
def patch_distances(windows: np.ndarray, weights: str | os.PathLike[str] | None = None) -> np.ndarray:
    """Return how far the patches of windows lie from visible ones, (N, 12, 12) float32.

    Args:
        windows: (N, 48, 48) or (N, 96, 96) uint8.
        weights: See `occlusion_network`.
    """
    network = occlusion_network(weights)
    parts = [network.detect(_images(block)) for block in torch.from_numpy(windows).split(_BATCH)]
    return torch.cat(parts).reshape(-1, GRID, GRID).numpy()


@torch.inference_mode()
def repair_windows(
    windows: np.ndarray, weights: str | os.PathLike[str] | None = None, radius: float | None = None
) -> Repaired:
    """Find the occluded patches of windows and rebuild them from the others.

    Args:
        windows: (N, 48, 48) or (N, 96, 96) uint8, see `smirk3d.fer.face_windows`; N is at least 1.
        weights: See `occlusion_network`.
        radius: Distance beyond which a patch is occluded; None: that of the network.

    Raises:
        Smirk3dError: The network cannot be read.
    """
    network = occlusion_network(weights)
    distances = patch_distances(windows, weights)
    radius = float(network.radius) if radius is None else radius
    hidden = hidden_patches(distances, radius)
    result = windows.copy()
    share = hidden.mean(axis=(1, 2))
    for rows in np.array_split(np.flatnonzero((share > 0) & (share <= MAX_SHARE)), -(-len(windows) // _BATCH)):
        if len(rows):
            result[rows] = rebuilt_windows(windows[rows], hidden[rows], weights)
    core = core_patches(distances, radius) & (share <= MAX_SHARE)[:, None, None]
    return Repaired(result, hidden, core, distances)


def core_patches(distances: np.ndarray, radius: float) -> np.ndarray:
    """Return which patches lie beyond the radius, (N, 12, 12) bool, after a majority pass over their neighbourhoods.

    Args:
        distances: (N, 12, 12), see `patch_distances`.
        radius: Distance beyond which a patch is occluded.
    """
    flat = torch.from_numpy(distances).reshape(len(distances), -1)
    return majority(flat > radius).reshape(distances.shape).numpy()


def hidden_patches(distances: np.ndarray, radius: float) -> np.ndarray:
    """Return which patches are occluded, (N, 12, 12) bool.

    Those of `core_patches`, and neighbours of them beyond `EDGE_SHARE` of the radius.

    Args:
        distances: As for `core_patches`.
        radius: Likewise.
    """
    flat = torch.from_numpy(distances).reshape(len(distances), -1)
    core = torch.from_numpy(core_patches(distances, radius)).reshape(flat.shape)
    edge = grown(core) & (flat > EDGE_SHARE * radius)
    return (core | edge).reshape(distances.shape).numpy()


@torch.inference_mode()
def rebuilt_windows(
    windows: np.ndarray, hidden: np.ndarray, weights: str | os.PathLike[str] | None = None
) -> np.ndarray:
    """Return windows with their occluded patches rebuilt.

    The seam is soft outwards: two pixels about the occluded patches are mixed.

    Args:
        windows: (N, 48, 48) or (N, 96, 96) uint8.
        hidden: (N, 12, 12) bool, occluded patches; not all of a window.
        weights: See `occlusion_network`.
    """
    flat = torch.from_numpy(hidden).reshape(len(hidden), -1)
    network = occlusion_network(weights)
    rebuilt = network.rebuild(_images(torch.from_numpy(windows)), flat)
    area = to_pixels(flat)
    mixed = torch.maximum(area, avg_pool2d(area, _SEAM_PX, 1, _SEAM_PX // 2, count_include_pad=False))
    if windows.shape[1] == WINDOW_PX:
        rebuilt, mixed = avg_pool2d(rebuilt, SIDE_PX // WINDOW_PX), avg_pool2d(mixed, SIDE_PX // WINDOW_PX)
    own = torch.from_numpy(windows)[:, None].float()
    pixels = own + mixed * (255 * rebuilt - own)
    return pixels[:, 0].round().clamp(0, 255).to(torch.uint8).numpy()


def reduced(window: np.ndarray, side_px: int) -> np.ndarray:
    """Return a window (S, S) uint8 with a side of which S is a multiple, each pixel the mean of those it covers."""
    step = len(window) // side_px
    return window.reshape(side_px, step, side_px, step).mean(axis=(1, 3)).round().astype(np.uint8)


def flattened(probabilities: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return probabilities of repaired faces, less sure the more was hidden: at the temperature 1 + `FLATTENING` share.

    Args:
        probabilities: (N, C), of rows with the sum 1.
        shares: (N,) occluded shares.
    """
    raised = np.clip(probabilities, 1e-12, 1) ** (1 / (1 + FLATTENING * shares[:, None]))
    return (raised / raised.sum(axis=1, keepdims=True)).astype(probabilities.dtype)


def _images(windows: Tensor) -> Tensor:
    """Return windows (N, S, S) uint8 as images (N, 1, 96, 96) in [0, 1]."""
    if windows.ndim != 3 or tuple(windows.shape[1:]) not in ((WINDOW_PX,) * 2, (SIDE_PX,) * 2):
        raise ValueError(
            f"windows must be (N, {WINDOW_PX}, {WINDOW_PX}) or (N, {SIDE_PX}, {SIDE_PX}), not {tuple(windows.shape)}"
        )
    images = windows[:, None].float() / 255
    return images if images.shape[2] == SIDE_PX else enlarged(images, SIDE_PX)
