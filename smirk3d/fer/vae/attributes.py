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
    "frown": ("mouthFrownLeft", "mouthFrownRight"),
    "pucker": ("mouthPucker",),
}
"""The packaged attributes: each is the mean of some ARKit weights."""
MIN_FACES = 20
"""Fewest faces with, and fewest without an attribute."""
UNIT_QUANTILES = (0.02, 0.98)
"""Quantiles of an attribute between which is one unit of its packaged vector."""
MAX_GAIN = 2.0
"""Largest factor of `unit_gains`."""
MAX_AMOUNT = 10.0
"""Largest amount of an attribute: far more than faces differ by."""
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


def packaged_directions(latents: np.ndarray, values: np.ndarray, nuisances: np.ndarray) -> np.ndarray:
    """Return attribute vectors (K, D) in their packaged units: the range of an attribute, as read from the code.

    Args:
        latents: (N, D) codes of faces.
        values: (N, K) attributes of the faces.
        nuisances: (N, M) what the vectors must not carry along, such as the brightness.
    """
    directions = attribute_directions(latents, np.column_stack([values, nuisances]))[: values.shape[1]]
    low, high = np.quantile(values, UNIT_QUANTILES, axis=0)
    return directions * (unit_gains(latents, values, directions) * (high - low))[:, None]


def unit_gains(latents: np.ndarray, values: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Return factors of attribute vectors with which one unit raises the attribute, as read from the code, by one.

    Codes hold only a part of an attribute, and a regression of codes on attributes gives that part. The attribute of a
    code is estimated by a linear regression the other way round; the gain is limited to `MAX_GAIN` where codes hold
    hardly anything.

    Args:
        latents: (N, D) codes of faces.
        values: (N, K) attributes of the faces.
        directions: (K, D), see `attribute_directions`.

    Returns:
        (K,) float64, at least 1.
    """
    centered = latents - latents.mean(axis=0)
    scale = float(centered.var(axis=0).mean())
    covariance = centered.T @ centered / len(latents) + _RIDGE * scale * np.eye(latents.shape[1])
    readers = np.linalg.solve(covariance, centered.T @ (values - values.mean(axis=0)) / len(latents))
    rises = (directions * readers.T).sum(axis=1)
    return 1 / np.clip(rises, 1 / MAX_GAIN, 1)


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
        Smirk3dError: There are no amounts, an attribute is unknown, or an amount is beyond `MAX_AMOUNT`.
    """
    if not amounts:
        raise Smirk3dError("name what to change, such as smile=+1")
    for name, amount in amounts.items():
        if name not in directions:
            raise Smirk3dError(f"unknown attribute {name!r}; there are {', '.join(directions)}")
        if not abs(amount) <= MAX_AMOUNT:  # NaN included
            raise Smirk3dError(f"attribute {name}: the amount must be in [-{MAX_AMOUNT:g}, {MAX_AMOUNT:g}], such as +1")
    return np.sum([amount * directions[name] for name, amount in amounts.items()], axis=0)
