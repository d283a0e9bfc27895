"""Position of teeth and tongue behind the lips, as people have them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from smirk3d.authoring.openings import LIP_SEAM, Openings
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.head.data import HeadData

INCISOR_DISPLAY_M = 0.0025
"""Height of the upper incisors below the upper lip at rest, metres: 1.9 mm in men and 3.4 mm in women.

Source: Vig and Brundo, "The kinetics of anterior tooth display", Journal of Prosthetic Dentistry 39(5), 1978.
"""
OVERBITE_M, OVERJET_M = 0.0025, 0.0025
"""By how much the upper incisors reach below the edge of the lower ones, and stand in front of them, metres."""
TONGUE_LOWERING_M = 0.004
"""By how much the tongue lies lower than MakeHuman's, metres: no higher than the lower teeth where the jaw opens."""
INCISOR_DEPTH_M = 0.006
"""Teeth so far behind the foremost one are incisors, metres."""


def placed_bite(data: HeadData, openings: Openings) -> HeadData:
    """Return the head with teeth and tongue where people have them; MakeHuman's upper teeth end above the lips.

    A tongue that is out stays where it is.

    Args:
        data: The open head; closed lips touch along `LIP_SEAM`.
        openings: Loops of the mouth.
    """
    seam_y = data.v_template[openings.mouth.upper[LIP_SEAM], 1].median()
    upper_edge, upper_front = _incisors(data, "upper_teeth", is_upper=True)
    lower_edge, lower_front = _incisors(data, "lower_teeth", is_upper=False)
    edge = seam_y - INCISOR_DISPLAY_M
    upper = torch.stack([seam_y * 0, edge - upper_edge, seam_y * 0])
    back = upper_front - OVERJET_M - lower_front
    lower = torch.stack([seam_y * 0, edge + OVERBITE_M - lower_edge, back])
    tongue = torch.stack([seam_y * 0, seam_y * 0 - TONGUE_LOWERING_M, back])
    vertices, offsets = data.v_template.clone(), data.expressiondirs.clone()
    for name, shift in (("upper_teeth", upper), ("lower_teeth", lower), ("tongue", tongue)):
        vertices[data.regions[name]] += shift
    offsets[data.regions["tongue"], :, ARKIT_NAMES.index("tongueOut")] -= tongue
    return replace(data, v_template=vertices, expressiondirs=offsets)


def _incisors(data: HeadData, name: str, *, is_upper: bool) -> tuple[Tensor, Tensor]:
    """Return the height of the cutting edge and the depth of the front of the incisors, metres."""
    teeth = data.v_template[data.regions[name]]
    front = teeth[:, 2].max()
    height = teeth[teeth[:, 2] > front - INCISOR_DEPTH_M, 1]
    return (height.min() if is_upper else height.max()), front
