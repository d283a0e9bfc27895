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
_OPEN, _SHUT = (0.0, 0.1), (2.0, 2.5)
"""Weights of blinks, added to the rest, before the lids of any head meet, and after."""
_RANGE = (0.2, 3.0)
"""Plausible results; eyes that are nearly closed at rest have no slope to divide by."""


def lid_openings_m(mesh: HeadMesh) -> Tensor:
    """Return the heights (B, 2) of the left and the right eye's opening, metres, along the head's vertical axis."""
    points = mesh.landmarks("mediapipe") @ mesh.rotation_rotmat
    return torch.stack([points[:, upper, 1] - points[:, lower, 1] for upper, lower in LIDS], dim=1)


def closing_blinks(head: HeadModel, resting: FaceParams) -> Tensor:
    """Return what closes the eyes, added to the weights of the left and the right blink at rest, (B, 2).

    The opening falls linearly with the weight until the lids are in contact, and hardly beyond: the two lines
    intersect there.

    Args:
        head: The open head.
        resting: Faces whose expression (B, 52) is that of their rest.
    """
    assert resting.expression is not None
    unposed = FaceParams(shape=resting.shape, expression=resting.expression)
    added = torch.zeros_like(resting.expression)
    added[:, BLINK_COLUMNS] = 1
    weights = torch.tensor([*_OPEN, *_SHUT])
    openings_m = torch.stack(
        [
            lid_openings_m(head(replace(unposed, expression=resting.expression + float(weight) * added)))
            for weight in weights
        ]
    )
    falls = (openings_m[1::2] - openings_m[::2]) / (weights[1::2] - weights[::2])[:, None, None]
    bases = openings_m[::2] - falls * weights[::2, None, None]
    return ((bases[1] - bases[0]) / (falls[0] - falls[1]).clamp_max(-1e-6)).clamp(*_RANGE)
