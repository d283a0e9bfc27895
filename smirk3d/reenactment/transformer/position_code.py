"""Positions as sines and cosines."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def position_code(values: Tensor, octaves: int) -> Tensor:
    """Return values (..., D) with their sines and cosines, (..., D (1 + 2 octaves)).

    The first octave has a wavelength of 4, so that places up to the double of [-1, 1] differ.

    Source: Mildenhall et al., "NeRF" (ECCV 2020), equation 4; the octave -1 is that of FSRT (Rochow et al., CVPR 2024).
    """
    scaled = values[..., None] * (math.pi * 2.0 ** torch.arange(-1, octaves - 1, device=values.device))
    waves = torch.cat([scaled.sin(), scaled.cos()], dim=-1).flatten(-2)
    return torch.cat([values, waves], dim=-1)
