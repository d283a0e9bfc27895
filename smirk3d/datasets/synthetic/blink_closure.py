"""Weights of blinks at which the lids of a head meet, whatever its lids are like at rest."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.model import HeadMesh, HeadModel
from smirk3d.params import FaceParams

BLINKS = ("eyeBlinkLeft", "eyeBlinkRight")
BLINK_COLUMNS = [ARKIT_NAMES.index(name) for name in BLINKS]
LIDS = ((386, 374), (159, 145))
"""MediaPipe's landmarks in the middle of the upper and the lower lid, left and right."""
_STEP, _SHUT = 0.1, 4.0
"""Weights of blinks before the lids of any head meet, and after."""
_RANGE = (0.2, 3.0)
"""Plausible results; eyes that are nearly closed at rest have no slope to divide by."""


def lid_openings_m(mesh: HeadMesh) -> Tensor:
    """Return the heights (B, 2) of the left and the right eye's opening, metres, along the head's vertical axis."""
    points = mesh.landmarks("mediapipe") @ mesh.rotation_rotmat
    return torch.stack([points[:, upper, 1] - points[:, lower, 1] for upper, lower in LIDS], dim=1)


def closing_blinks(head: HeadModel, resting: FaceParams) -> Tensor:
    """Return what closes the eyes, added to the weights of the left and the right blink at rest, (B, 2).

    The opening falls linearly with the weight until the lids are in contact, and stays there.

    Args:
        head: The open head.
        resting: Faces whose expression (B, 52) is that of their rest.
    """
    assert resting.expression is not None
    unposed = FaceParams(shape=resting.shape, expression=resting.expression)
    added = torch.zeros_like(resting.expression)
    added[:, BLINK_COLUMNS] = 1
    at_rest, little, shut = (
        lid_openings_m(head(replace(unposed, expression=resting.expression + weight * added)))
        for weight in (0.0, _STEP, _SHUT)
    )
    slope = ((at_rest - little) / _STEP).clamp_min(1e-6)
    return ((at_rest - shut) / slope).clamp(*_RANGE)
