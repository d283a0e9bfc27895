"""Attribute vectors: by how much the code of a face changes with an attribute, the other attributes held.

A mean of faces with an attribute less that of faces without it brings along what goes with the attribute in the faces:
open mouths with smiles, for instance. Here one linear regression of the codes on all attributes together decides, whose
coefficients are differences at equal values of the other attributes. With a single attribute of two values it is the
difference of the means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from smirk3d.errors import Smirk3dError
from smirk3d.head.arkit import ARKIT_NAMES

PACKAGED: dict[str, tuple[str, ...]] = {
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
    "open_mouth": ("jawOpen",),
    "brows_up": ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    "brows_down": ("browDownLeft", "browDownRight"),
    "eyes_closed": ("eyeBlinkLeft", "eyeBlinkRight"),
    "eyes_wide": ("eyeWideLeft", "eyeWideRight"),
    "frown": ("mouthFrownLeft", "mouthFrownRight"),
    "pucker": ("mouthPucker",),
    "sneer": ("noseSneerLeft", "noseSneerRight"),
}
"""The packaged attributes: each is the mean of some ARKit weights."""
MIN_FACES = 20
"""Fewest faces with, and fewest without an attribute."""
_RIDGE = 1e-3
"""Penalty on coefficients of standardised attributes, over the number of faces."""


def attribute_values(weights: np.ndarray) -> np.ndarray:
    """Return the packaged attributes (N, K) of faces with ARKit weights (N, 52)."""
    columns = [[ARKIT_NAMES.index(each) for each in names] for names in PACKAGED.values()]
    return np.stack([weights[:, column].mean(axis=1) for column in columns], axis=1)


def attribute_directions(latents: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the change of the codes for one unit of each attribute, the others held.

    Args:
        latents: (N, D) codes of faces.
        values: (N, K) attributes of the faces; a constant one has the direction 0.

    Returns:
        (K, D) float64.
    """
    mean, std = values.mean(axis=0), values.std(axis=0)
    varies = std > 1e-9 * (1 + np.abs(mean))
    scaled = (values - mean)[:, varies] / std[varies]
    covariance = scaled.T @ scaled / len(values) + _RIDGE * np.eye(scaled.shape[1])
    slopes = np.linalg.solve(covariance, scaled.T @ (latents - latents.mean(axis=0)) / len(values))
    directions = np.zeros((values.shape[1], latents.shape[1]))
    directions[varies] = slopes / std[varies, None]
    return directions


def check_attributes(names: Sequence[str], values: np.ndarray) -> None:
    """Refuse attributes of which too few faces are known to differ.

    Args:
        names: K names.
        values: (N, K).

    Raises:
        Smirk3dError: Fewer than `MIN_FACES` faces are above, or fewer are below the middle of an attribute's range.
    """
    if not len(values):
        raise Smirk3dError(f"no faces with attributes; at least {2 * MIN_FACES} are needed")
    middle = (values.min(axis=0) + values.max(axis=0)) / 2
    for name, above in zip(names, (values > middle).sum(axis=0)):
        fewest = min(int(above), len(values) - int(above))
        if fewest < MIN_FACES:
            raise Smirk3dError(
                f"attribute {name}: {fewest} faces on one side of the middle of its range; {MIN_FACES} are needed"
            )


def code_change(directions: Mapping[str, np.ndarray], amounts: Mapping[str, float]) -> np.ndarray:
    """Return the sum (D,) of attribute vectors times amounts.

    Raises:
        Smirk3dError: There are no amounts, an attribute is unknown, or an amount is not finite.
    """
    if not amounts:
        raise Smirk3dError("name what to change, such as smile=+1")
    for name, amount in amounts.items():
        if name not in directions:
            raise Smirk3dError(f"unknown attribute {name!r}; there are {', '.join(directions)}")
        if not np.isfinite(amount):
            raise Smirk3dError(f"attribute {name}: the amount must be a finite number, such as {name}=+1")
    return np.sum([amount * directions[name] for name, amount in amounts.items()], axis=0)
