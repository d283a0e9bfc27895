"""Expressions as text: `mouthSmileLeft=.8,blink=1`."""

from __future__ import annotations

import difflib

from smirk3d.errors import UsageError
from smirk3d.head.arkit import ARKIT_NAMES

SHORT_FORMS: dict[str, tuple[str, ...]] = {
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
    "frown": ("mouthFrownLeft", "mouthFrownRight"),
    "blink": ("eyeBlinkLeft", "eyeBlinkRight"),
    "wink": ("eyeBlinkLeft",),
    "wide": ("eyeWideLeft", "eyeWideRight"),
    "squint": ("eyeSquintLeft", "eyeSquintRight"),
    "browsUp": ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    "browsDown": ("browDownLeft", "browDownRight"),
    "sneer": ("noseSneerLeft", "noseSneerRight"),
    "pucker": ("mouthPucker",),
    "funnel": ("mouthFunnel",),
    "open": ("jawOpen",),
    "puff": ("cheekPuff",),
    "tongue": ("tongueOut",),
}
"""Words for several actions; beside them a name without its side, such as `noseSneer`, stands for both sides."""


def parse_expression(text: str) -> dict[str, float]:
    """Return the weights that a text states.

    Args:
        text: `name=weight` separated by commas; names are ARKit's or of `known_names`, in any case.

    Raises:
        UsageError: A name is unknown, or a weight is no number in [0, 1].
    """
    names = {name.lower(): actions for name, actions in known_names().items()}
    weights: dict[str, float] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, sign, value = (part.strip() for part in item.partition("="))
        if name.lower() not in names:
            raise UsageError(f"--expression {item}: unknown action{_nearest(name)}")
        weights |= dict.fromkeys(names[name.lower()], _weight(item, value if sign else "1"))
    if not weights:
        raise UsageError("--expression: is empty; give name=weight, such as smile=.8,eyeBlinkLeft=1")
    return weights


def known_names() -> dict[str, tuple[str, ...]]:
    """Return all names of actions, and the ARKit names for which each stands."""
    sides: dict[str, tuple[str, ...]] = {}
    for name in ARKIT_NAMES:
        for side in ("Left", "Right"):
            base = name.removesuffix(side)
            if base != name and base + "Left" in ARKIT_NAMES and base + "Right" in ARKIT_NAMES:
                sides[base] = (base + "Left", base + "Right")
    # jawLeft and jawRight, and mouthLeft and mouthRight, are opposites, not sides.
    opposite = {name: actions for name, actions in sides.items() if name not in ("jaw", "mouth")}
    return opposite | SHORT_FORMS | {name: (name,) for name in ARKIT_NAMES}


def _weight(item: str, value: str) -> float:
    try:
        weight = float(value)
    except ValueError:
        weight = float("nan")
    if not 0 <= weight <= 1:
        raise UsageError(f"--expression {item}: a weight must be a number from 0 to 1")
    return weight


def _nearest(name: str) -> str:
    by_lower = {known.lower(): known for known in known_names()}
    close = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(by_lower[each] for each in close)}?" if close else "; use ARKit's 52 names"
