"""A photo's own detail on the texture of the fitted appearance.

The photo is sampled through the expressed mesh. What is compared is the logarithm of the photo's colour over that of
the fitted appearance: its coarse part is mostly light and is mostly dropped, its fine part, the person's own detail, is
kept where the skin is well seen. Elsewhere the appearance alone remains, in matching colours, so there is no seam.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from smirk3d.head.memoize import cache_per_head
from smirk3d.head.model import HeadModel
from smirk3d.render.appearance.appearance_model import OPACITIES, appearance_model
from smirk3d.render.appearance.materials import region_vertices

COARSE_SHARE = 0.25
"""Part of the coarse difference between photo and appearance that is kept."""
_COARSE_TEXELS = 1 / 20
"""Standard deviation of the blur that separates coarse and fine, relative to the texture's side."""
_COARSE_SIDE = 128
"""Side of the image on which coarse differences are blurred."""
_MAX_DETAIL = (-1.4, 0.7)
"""Range of the fine part, logarithm."""
_SKIN_OUTLIER = 0.38
"""Fine differences of plain skin beyond this are rims of glasses, hair or objects."""
_FREE_PARTS = ("lips", "brows_thin", "brows_medium", "brows_thick", "moustache", "beard")
"""Layers of the appearance model where a photo may differ much from it."""
_BRIGHT_LIPS = 0.15
"""Largest fine difference of lips towards white."""
_SKIN_CONTRAST = 0.11
"""Largest standard deviation of the fine difference of plain skin; photos with more are toned down."""
_MARGIN_M = (0.0012, 0.0035)
"""Distances from the edges of lids and lips between which the photo fades in: it shows eyes and teeth there."""


@cache_per_head
def vertex_trust(head: HeadModel) -> np.ndarray:
    """Return by how much a photo may show at each vertex, (V,) float32 in [0, 1].

    Args:
        head: The open head.
    """
    points = head.v_template.detach().cpu().numpy()
    face = region_vertices(head, "face")
    inner = region_vertices(head, "eye_sockets") | region_vertices(head, "mouth_interior")
    edge = points[face & inner]
    distance = np.linalg.norm(points[:, None] - edge, axis=2).min(axis=1)
    low, high = _MARGIN_M
    trust = ((distance - low) / (high - low)).clip(0, 1)
    outside = points[~face & ~inner]
    rim = np.linalg.norm(points[:, None] - outside, axis=2).min(axis=1)
    return (trust * (rim / 0.02).clip(0, 1) * face).astype(np.float32)


def merge_detail(appearance: np.ndarray, photos: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return the texture of an appearance with the detail of photos.

    Args:
        appearance: (S, S, 3) float32 in [0, 1], the texture of the fitted appearance.
        photos: For each photo its colours at the texels (S, S, 3) float32 in [0, 1], and weights (S, S) float32 in
            [0, 1], how well it shows them.

    Returns:
        (S, S, 3) float32 in [0, 1].
    """
    base = np.maximum(appearance, 0.02)
    total, coarse, detail = np.full(base.shape[:2], 1e-6, np.float32), np.zeros_like(base), np.zeros_like(base)
    best = np.zeros(base.shape[:2], np.float32)
    for colors, weight in photos:
        light, fine, keep = _differences(base, colors, weight)
        total += keep
        best = np.maximum(best, keep)
        coarse += light / len(photos)
        detail += keep[..., None] * fine
    # A mean over the photos, shown as far as the best of them shows it.
    detail *= (best / total)[..., None]
    return (base * np.exp(COARSE_SHARE * coarse + detail)).clip(0, 1)


def _differences(base: np.ndarray, colors: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the coarse difference without its mean, the fine one (S, S, 3), and weights (S, S) of the latter."""
    difference = np.log(np.maximum(colors, 0.02) / base)
    trusted = weight * _skin_like(difference, weight)
    coarse = _coarse(difference, trusted)
    fine = difference - coarse
    keep = weight * _plausible(fine)
    # Hard light and steep photos show more contrast than skin has.
    contrast = np.sqrt(_weighted_mean(fine**2, keep * (1 - _parts(len(fine)))).mean())
    fine = (fine * min(1.0, _SKIN_CONTRAST / max(float(contrast), 1e-3))).clip(*_MAX_DETAIL)
    # What is bright on lips are teeth.
    fine = np.minimum(fine, _MAX_DETAIL[1] - (_MAX_DETAIL[1] - _BRIGHT_LIPS) * _parts(len(fine), ("lips",))[..., None])
    # Detail is that of brightness; colours of single pixels are noise.
    brightness = fine.mean(axis=2, keepdims=True)
    return coarse - _weighted_mean(coarse, trusted), brightness + 0.8 * (fine - brightness), keep


def _skin_like(difference: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return weights (S, S) that leave out what is far from the usual difference, such as hair."""
    brightness = difference.mean(axis=2)
    seen = weight > 0.5
    if not seen.any():
        return np.zeros_like(weight)
    middle = float(np.median(brightness[seen]))
    return np.exp(-(((brightness - middle) / 0.6) ** 2)).astype(np.float32)


def _plausible(fine: np.ndarray) -> np.ndarray:
    """Return weights (S, S) of detail: skin has little of it, brows, lips and beard may have more."""
    import cv2

    brightness = np.abs(fine).mean(axis=2)
    limit = _SKIN_OUTLIER + 1.2 * _parts(fine.shape[0])
    weight = np.exp(-((brightness / limit) ** 4)).astype(np.float32)
    side = fine.shape[0]
    # Worn down first, so that the edges of what is left out are left out too.
    weight = cv2.erode(weight, np.ones((side // 120 + 1, side // 120 + 1), np.uint8))
    return cv2.GaussianBlur(weight, (0, 0), side / 150)


@functools.cache
def _parts(side: int, names: tuple[str, ...] = _FREE_PARTS) -> np.ndarray:
    """Return where brows, lips and beard are, (S, S) in [0, 1]."""
    import cv2

    model = appearance_model(1)
    layers = model.opacity[[OPACITIES.index(name) for name in names]].reshape(-1, *model.size)
    return np.minimum(resized(cv2.GaussianBlur(layers.max(axis=0), (0, 0), 3.0), side) * 1.3, 1)


def resized(image: np.ndarray, side: int) -> np.ndarray:
    """Return an image (H, W, ...) at another size, (side, side, ...)."""
    import cv2

    shrinks = side < min(image.shape[:2])
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _coarse(difference: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the coarse part (S, S, 3) of a difference, continued where the weight is low."""
    import cv2

    side = difference.shape[0]
    small_weight = resized(weight, _COARSE_SIDE)
    total = resized(difference * weight[..., None], _COARSE_SIDE)
    result = np.broadcast_to(_weighted_mean(difference, weight), (_COARSE_SIDE, _COARSE_SIDE, 3)).copy()
    # From wide blurs to the wanted one, so that holes are filled from their surroundings.
    for factor in (4.0, 2.0, 1.0):
        sigma = factor * _COARSE_TEXELS * _COARSE_SIDE
        share = cv2.GaussianBlur(small_weight, (0, 0), sigma)[..., None]
        mean = cv2.GaussianBlur(total, (0, 0), sigma) / np.maximum(share, 1e-6)
        blend = np.minimum(share / 0.25, 1)
        result = result * (1 - blend) + mean * blend
    return resized(result.astype(np.float32), side)


def _weighted_mean(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    total = max(float(weight.sum()), 1e-6)
    return (values * weight[..., None]).sum(axis=(0, 1)) / total
