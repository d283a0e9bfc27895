"""What Apple's ARKit blendshapes do at weight 1, as measured on Apple's face geometry.

`arkit_amplitudes.csv` holds the motion of the points of `smirk3d.authoring.face_points` and a few extremes over
regions, in units of the eye distance. One-sided blendshapes are those of the left side; the right ones are their
mirror images. Motions below 0.0006 are left out.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

TABLE = Path(__file__).with_name("arkit_amplitudes.csv")
_POINT_OF_MEASURE = {
    "chin": "chin",
    "lip_upper": "lip_upper",
    "lip_lower": "lip_lower",
    "lip_upper_side": "{side}_lip_side_upper",
    "lip_lower_side": "{side}_lip_side_lower",
    "mouth_corner": "{side}_mouth_corner",
    "lid_upper": "{side}_lid_upper",
    "lid_lower": "{side}_lid_lower",
    "brow_in": "{side}_brow_in",
    "brow_mid": "{side}_brow_mid",
    "brow_out": "{side}_brow_out",
}
_AXES = {"_dx": 0, "_dy": 1, "_dz": 2}
_OUTWARD = ("mouth_corner_dx", "brow_in_dx")
"""Measures that are positive away from the midline, on either side."""
MEASURED_AXES = {
    "chin": "xyz",
    "lip_upper": "xyz",
    "lip_lower": "xyz",
    "lip_upper_side": "y",
    "lip_lower_side": "y",
    "mouth_corner": "xyz",
    "lid_upper": "y",
    "lid_lower": "y",
    "brow_in": "xy",
    "brow_mid": "y",
    "brow_out": "y",
}
"""Components of the motion of each point that were measured."""


@cache
def amplitudes() -> dict[str, dict[tuple[str, str], float]]:
    """Return action -> (side, measure) -> value; side is "left", "right" or "both"."""
    table: dict[str, dict[tuple[str, str], float]] = {}
    with open(TABLE, newline="") as file:
        for row in csv.DictReader(file):
            table.setdefault(row["action"], {})[row["side"], row["measure"]] = float(row["value"])
    return table


def point_motion(action: str) -> dict[str, Tensor]:
    """Return the motion (3,) of each point at weight 1, in eye distances; NaN where it was not measured.

    Args:
        action: A left or two-sided ARKit name.
    """
    measured = amplitudes().get(action, {})
    motion = {}
    for measure, pattern in _POINT_OF_MEASURE.items():
        for side in ("left", "right") if "{side}" in pattern else ("both",):
            values = torch.full((3,), torch.nan)
            for suffix, axis in _AXES.items():
                if suffix[-1] in MEASURED_AXES[measure]:
                    values[axis] = measured.get((side, measure + suffix), 0.0)
                    if side == "right" and measure + suffix in _OUTWARD:
                        values[axis] *= -1
            motion[pattern.format(side=side)] = values
    return motion
