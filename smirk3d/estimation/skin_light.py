"""The light on a face, from the brightness of its skin."""

# NumPy's annotations lose the types of products and of clipped arrays.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from smirk3d.estimation.appearance_points import PhotoSamples, SkinPoints
from smirk3d.render.appearance.face_appearance import LUMA

_ITERATIONS = 4
_TUKEY = 3.0
"""Cut-off of Tukey's biweight in units of the robust standard deviation."""
_LIGHT_PENALTY = np.array([0.0, 0.5, 0.5, 0.5, 4.0, 4.0, 4.0, 4.0, 4.0])
"""Ridge penalty on the light's coefficients, in points."""


@dataclass(frozen=True, eq=False)
class SkinLight:
    """The light on a face.

    Attributes:
        shading: (N,) brightness that plain skin would have at each point.
        weight: (N,) in [0, 1], how well each point agrees with it.
        level: Mean brightness of plain skin that is turned to the camera.
    """

    shading: np.ndarray
    weight: np.ndarray
    level: float


def fit_light(points: SkinPoints, samples: PhotoSamples, female: float) -> SkinLight:
    """Fit a light of second order in spherical harmonics to the brightness of the skin.

    Args:
        points: The points.
        samples: What the photo shows there.
        female: Sex-typical look.

    Source: Ramamoorthi and Hanrahan, "An efficient representation for irradiance environment maps" (2001); Beaton and
    Tukey, "The fitting of power series, meaning polynomials, illustrated on band-spectroscopic data" (1974).
    """
    skin = np.zeros(len(samples.visible), dtype=bool)
    skin[points.rows["skin"]] = True
    used = np.flatnonzero(skin & samples.visible)
    relief = (points.relief[0] + female * points.relief[1] + 0.2 * points.relief[2]) @ LUMA
    basis = harmonics(samples.normals)
    brightness = samples.colors @ LUMA
    design, target = basis[used] * relief[used, None], brightness[used]
    # Skin that is much darker or brighter than most is hair, a shadow or glare.
    ratio = target / relief[used]
    middle = max(float(np.median(ratio)), 1e-3)
    weight = np.exp(-((np.log((ratio / middle).clip(1e-3)) / 0.45) ** 2))
    penalty = np.diag(_LIGHT_PENALTY) * 0.5
    light = np.zeros(9)
    for _ in range(_ITERATIONS):
        weighted = design * weight[:, None]
        light = np.linalg.solve(weighted.T @ design + penalty + 1e-6 * np.eye(9), weighted.T @ target)
        residual = target - design @ light
        scale = max(1.4826 * float(np.median(np.abs(residual))), 0.01)
        weight = (1 - (residual / (_TUKEY * scale)) ** 2).clip(0) ** 2
    shading = (basis @ light).clip(0.25 * middle, 2.5 * middle)
    all_weights = np.zeros(len(brightness))
    all_weights[used] = weight
    level = float(np.average(shading[used], weights=samples.normals[used, 2] * (weight + 1e-3)))
    return SkinLight(shading, all_weights, level)


def harmonics(normals: np.ndarray) -> np.ndarray:
    """Return real spherical harmonics up to the second order, without their factors, (N, 9), of unit vectors (N, 3)."""
    x, y, z = normals.T.astype(np.float64)
    return np.stack([np.ones_like(x), x, y, z, x * y, y * z, x * z, x * x - y * y, 3 * z * z - 1], axis=1)
