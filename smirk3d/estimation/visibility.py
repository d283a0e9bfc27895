"""Which regions of a face are visible, from the photo and the landmarks."""

# torch's own annotations are incomplete.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import functools

import numpy as np
import torch

from smirk3d.detection.face_patch import face_input
from smirk3d.detection.face_regions import REGIONS, share_inside
from smirk3d.networks.visibility import VisibilityNetwork, load_visibility_network
from smirk3d.zoo.registry import find

MIN_CONTRAST = 0.01
"""Largest difference from the mean, in standard deviations or grey levels, of a photo of one colour."""


@functools.cache
def _network() -> VisibilityNetwork:
    return load_visibility_network(find("visibility"))


@torch.inference_mode()
def region_visibility(pixels: np.ndarray, landmarks_px: np.ndarray) -> np.ndarray:
    """Estimate which share of each region of a face is visible.

    What lies outside the photo is hidden. Where the photo shows one colour all over, there is nothing to judge, as
    with landmarks that come without a photo, and all that lies inside counts as visible.

    Args:
        pixels: (H, W, 3) uint8 RGB in [0, 255].
        landmarks_px: (478, 2) float, pixels of the photo; points may lie outside of it.

    Returns:
        (4,) float32 in [0, 1], the regions of `Visibility` in their order.

    Raises:
        Smirk3dError: The network is missing or damaged.
    """
    inside = share_inside(landmarks_px, (pixels.shape[1], pixels.shape[0]))
    patch = face_input(pixels, landmarks_px)
    if np.abs(patch[0]).max() < MIN_CONTRAST:
        return inside
    # One face at a time, so that the result does not depend on the others of a batch.
    visible = _network().region_logits(torch.from_numpy(patch)[None])[0].sigmoid().numpy()
    assert visible.shape == (len(REGIONS),)
    return np.minimum(visible, inside)
