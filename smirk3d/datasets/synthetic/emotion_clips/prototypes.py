"""Prototypical expressions of the emotions, by FACS action units.

Source: the combinations of EMFACS as usually quoted, such as in Friesen and Ekman, "EMFACS-7" (1983). Lists differ;
variants are optional units here. Which blendshape shows which unit: `smirk3d.fer.action_units`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from smirk3d.fer.action_units import LIPS_PART, MIDDLE_UNITS, SIDED_UNITS
from smirk3d.head.arkit import ARKIT_NAMES

_LIPS_PART_SHAPES = {
    "jawOpen": 0.2,
    "mouthLowerDownLeft": 0.4,
    "mouthLowerDownRight": 0.4,
    "mouthUpperUpLeft": 0.25,
    "mouthUpperUpRight": 0.25,
}
"""AU25 has no blendshape of its own: these part the lips."""
ASYMMETRY = 0.12
"""Largest difference of the sides of a two-sided unit from their mean, as a share of it."""
OPTIONAL_PROBABILITY = 0.5


@dataclass(frozen=True)
class Prototype:
    """The units of an emotion.

    Attributes:
        needed: Units that are always there, and the range of their strength at full intensity.
        choices: Of these exactly one is there.
        optional: Each is there with `OPTIONAL_PROBABILITY`, weaker.
        one_sided: Only one side of the face shows it.
    """

    needed: dict[str, tuple[float, float]]
    choices: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    one_sided: bool = False


_STRONG, _WEAK = (0.65, 1.0), (0.25, 0.5)
PROTOTYPES: dict[str, Prototype] = {
    "happiness": Prototype({"AU06": _STRONG, "AU12": _STRONG}, optional=("AU25",)),
    "sadness": Prototype({"AU01": _STRONG, "AU04": (0.3, 0.7), "AU15": _STRONG}, optional=("AU17",)),
    "surprise": Prototype({"AU01": _STRONG, "AU02": _STRONG, "AU05": _WEAK, "AU26": (0.3, 0.7)}),
    "fear": Prototype(
        {"AU01": _STRONG, "AU02": (0.35, 0.7), "AU04": (0.3, 0.7), "AU05": _STRONG, "AU20": _STRONG},
        choices=("AU25", "AU26"),
        optional=("AU07",),
    ),
    "anger": Prototype({"AU04": _STRONG, "AU05": _WEAK, "AU07": _STRONG}, choices=("AU23", "AU24")),
    "disgust": Prototype({"AU09": _STRONG}, choices=("AU10", "AU16"), optional=("AU04", "AU15", "AU17")),
    "contempt": Prototype({"AU12": (0.45, 0.8), "AU14": _STRONG}, one_sided=True),
}
"""Emotion -> prototype; neutral has none."""
_CHOICE_STRENGTH, _OPTIONAL_STRENGTH = (0.45, 0.9), (0.3, 0.7)


def random_prototype(emotion: str, rng: np.random.Generator) -> np.ndarray:
    """Draw an expression of an emotion at full intensity.

    Args:
        emotion: Key of `PROTOTYPES`.
        rng: All randomness.

    Returns:
        (52,) float32 ARKit weights in [0, 1].
    """
    prototype = PROTOTYPES[emotion]
    units = {unit: rng.uniform(*span) for unit, span in prototype.needed.items()}
    if prototype.choices:
        units[str(rng.choice(prototype.choices))] = rng.uniform(*_CHOICE_STRENGTH)
    for unit in prototype.optional:
        if rng.random() < OPTIONAL_PROBABILITY:
            units[unit] = rng.uniform(*_OPTIONAL_STRENGTH)
    side = str(rng.choice(["Left", "Right"])) if prototype.one_sided else None
    weights = np.zeros(len(ARKIT_NAMES), dtype=np.float32)
    for unit, strength in units.items():
        np.maximum(weights, unit_weights(unit, strength, rng, side), out=weights)
    return weights


def unit_weights(unit: str, strength: float, rng: np.random.Generator, side: str | None = None) -> np.ndarray:
    """Return the ARKit weights (52,) float32 in [0, 1] that show an action unit.

    Args:
        unit: One of `smirk3d.fer.action_units.ACTION_UNITS` without a side.
        strength: In [0, 1].
        rng: Of the difference between the sides.
        side: "Left" or "Right", of the subject; None: both. Units in the middle have no sides.

    Raises:
        KeyError: No blendshape shows the unit.
    """
    weights = np.zeros(len(ARKIT_NAMES), dtype=np.float32)
    if unit in SIDED_UNITS:
        skew = float(rng.uniform(-ASYMMETRY, ASYMMETRY))
        for name, factor in (("Left", 1 + skew), ("Right", 1 - skew)):
            if side in (None, name):
                weights[ARKIT_NAMES.index(SIDED_UNITS[unit] + name)] = strength * factor
    elif unit == LIPS_PART:
        for name, share in _LIPS_PART_SHAPES.items():
            weights[ARKIT_NAMES.index(name)] = strength * share / max(_LIPS_PART_SHAPES.values())
    else:
        for name in MIDDLE_UNITS[unit]:
            weights[ARKIT_NAMES.index(name)] = strength
    return weights.clip(0, 1)
