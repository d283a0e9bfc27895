"""FACS action units from the 52 ARKit weights.

Source: Ekman, Friesen and Hager, "Facial Action Coding System" (2002), for the units; which blendshape shows which unit
is the usual correspondence. A weight in [0, 1] is no FACS level from A to E. Units that no blendshape shows (11, 13, 38
and so on) and units that need time (45, 46) have no column.
"""

from __future__ import annotations

from collections.abc import Mapping

from smirk3d.head.arkit import ARKIT_NAMES

SIDED_UNITS: dict[str, str] = {
    "AU02": "browOuterUp",
    "AU04": "browDown",
    "AU05": "eyeWide",
    "AU06": "cheekSquint",
    "AU07": "eyeSquint",
    "AU09": "noseSneer",
    "AU10": "mouthUpperUp",
    "AU12": "mouthSmile",
    "AU14": "mouthDimple",
    "AU15": "mouthFrown",
    "AU16": "mouthLowerDown",
    "AU20": "mouthStretch",
    "AU24": "mouthPress",
    "AU43": "eyeBlink",
}
"""Units with a side of their own, and the blendshape that shows them, without Left and Right."""

MIDDLE_UNITS: dict[str, tuple[str, ...]] = {
    "AU01": ("browInnerUp",),
    "AU17": ("mouthShrugLower", "mouthShrugUpper"),
    "AU18": ("mouthPucker",),
    "AU22": ("mouthFunnel",),
    "AU23": ("mouthPressLeft", "mouthPressRight", "mouthRollLower", "mouthRollUpper"),
    "AU26": ("jawOpen",),
    "AU28": ("mouthRollLower", "mouthRollUpper"),
    "AU29": ("jawForward",),
    "AU34": ("cheekPuff",),
}
"""Units without sides: the mean of these blendshapes. AU23 is shown indirectly."""

LIPS_PART = "AU25"
"""Opened jaw less what closed lips take back."""
_UNITS = sorted([*SIDED_UNITS, *MIDDLE_UNITS, LIPS_PART])
ACTION_UNITS: tuple[str, ...] = tuple(
    name for unit in _UNITS for name in ((unit, f"{unit}_left", f"{unit}_right") if unit in SIDED_UNITS else (unit,))
)
"""Names of all columns in order. The sides are the subject's own; `AU12` is the larger one of its sides."""


def action_units(arkit: Mapping[str, float]) -> dict[str, float]:
    """Return the strength of each action unit, in [0, 1].

    Args:
        arkit: The 52 ARKit names -> weight in [0, 1].

    Raises:
        KeyError: A weight is missing.
    """
    weights = {name: min(max(float(arkit[name]), 0.0), 1.0) for name in ARKIT_NAMES}
    units: dict[str, float] = {}
    for unit in _UNITS:
        if unit in SIDED_UNITS:
            left, right = (weights[f"{SIDED_UNITS[unit]}{side}"] for side in ("Left", "Right"))
            units |= {unit: max(left, right), f"{unit}_left": left, f"{unit}_right": right}
        elif unit == LIPS_PART:
            units[unit] = max(weights["jawOpen"] - weights["mouthClose"], 0.0)
        else:
            shown_by = MIDDLE_UNITS[unit]
            units[unit] = sum(weights[name] for name in shown_by) / len(shown_by)
    return units
